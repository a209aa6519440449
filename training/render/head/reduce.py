"""A small head file for first tries, of a whole one.

    python -m training.render.head.reduce ict_compact.npz --output training/render/small_head/head.npz

It keeps the mesh, the first directions of identity and every expression, whose lengths it rounds to a few
dozen steps, so that the file packs well: a tenth of the whole one, for heads that look alike more often.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.cli import run_cli
from training.render.head.head_file import load_head

_STEPS = 63  # of a direction's longest component, each way


def reduced(path: Path, *, identities: int) -> dict[str, NDArray[np.generic]]:
    """The arrays of the small file. ValueError for what is no head file (training.render.head.head_file)."""
    load_head(path)
    with np.load(path, allow_pickle=False) as file:
        kept = {name: file[name] for name in ("base", "expression_names", "quads")}
        for name in ("starts", "landmarks"):
            if name in file:
                kept[name] = file[name]
        kept["identity"] = _rounded(file["identity"][:identities])
        kept["expression"] = _rounded(file["expression"])
    kept["base"] = kept["base"].astype(np.float16)
    return kept


def _rounded(directions: NDArray[np.float16]) -> NDArray[np.float16]:
    """Directions [D, V, 3], each component the nearest of `_STEPS` steps to the longest one's length."""
    step = np.abs(directions.astype(np.float32)).max(axis=(1, 2), keepdims=True) / _STEPS
    step = np.maximum(step, np.finfo(np.float32).tiny)
    return np.asarray(np.round(directions / step) * step, np.float16)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.render.head.reduce", description=__doc__.splitlines()[0]
    )
    parser.add_argument("head", type=Path, help="the whole .npz file")
    parser.add_argument(
        "--identities", type=int, default=8, help="directions of identity that are kept (%(default)s)"
    )
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)

    def work() -> None:
        if options.head.is_dir():
            raise ValueError(f"{options.head} is a folder: give the head's .npz file")
        if options.identities < 1:
            raise ValueError("--identities takes 1 or more")
        arrays = reduced(options.head, identities=options.identities)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(options.output, **arrays)
        print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")

    return run_cli("training.render.head.reduce", work, place=options.output)


if __name__ == "__main__":
    sys.exit(main())

"""Make the prepared set that teaches a network how usable a crop is to it.

    python -m training.data.quality_set CHECKPOINT --data DIR --backgrounds PHOTOS --output DIR

The training faces of the prepared sets are degraded as photos are, and the label says how much of what is
known of them the network of CHECKPOINT still answers (training.data.quality_set.agreement). Crops that show
no face are 0. PHOTOS has photos without faces. The same command goes on with a set that was begun.
"""

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from training.cli import run_cli
from training.data.prepared.face_set import prepared_sets
from training.tasks import FACE_QUALITY


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    # What follows imports torch.
    from training.data.quality_set.making import Options, make_quality_set
    from training.evaluation.predictors import without_masks
    from training.models import load_checkpoint
    from training.train.run_options import take_cores

    defaults = {field.name: field.default for field in dataclasses.fields(Options)}
    parser = argparse.ArgumentParser(
        prog="python -m training.data.quality_set", description=__doc__.splitlines()[0]
    )
    parser.add_argument("checkpoint", type=Path, help="the .safetensors file of the network that measures")
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", help="take the faces of these, separated by commas (default: all)")
    parser.add_argument("--backgrounds", type=Path, required=True, help="a folder of photos without faces")
    parser.add_argument("--output", type=Path, required=True, help="the folder that gets the set")
    parser.add_argument("--count", type=int, default=defaults["count"], help="crops (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=defaults["seed"], help="of what is drawn")
    parser.add_argument(
        "--background-share",
        type=float,
        default=defaults["background_share"],
        help="the part of the photos that is learned from; the others are for training.evaluation.quality "
        "(default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, help="of torch (default: all cores)")
    options = parser.parse_args(arguments)

    def work() -> None:
        take_cores(options.threads)
        made = Options(count=options.count, seed=options.seed, background_share=options.background_share)
        checkpoint = load_checkpoint(options.checkpoint)
        manifest = make_quality_set(
            without_masks(checkpoint),
            options.output / FACE_QUALITY,
            data=options.data,
            names=_names(options.data, options.sets),
            held_out=float(checkpoint.card.get("aside", 0)),
            backgrounds=options.backgrounds,
            options=made,
            weights=hashlib.sha256(options.checkpoint.read_bytes()).hexdigest(),
        )
        print(json.dumps({name: manifest[name] for name in ("faces", "levels")}, indent=1))

    return run_cli("training.data.quality_set", work, place=options.output)


def _names(data: Path, wanted: str | None) -> list[str]:
    """The sets whose training faces are taken: all but one that was measured itself."""
    if wanted:
        return [name.strip() for name in wanted.split(",")]
    names = [faces.name for faces in prepared_sets(data, split="train") if faces.name != FACE_QUALITY]
    if not names:
        raise ValueError(
            f"{data} has no prepared set of faces: make one with `python -m training.data prepare`"
        )
    return names


if __name__ == "__main__":
    sys.exit(main())

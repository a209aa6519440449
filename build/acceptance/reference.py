"""Real faces and torch's answers about them: the measure of every engine, also where torch is not installed.

The file lies beside the network from stage to stage, so that an engine can be built and accepted inside the
serving container, which has no torch, by the very pictures and numbers of the export.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.errors import BuildError

REFERENCE = "reference.npz"
_PIXELS = "pixels"
_ANSWER = "answer:"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
    """Aligned crops [N, S, S, 3] uint8 and torch's answers for them, by output, in batch order."""

    pixels: NDArray[np.uint8]
    answers: dict[str, NDArray[Any]]


def save_reference(path: Path, reference: Reference) -> None:
    """Writes it as one npz file."""
    arrays = {_PIXELS: reference.pixels} | {
        f"{_ANSWER}{name}": values for name, values in reference.answers.items()
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_reference(path: Path) -> Reference:
    """Reads it; BuildError where it is missing or no such file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            pixels = np.asarray(arrays[_PIXELS], dtype=np.uint8)
            answers = {
                name.removeprefix(_ANSWER): arrays[name] for name in arrays.files if name.startswith(_ANSWER)
            }
    except (OSError, ValueError, KeyError):
        raise BuildError(
            f"{path} does not hold faces with torch's answers: make it again with "
            "`python -m build CHECKPOINT`"
        ) from None
    return Reference(pixels=pixels, answers=answers)

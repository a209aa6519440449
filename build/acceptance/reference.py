"""Real faces and torch's answers about them: the measure of every engine, also where torch is not installed.

The file lies beside the network from stage to stage, so that an engine can be built and accepted inside the
serving container, which has no torch, by the very pictures and numbers of the export. Beside the networks of
weights/ it is committed, so that the first start can hold a lower precision to it.
"""

import dataclasses
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.errors import BuildError

REFERENCE = "reference.npz"
_PIXELS = "pixels"
_NETWORK = "network"
_ANSWER = "answer:"
_AGAIN = (
    "make them with `python -m build.stages.export CHECKPOINT --output FILE.onnx`, or in a build with "
    "`python -m build CHECKPOINT`"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
    """Aligned crops [N, S, S, 3] uint8 and torch's answers for them, by output, in batch order."""

    network: str  # the sha256 of the ONNX file with the same weights
    pixels: NDArray[np.uint8]
    answers: dict[str, NDArray[Any]]


def reference_path(onnx_file: Path) -> Path:
    """Where the reference of an exported network lies that is committed or sent on."""
    return onnx_file.with_suffix(f".{REFERENCE}")


def save_reference(path: Path, reference: Reference) -> None:
    """Writes it as one npz file."""
    arrays = {_NETWORK: np.array(reference.network), _PIXELS: reference.pixels}
    arrays |= {f"{_ANSWER}{name}": values for name, values in reference.answers.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_reference(path: Path, *, network: str | None = None) -> Reference:
    """Reads it; BuildError where it is missing or no such file.

    `network` is the sha256 of the ONNX file that it must be of; None: of any.
    """
    try:
        # numpy leaves a file open that is no whole archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            of = str(arrays[_NETWORK])
            pixels = np.asarray(arrays[_PIXELS], dtype=np.uint8)
            answers = {
                name.removeprefix(_ANSWER): arrays[name] for name in arrays.files if name.startswith(_ANSWER)
            }
    except FileNotFoundError:
        raise BuildError(f"there are no faces with torch's answers at {path}: {_AGAIN}") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise BuildError(f"{path} does not hold faces with torch's answers: {_AGAIN}") from None
    if network is not None and of != network:
        raise BuildError(f"the answers in {path} are another network's: {_AGAIN}")
    return Reference(network=of, pixels=pixels, answers=answers)

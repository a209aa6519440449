"""Whether a repository's faces are decoded and warped on a GPU, and by which file."""

import sys
from pathlib import Path
from typing import Literal

from build.errors import BuildError
from build.preprocessing.dali_pipeline import check_pipeline, serialised
from build.serving.engine_settings import EngineSettings
from runtime.contract import ALIGNED, Contract

Preprocessing = Literal["dali", "opencv"]


def pipeline_of(
    contract: Contract,
    engine: EngineSettings,
    *,
    preprocessing: Preprocessing | None = None,
    file: Path | None = None,
) -> bytes | None:
    """The content of face_warp's pipeline; None where `face_preprocess` decodes and warps by itself.

    `file` holds a pipeline that was written elsewhere. Without a `preprocessing` a GPU's engine gets the
    pipeline, if there is a file or DALI is installed here; where not, a line on standard error states that.
    Raises BuildError where DALI is chosen and can't be had.
    """
    if preprocessing == "opencv":
        return None
    if why := _unfit(contract, engine):
        if preprocessing == "dali" or file is not None:
            raise BuildError(
                f"DALI can't make the crops of this network: {why}; choose --preprocessing opencv"
            )
        return None
    try:
        return serialised() if file is None else _read(file)
    except BuildError as error:
        if preprocessing == "dali" or file is not None:
            raise
        print(f"faces are decoded and warped on the CPU, by OpenCV: {error}", file=sys.stderr)
        return None


def fits(contract: Contract, engine: EngineSettings) -> bool:
    """Whether a GPU can decode and warp a network's faces."""
    return _unfit(contract, engine) is None


def _unfit(contract: Contract, engine: EngineSettings) -> str | None:
    """Why face_warp is not for a network; None where it is."""
    if engine.backend.device != "gpu":
        return f"its engine is {engine.backend.title}, and DALI is for a GPU's"
    if contract.crop != ALIGNED:
        return f"its crops are of the kind {contract.crop!r}, and the pipeline makes {ALIGNED} ones only"
    return None


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BuildError(
            f"the pipeline at {path} can't be read ({error.strerror}): write it with "
            "`python -m build.preprocessing --output FILE`"
        ) from None
    check_pipeline(content, source=path)
    return content

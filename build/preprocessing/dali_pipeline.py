"""The pipeline of face_warp: decode a part of a picture, reduce it, warp it. Nothing in it knows of faces.

It is the same for every network, as the crop's size is among its inputs. DALI writes it down on a machine
without a GPU too: only running it needs one.
"""

import importlib
from pathlib import Path
from typing import Any

from build.errors import BuildError
from build.serving.batching_and_queues import MAX_BATCH

PACKAGE = "nvidia-dali-cuda120"
# Of the pipeline's inputs; its output's name is the served model's own.
IMAGE, WINDOW, MATRIX = "image", "window", "matrix"


def serialised() -> bytes:
    """The pipeline for a GPU as Triton's DALI backend loads it; BuildError without DALI."""
    written: bytes = pipeline(on_gpu=True).serialize()
    return written


def pipeline(*, on_gpu: bool, threads: int = 1) -> Any:
    """The pipeline, as it is served or, stage by stage the same, for a CPU. BuildError without DALI.

    Its inputs are encoded pictures [n] uint8, and `window` and `matrix` of `runtime.image.stored_crop`; its
    output is the crops [S, S, 3] uint8 RGB.
    """
    dali = _module("nvidia.dali")
    fn, types = _module("nvidia.dali.fn"), dali.types
    # Else every operator carries the path and the lines of this file.
    _module("nvidia.dali._utils.dali_trace").set_tracing(enabled=False)
    made = dali.pipeline.Pipeline(
        batch_size=MAX_BATCH,
        num_threads=threads,  # the backend replaces it by the served model's own
        device_id=None,  # likewise; a number would need the GPU here
        exec_async=False,
        exec_pipelined=False,
        prefetch_queue_depth=1,
    )
    with made:
        encoded = fn.external_source(name=IMAGE, dtype=types.UINT8, ndim=1)
        window = fn.external_source(name=WINDOW, dtype=types.INT32, ndim=2)
        matrix = fn.external_source(name=MATRIX, dtype=types.FLOAT, ndim=2)
        sizes = fn.cast(window, dtype=types.FLOAT)
        pixels = fn.decoders.image_slice(
            encoded,
            window[0],
            window[1],
            axes=(0, 1),
            device="mixed" if on_gpu else "cpu",
            output_type=types.RGB,
            adjust_orientation=False,  # `matrix` does: it is computed from what `runtime` reads of Exif
            jpeg_fancy_upsampling=True,  # as libjpeg does
        )
        pixels = fn.resize(pixels, size=sizes[2], min_filter=types.INTERP_GAUSSIAN, antialias=True)
        pixels = fn.resize(pixels, size=sizes[3], interp_type=types.INTERP_LINEAR, antialias=False)
        made.set_outputs(
            fn.warp_affine(
                pixels,
                matrix.gpu() if on_gpu else matrix,
                size=sizes[4],
                inverse_map=True,
                interp_type=types.INTERP_LINEAR,
                fill_value=0,
            )
        )
    return made


def check_pipeline(content: bytes, *, source: Path) -> None:
    """Raises BuildError where a file is no pipeline of these inputs for a GPU."""
    wanted = (IMAGE, WINDOW, MATRIX, "mixed", "ImageSlice", "WarpAffine")
    if missing := [name for name in wanted if name.encode() not in content]:
        raise BuildError(
            f"{source} is not the pipeline that decodes and warps faces on a GPU ({missing[0]} is not in "
            "it): write it with `python -m build.preprocessing --output FILE`"
        )


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a library of its own is missing
        raise BuildError(
            f"DALI can't be loaded ({error}): run `pip install {PACKAGE}` here, in the version of the "
            "serving container, or choose --preprocessing opencv"
        ) from None

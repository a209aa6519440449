"""Crops of one size as the pixels of one tensor."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput
from .encoded import read_bytes
from .formats import HEAD, foreign_format
from .kinds import Photo, is_pillow
from .pixels import array_pixels

Crops: TypeAlias = Sequence[Photo] | NDArray[Any]


def stack_crops(crops: Crops) -> NDArray[np.uint8]:
    """Crops of one size as UINT8 [N, H, W, 3]; InvalidInput names the crop that does not fit."""
    if isinstance(crops, np.ndarray) and (crops.ndim < 3 or (crops.ndim == 3 and crops.shape[2] < 5)):
        raise InvalidInput(
            f"crops as one array are [N, height, width, 3], not {list(crops.shape)}: of one crop give [crop]"
        )
    if isinstance(crops, str | bytes | bytearray) or not hasattr(crops, "__len__"):
        raise InvalidInput(
            f"crops are a list of pictures, not {type(crops).__name__}: of one crop give [crop]"
        )
    checked = list[NDArray[np.uint8]]()
    for index, crop in enumerate(crops):
        checked.append(_pixels(crop, index=index))
        if checked[index].shape != checked[0].shape:
            raise InvalidInput(
                f"crop {index} has {_size(checked[index])} pixels and crop 0 {_size(checked[0])}: "
                f"crops of one request have one size; resize them, or call analyze_crop for each"
            )
    return np.stack(checked) if checked else np.empty((0, 0, 0, 3), np.uint8)


async def stack_in_thread(crops: Crops) -> NDArray[np.uint8]:
    """`stack_crops` without holding up the event loop."""
    return await asyncio.to_thread(stack_crops, crops)


def _pixels(crop: Photo, *, index: int) -> NDArray[np.uint8]:
    if isinstance(crop, np.ndarray):
        return array_pixels(crop, what=f"crop {index}")
    from .pillow import decode, pixels_of

    try:
        if is_pillow(crop):
            return pixels_of(crop)
        data, file = read_bytes(crop)
        return decode(data, format_name=foreign_format(data[:HEAD]), file=file)
    except InvalidInput as error:
        if error.file is not None:
            raise
        raise InvalidInput(f"crop {index}: {error}") from error.__cause__


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"

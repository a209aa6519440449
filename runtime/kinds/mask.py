"""A class for each pixel. Head: class ids UINT8 [B, H, W] of the crop.

Answer of a task T: T_png BYTES [B, 1], the ids as a PNG of 8-bit grey, `OUTSIDE` where the crop reaches out
of the photo; T_map FP32 [B, 2, 3], from the crop's pixels to the photo's; on request T_runs BYTES [B, 1],
the same ids as run lengths in JSON (`as_runs`).
"""

import json
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor, HeadTensor, Kind, PhotoGeometry, bytes_tensor, text_tensor

# The id of a pixel of the crop that shows nothing of the photo. Class 0, the background, is something seen.
OUTSIDE = 255
# A map in fp32 is no more exact than this, in pixels: the edges of a whole picture are inside.
_SLACK = 0.01


class Mask(Kind):
    name = "mask"
    needs_crop_to_photo = True
    needs_photo_size = True
    # The share of a mask's pixels that differ. Some lie where two classes are equally likely.
    full_precision_tolerance = 1e-3
    low_precision_tolerance = 0.005

    def head(self, count: int) -> HeadTensor:
        return HeadTensor(datatype="UINT8", dims=(None, None))

    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        return (
            AnswerTensor(name=f"{entry.name}_png", datatype="BYTES", dims=(1,)),
            AnswerTensor(name=f"{entry.name}_map", datatype="FP32", dims=(2, 3)),
            AnswerTensor(name=f"{entry.name}_runs", datatype="BYTES", dims=(1,), on_request=True),
        )

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        assert photo.maps is not None
        png, crop_map, runs = self.answer_tensors(entry)
        faces = _with_outside(head, photo.maps, photo.sizes)
        answer: dict[str, NDArray[Any]] = {crop_map.name: photo.maps}
        if photo.is_requested(png):
            answer[png.name] = bytes_tensor([as_png(ids) for ids in faces])
        if photo.is_requested(runs):
            answer[runs.name] = text_tensor([as_runs(ids) for ids in faces])
        return answer

    def difference(self, expected: NDArray[Any], answered: NDArray[Any], *, in_units: bool) -> float:
        """The share of the pixels whose class differs."""
        return float(np.mean(expected != answered)) if expected.size else 0.0


KIND = Mask()


def outside_marked(
    ids: NDArray[np.uint8], *, crop_to_photo: ArrayLike, photo_size: ArrayLike
) -> NDArray[np.uint8]:
    """Class ids [H, W] of a crop, with `OUTSIDE` where the middle of a pixel lies outside the photo.

    `crop_to_photo` [2, 3] maps the crop's pixels to the photo's, `photo_size` is its width and height.
    """
    height, width = ids.shape
    columns, rows = np.arange(width), np.arange(height)[:, None]
    inside = np.ones((height, width), dtype=bool)
    # A pixel's number is its middle; the first one begins at -0.5.
    for (across, down, shift), size in zip(
        np.asarray(crop_to_photo, dtype=np.float64), np.asarray(photo_size), strict=True
    ):
        place = across * columns + down * rows + shift
        inside &= (place >= -0.5 - _SLACK) & (place <= size - 0.5 + _SLACK)
    return np.where(inside, ids, np.uint8(OUTSIDE))


def as_png(ids: NDArray[np.uint8]) -> bytes:
    """Class ids [H, W] as a PNG of 8-bit grey."""
    written, data = cv2.imencode(".png", ids)
    if not written:
        raise ValueError(f"a mask of shape {list(ids.shape)} can't be written as PNG")
    return data.tobytes()


def as_runs(ids: NDArray[np.uint8]) -> str:
    """Class ids [H, W] as JSON, row by row: {"size": [H, W], "counts": [[id, length], ...]}."""
    flat = ids.reshape(-1)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
    lengths = np.diff(starts, append=flat.size)
    counts = np.stack([flat[starts], lengths], axis=1).tolist()
    return json.dumps({"size": list(ids.shape), "counts": counts}, separators=(",", ":"))


def _with_outside(
    head: NDArray[np.uint8], maps: NDArray[np.float32], sizes: NDArray[Any] | None
) -> list[NDArray[np.uint8]]:
    """Each face's class ids [H, W], `OUTSIDE` where its crop shows nothing of its photo.

    `sizes` None: the photos end nowhere.
    """
    if sizes is None:
        return list(head)
    return [
        outside_marked(ids, crop_to_photo=affine, photo_size=size)
        for ids, affine, size in zip(head, maps, sizes, strict=True)
    ]

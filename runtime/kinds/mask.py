"""A class for each pixel. Head: class ids UINT8 [B, H, W] of the crop.

Answer of a task T: T_png BYTES [B, 1], the ids as a PNG of 8-bit grey, `OUTSIDE` where the crop reaches out
of the photo; T_map FP32 [B, 2, 3], from the crop's pixels to the photo's; on request T_runs BYTES [B, 1],
the same ids as run lengths in JSON (`as_runs`).
"""

import functools
import json
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor, HeadTensor, Kind, PhotoGeometry, bytes_tensor, text_tensor

# The id of a pixel of the crop that shows nothing of the photo. Class 0, the background, is something seen.
OUTSIDE = 255
# A map in fp32 is no more exact than this, in pixels: the edges of a whole picture are inside.
_SLACK = 0.01
_PNG_LEVEL = 6


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
        return _answer_tensors(entry.name)

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        assert photo.maps is not None
        png, crop_map, runs = self.answer_tensors(entry)
        faces = head if photo.sizes is None else with_outside(head, photo.maps, photo.sizes)
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


def with_outside(
    ids: NDArray[np.uint8], crop_to_photo: ArrayLike, photo_size: ArrayLike
) -> NDArray[np.uint8]:
    """Class ids [B, H, W] of crops, with `OUTSIDE` where the middle of a pixel lies outside its photo.

    `crop_to_photo` [B, 2, 3] maps the crops' pixels to the photos', `photo_size` [B, 2] are the photos'
    widths and heights. The same array where every crop lies within its photo.
    """
    _, height, width = ids.shape
    maps = np.asarray(crop_to_photo, dtype=np.float64)
    sizes = np.asarray(photo_size)
    # A crop lies within its photo where its corners do.
    corners = _inside(maps, sizes, columns=np.array([0, width - 1]), rows=np.array([[0], [height - 1]]))
    reaching_out = np.flatnonzero(~corners.all(axis=(1, 2)))
    if not reaching_out.size:
        return ids
    columns, rows = np.arange(width), np.arange(height)[:, None]
    marked = ids.copy()
    for face in reaching_out:  # one by one, as the places of all would take far more memory than the ids
        seen = _inside(maps[face, None], sizes[face, None], columns=columns, rows=rows)[0]
        marked[face][~seen] = OUTSIDE
    return marked


def as_png(ids: NDArray[np.uint8]) -> bytes:
    """Class ids [H, W] as a PNG of 8-bit grey.

    Long runs of few ids suit zlib's run-length strategy on unfiltered rows: a third of the processor time of
    OpenCV's encoder, which filters them, and a smaller file.
    """
    height, width = ids.shape
    rows = np.zeros((height, 1 + width), dtype=np.uint8)  # a row begins with its filter: none
    rows[:, 1:] = ids
    deflate = zlib.compressobj(_PNG_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8-bit grey, not interlaced
    packed = deflate.compress(rows.data) + deflate.flush()
    return b"".join((_PNG_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", packed), _PNG_END))


def as_runs(ids: NDArray[np.uint8]) -> str:
    """Class ids [H, W] as JSON, row by row: {"size": [H, W], "counts": [[id, length], ...]}."""
    flat = ids.reshape(-1)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
    lengths = np.diff(starts, append=flat.size)
    counts = np.stack([flat[starts], lengths], axis=1).tolist()
    return json.dumps({"size": list(ids.shape), "counts": counts}, separators=(",", ":"))


@functools.cache
def _answer_tensors(task: str) -> tuple[AnswerTensor, AnswerTensor, AnswerTensor]:
    return (
        AnswerTensor(name=f"{task}_png", datatype="BYTES", dims=(1,)),
        AnswerTensor(name=f"{task}_map", datatype="FP32", dims=(2, 3)),
        AnswerTensor(name=f"{task}_runs", datatype="BYTES", dims=(1,), on_request=True),
    )


def _inside(
    maps: NDArray[np.float64], sizes: NDArray[Any], *, columns: NDArray[Any], rows: NDArray[Any]
) -> NDArray[np.bool_]:
    """Whether the crops' pixels of these columns [W] and rows [H, 1] lie in their photos, [B, H, W]."""
    inside = np.ones((len(maps), len(rows), len(columns)), dtype=bool)
    for axis in range(2):
        across, down, shift = (maps[:, axis, i, None, None] for i in range(3))
        place = across * columns + down * rows + shift
        # A pixel's number is its middle; the first one begins at -0.5.
        inside &= (place >= -0.5 - _SLACK) & (place <= sizes[:, axis, None, None] - 0.5 + _SLACK)
    return inside


def _chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    checksum = zlib.crc32(content, zlib.crc32(name))
    return b"".join((struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)))


_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = _chunk(b"IEND", b"")

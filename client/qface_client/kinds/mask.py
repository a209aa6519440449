"""mask: a class for each pixel of the face's crop, drawn as clear colours."""

import colorsys
import dataclasses
import functools
import io
import math
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ServerError
from ._distributions import Bar, Bars, Chart, Tally
from .base import (
    NUMBER,
    Box,
    Colour,
    Column,
    Deferred,
    Kind,
    Row,
    Tensors,
    array_schema,
    no_label,
    object_schema,
    plain,
    rows,
    share,
    tensor,
)

if TYPE_CHECKING:
    from PIL import Image  # imported where a picture needs it: answers alone do not

    from ..contract import TaskSpec

# A mask's id where its crop shows nothing of the photo. 0, the first label, is the background.
OUTSIDE = 255
MASK_ALPHA = 105  # of 255: the face is still seen through its mask
TOP_AREAS = 4  # in a caption
_PNG_BEGIN, _PNG_END = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0\0\0\0IEND\xaeB`\x82"
_PNG_HEADER = struct.Struct(">8sI4sIIBBBBBI")  # the file's signature and all of its first chunk
_PNG_CHUNK = struct.Struct(">I4s")  # its length and name
_PNG_BITS, _PNG_GREY = 8, 0
_MOST_PIXELS = 1 << 24  # of a mask that is not left to PIL
_GRID = 1_000_000  # places that are looked up at once, which keeps a large photo's memory small
# How far a mask in the photo goes on beyond its crop, in parts of the crop's side. On CelebAMask-HQ's photos,
# where hair and hats end beyond the crop, more than this changes nothing and less loses regions.
MARGIN = 0.2
_GOLDEN = 0.618034  # of the circle of hues: neighbouring classes lie far apart


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Mask(Deferred):
    """A class id for each pixel of the face's crop, an index into `labels`; the first is the background.

    Where the crop reaches out of the photo the id is 255.
    """

    ids: NDArray[np.uint8]  # [h, w], of the crop's pixels
    labels: tuple[str, ...]
    to_photo: NDArray[
        np.float32
    ]  # [2, 3], from the crop's pixels (x, y) to the photo's, both at their centres

    def __repr__(self) -> str:
        """Without its ids, which may not be decompressed yet."""
        return f"Mask(labels={self.labels})"

    def of(self, label: str) -> NDArray[np.bool_]:
        """Where a label lies in the crop, [h, w]; KeyError for a label that the task does not have."""
        if label not in self.labels:
            raise no_label(label, self.labels)
        return np.equal(self.ids, self.labels.index(label))

    def present(self) -> list[int]:
        """The ids that occur, rising."""
        return [int(i) for i in np.unique(self.ids)]

    def extent(self) -> Box | None:
        """x0, y0, x1, y1 around all but the background, in the photo's pixels; None where nothing else is."""
        rows, columns = np.nonzero((self.ids != 0) & (self.ids != OUTSIDE))
        if not rows.size:
            return None
        (x0, x1), (y0, y1) = ((at.min() - 0.5, at.max() + 0.5) for at in (columns, rows))
        corners = np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]) @ self.to_photo[:, :2].T
        corners += self.to_photo[:, 2] + 0.5
        left, top = (float(edge) for edge in corners.min(axis=0))
        right, bottom = (float(edge) for edge in corners.max(axis=0))
        return left, top, right, bottom

    def in_photo(self, width: int, height: int, *, margin: float = MARGIN) -> NDArray[np.uint8]:
        """Ids [height, width] of the pixels of a photo of this size; 255 where the mask does not reach.

        `margin` as of `at`.
        """
        return self.at(np.arange(width), np.arange(height), margin=margin)

    def at(self, x: NDArray[Any], y: NDArray[Any], *, margin: float = MARGIN) -> NDArray[np.uint8]:
        """Ids [len(y), len(x)] on a grid of places in the photo, both rising; 255 where the mask ends.

        Hair, hats and clothes go on where the crop ends. Up to `margin` beyond it, in parts of its side,
        a place has the class of the nearest pixel of the crop; 0 leaves only what the network saw.
        ValueError for a margin that is negative or no number.
        """
        if not 0 <= margin < math.inf:
            raise ValueError(f"margin = {margin} is no part of the crop's side: take 0 or more")
        found = np.full((len(y), len(x)), OUTSIDE, np.uint8)
        height, width = self.ids.shape
        linear, shift = self.to_photo[:, :2].astype(np.float64), self.to_photo[:, 2].astype(np.float64)
        high, wide = margin * height, margin * width
        edges = np.array(
            [
                [-0.5 - wide, -0.5 - high],
                [width - 0.5 + wide, -0.5 - high],
                [-0.5 - wide, height - 0.5 + high],
                [width - 0.5 + wide, height - 0.5 + high],
            ]
        )
        corners = edges @ linear.T + shift
        left, top = (np.searchsorted(at, low) for at, low in zip((x, y), corners.min(axis=0), strict=True))
        right, bottom = (
            np.searchsorted(at, high, side="right")
            for at, high in zip((x, y), corners.max(axis=0), strict=True)
        )
        (a, b), (c, d) = np.linalg.inv(linear)
        across, down = x[left:right] - shift[0], y[top:bottom, None] - shift[1]
        rows = max(1, _GRID // max(1, len(across)))
        for start in range(0, len(down), rows):
            part = down[start : start + rows]
            column = np.floor(a * across + b * part + 0.5).astype(np.intp)
            row = np.floor(c * across + d * part + 0.5).astype(np.intp)
            inside = (column >= -wide) & (column < width + wide) & (row >= -high) & (row < height + high)
            ids = self.ids[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
            begin = top + start
            found[begin : begin + len(part), left:right] = np.where(inside, ids, OUTSIDE)
        return found

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        counts = np.bincount(self.ids.ravel(), minlength=OUTSIDE + 1)[: len(task.labels)]
        shares: list[float] = (counts / max(1, counts.sum())).tolist()
        return shares

    def to_dict(self) -> dict[str, Any]:
        """`size` [h, w] of the crop; `map` [2][3] from its pixels to the photo's; `runs` row by row,
        [class id, length] each, together h * w."""
        flat = self.ids.ravel()
        starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
        lengths = np.diff(starts, append=flat.size)
        return {
            "labels": list(self.labels),
            "size": list(self.ids.shape),
            "map": [[round(float(number), 6) for number in row] for row in self.to_photo],
            "runs": np.stack([flat[starts], lengths], axis=1).tolist(),
        }

    def drawn_caption(self, name: str) -> list[Row]:
        """The largest areas but the background, as shares of what the crop shows of the photo."""
        seen = self.ids[self.ids != OUTSIDE]
        counts = np.bincount(seen, minlength=1)
        counts[0] = 0
        largest = [int(i) for i in np.argsort(-counts, kind="stable")[:TOP_AREAS] if counts[i]]
        text = "  ".join(share(self.labels[i], counts[i] / len(seen)) for i in largest)
        return [Row(name=plain(name), text=text or "none")]

    def areas(self) -> tuple[tuple[str, ...], list[int]]:
        return self.labels, [i for i in self.present() if i not in (0, OUTSIDE)]

    def lay(self, layer: "Image.Image", *, scale: float, photo: tuple[int, int], sharp: int) -> None:
        """Puts the colours where the crop lies in the photo, and nothing beyond it."""
        from PIL import Image

        height, width = self.ids.shape
        edges = np.array([[-0.5, -0.5], [width, -0.5], [-0.5, height], [width, height]])
        corners = (edges @ self.to_photo[:, :2].T + self.to_photo[:, 2] + 0.5) * scale
        x0, y0 = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, np.array(photo) * sharp)
        x1, y1 = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, np.array(photo) * sharp)
        if x1 <= x0 or y1 <= y0:
            return
        ids = self.at(
            (np.arange(x0, x1) + 0.5) / scale - 0.5, (np.arange(y0, y1) + 0.5) / scale - 0.5, margin=0
        )
        colours = np.zeros((256, 4), np.uint8)
        for index in range(1, len(self.labels)):
            colours[index] = (*colour_of(index), MASK_ALPHA)
        colours[OUTSIDE] = 0
        layer.alpha_composite(Image.fromarray(colours[ids]), (int(x0), int(y0)))


def colour_of(index: int) -> Colour:
    """The colour of a mask's class; the first one, the background, is never drawn."""
    strong = index % 2
    red, green, blue = colorsys.hsv_to_rgb(
        index * _GOLDEN % 1, 0.85 if strong else 0.6, 1 if strong else 0.95
    )
    return round(red * 255), round(green * 255), round(blue * 255)


class Masks(Kind):
    """`T_png` BYTES [N, 1], class ids as a PNG of 8-bit grey, and `T_map` FP32 [N, 2, 3], crop to photo."""

    name = "mask"
    tensors = ("png", "map")

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Mask]:
        pictures = tensor(tensors, f"{task.name}_png", shape=(count, 1), texts=True)
        maps = tensor(tensors, f"{task.name}_map", shape=(count, 2, 3))
        answers = []
        for (png,), to_photo in zip(pictures, rows(maps), strict=True):
            ids = functools.partial(_ids, png, task)
            if not _begins_as_grey_png(png):
                ids()  # raises, with what is wrong
            answers.append(
                Mask.deferred({"ids": ids}, labels=task.labels, to_photo=_invertible(to_photo, task))
            )
        return answers

    def parse(self, data: Any, task: "TaskSpec") -> Mask:
        if tuple(data["labels"]) != task.labels:
            raise ValueError(f"its labels are {', '.join(task.labels)}, and not {', '.join(data['labels'])}")
        runs = np.array(data["runs"], np.int64).reshape(-1, 2)
        height, width = data["size"]
        if runs[:, 1].sum() != height * width:
            raise ValueError(f"its runs are not of {height} x {width} pixels")
        if ((runs[:, 0] >= len(task.labels)) & (runs[:, 0] != OUTSIDE) | (runs < 0).any(axis=1)).any():
            raise ValueError("a run is of no label")
        ids = np.repeat(runs[:, 0].astype(np.uint8), runs[:, 1]).reshape(height, width)
        ids.flags.writeable = False
        return Mask(ids=ids, labels=task.labels, to_photo=np.array(data["map"], np.float32).reshape(2, 3))

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """The share of each label in what the crop shows of the photo, together 1; not the pixels."""
        names = (f"{task.name}.{label}" for label in task.labels)
        return [Column(name=name, dtype="float32", digits=4) for name in names]

    def tally(self, task: "TaskSpec") -> Tally:
        """The mean share of each label."""
        return _Areas(task)

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        count, label = {"type": "integer", "minimum": 0}, {"type": "string", "enum": list(task.labels)}
        return object_schema(
            {
                "labels": array_schema(label, length=len(task.labels)),
                "size": array_schema(count, length=2),
                "map": array_schema(array_schema(NUMBER, length=3), length=2),
                "runs": array_schema(array_schema(count, length=2)),
            }
        )


def _begins_as_grey_png(png: bytes) -> bool:
    """Whether the first bytes are those of a PNG of 8-bit grey; the others are read where ids are wanted."""
    if not isinstance(png, bytes) or len(png) < _PNG_HEADER.size:
        return False
    begin = png[: len(_PNG_BEGIN)]
    *_, bits, colour, _, _, _, _ = _PNG_HEADER.unpack_from(png)
    return (begin, bits, colour) == (_PNG_BEGIN, _PNG_BITS, _PNG_GREY)


def _ids(png: bytes, task: "TaskSpec") -> NDArray[np.uint8]:
    """Class ids [h, w] from a PNG of 8-bit grey, read-only."""
    ids = _unfiltered(png)
    if ids is None:
        ids = _by_pil(png, task)
    if int(ids.max(initial=0)) >= len(task.labels):
        foreign = ids[(ids >= len(task.labels)) & (ids != OUTSIDE)]
        if foreign.size:
            raise ServerError(
                f"{task.name} was answered class {foreign[0]}, which its contract does not have"
            )
    return ids


def _unfiltered(png: bytes) -> NDArray[np.uint8] | None:
    """The pixels of a PNG that has them in one chunk and unfiltered, as servers write masks: a tenth of PIL's
    time. None of any other, and of one that is damaged."""
    if not _begins_as_grey_png(png):
        return None
    try:
        header = _PNG_HEADER.unpack_from(png)
        *_, width, height, _, _, compression, filters, interlaced, header_checksum = header
        length, name = _PNG_CHUNK.unpack_from(png, _PNG_HEADER.size)
        begin = _PNG_HEADER.size + _PNG_CHUNK.size
        (checksum,) = struct.unpack_from(">I", png, begin + length)
        size = height * (1 + width)
        if name != b"IDAT" or (compression, filters, interlaced) != (0, 0, 0):
            return None
        if png[begin + length + 4 :] != _PNG_END:
            return None
        if not (width and height) or size > _MOST_PIXELS:
            return None
        found = (zlib.crc32(png[12:29]), zlib.crc32(png[begin - len(name) : begin + length]))
        if found != (header_checksum, checksum):
            return None
        inflate = zlib.decompressobj()
        rows = inflate.decompress(png[begin : begin + length], size + 1)
    except (struct.error, zlib.error):
        return None
    if not inflate.eof or len(rows) != size:
        return None
    table = np.frombuffer(rows, np.uint8).reshape(height, 1 + width)
    if table[:, 0].any():  # the rows' filters
        return None
    ids = table[:, 1:].copy()
    ids.flags.writeable = False
    return ids


def _by_pil(png: bytes, task: "TaskSpec") -> NDArray[np.uint8]:
    """The pixels of any PNG of 8-bit grey; ServerError for what is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            mode, ids = picture.mode, np.asarray(picture)
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise ServerError(
            f"the answer's {task.name}_png is no PNG that can be read ({error}): look at the server's log"
        ) from error
    if mode != "L":
        raise ServerError(f"the answer's {task.name}_png is of mode {mode} and not of 8-bit grey")
    return ids


def _invertible(to_photo: NDArray[np.float32], task: "TaskSpec") -> NDArray[np.float32]:
    (a, b, x), (c, d, y) = to_photo.tolist()
    if not math.isfinite(a + b + c + d + x + y) or a * d == b * c:
        raise ServerError(f"the answer's {task.name}_map {to_photo.tolist()} leads to no place in the photo")
    return to_photo


class _Areas(Tally):
    """Sums the shares of all labels but the background, the first."""

    def __init__(self, task: "TaskSpec") -> None:
        self._task = task
        self._shares = np.zeros(len(task.labels))
        self._faces = 0

    def add(self, answer: Mask) -> None:
        self._shares += answer.cells(self._task)
        self._faces += 1

    def charts(self) -> Sequence[Chart]:
        if not self._faces:
            return ()
        named = zip(self._task.labels[1:], (self._shares[1:] / self._faces).tolist(), strict=True)
        bars = tuple(Bar(name=plain(label), share=part) for label, part in named)
        return (Bars(about="mean share of what the face's crop shows of the photo", bars=bars),)


KIND = Masks()

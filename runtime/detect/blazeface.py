"""Finding faces in a photo: which tiles the detector looks at, and what its raw answers mean.

The detector is MediaPipe's BlazeFace, full-range: 192 x 192 RGB in; one anchor at the centre of each
cell of a 48 x 48 grid; for each anchor a logit and 16 numbers in canvas pixels: offset of the box's
centre from the anchor, width, height, and offsets of six key points (right eye, left eye, nose tip,
mouth's centre, right ear, left ear).

It finds faces of about a tenth to two fifths of its canvas. So a photo is shown to it as a pyramid:
once shrunken to a part of the canvas (a face that fills the picture), once whole, and for smaller
faces as overlapping tiles of larger copies. All tiles of a photo are one inference call. This module
is the mathematics around that call; it works the same whether the call is local or a server's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidImage

# Names of the detector's tensors.
TILES, REGRESSORS, LOGITS = "tiles", "regressors", "logits"

TILE_SIZE = 192
GRID = 48
STRIDE = TILE_SIZE // GRID
MIN_SCORE = 0.5
# Smaller faces (photo pixels) are not worth a box: nothing can be said about them.
MIN_FACE = 16.0
# At most this many tiles a photo (26 for a large one of 4:3).
MAX_TILES = 32

# The shrunken level: the photo takes this part of the canvas.
_SHRUNKEN = 0.4
# What neighbouring tiles share at least. A face larger than this is found at a coarser level, where it
# measures at least 56 / 2.3 = 24 canvas pixels.
_OVERLAP = 56
# The long side of the tiled levels in tiles: 328, 736 and 1552 pixels, a good factor of two apart.
_LEVEL_TILES = (2, 5, 11)
# Below this size on the canvas a box is out of place by up to half; a finer level, where there is one,
# shows the same face at 1.7 to 2.5 times the size.
_VAGUE = 14.0
# Two boxes are one face from this overlap on (intersection over union).
_SAME_FACE = 0.3
# ... or when this part of the smaller one lies inside the larger one.
_INSIDE = 0.7
# A box that runs this part of its size over a tile's inner edge belongs to a face that the tile cuts.
_CUT = 0.05
# Landmarks are best where a face measures this on the canvas (error on aligned portraits: 6 % of the
# distance between the eyes at 45 to 75 pixels, 13 % at 17).
_BEST_SIZE = 55.0

# Pixels, scale, offset and inner edges of one tile, as in `Tiles`.
_Tile = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]

Infer = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Faces of one photo, the surest first.

    boxes [N, 4] float32: x0, y0, x1, y1 in photo pixels, within the photo; brow to chin.
    scores [N] float32: 0..1.
    landmarks [N, 5, 2] float32, photo pixels: right eye, left eye (the subject's), nose tip, right and
    left corner of the mouth. The detector knows the mouth's centre only: it stands for both corners.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """What the detector is shown of one photo.

    pixels [T, 192, 192, 3] uint8 RGB. scale [T, 2] and offset [T, 2] float64:
    photo = (canvas - offset) / scale, x then y. inner_edges [T, 4] bool: whether the photo goes on
    beyond the tile's left, top, right and bottom edge.
    """

    pixels: NDArray[np.uint8]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    inner_edges: NDArray[np.bool_]
    photo_size: tuple[int, int]


def find_faces(image: NDArray[np.uint8], infer: Infer, *, min_score: float = MIN_SCORE) -> Detections:
    """All faces of a photo [H, W, 3] uint8 RGB, upright.

    `infer` takes tiles [T, 192, 192, 3] uint8 and answers `regressors` [T, 2304, 16] and `logits`
    [T, 2304, 1], as `OpenVinoEngine.for_detector(path)` does: `lambda t: engine.infer({"tiles": t})`.
    """
    tiles = prepare(image)
    return finish(tiles, infer(tiles.pixels), min_score=min_score)


def prepare(image: NDArray[np.uint8], *, max_tiles: int = MAX_TILES) -> Tiles:
    """The tiles to show the detector for a photo [H, W, 3] uint8; at least the two coarsest levels.

    Raises InvalidImage for an array of another shape or type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InvalidImage(
            f"A photo of shape {image.shape} and type {image.dtype} can't be searched for faces; "
            "send height x width x 3 RGB values of type uint8."
        )
    photo = np.array([image.shape[1], image.shape[0]])
    levels = _levels(photo, max_tiles=max_tiles)
    # Every coarser copy is made from the finest, so a large photo is read only once.
    base = _resize(image, levels[-1].size) if levels else image
    parts = [_letterbox(base, part=part, photo=photo) for part in (_SHRUNKEN, 1.0)]
    for level in levels:
        parts.extend(_cut(_resize(base, level.size), level=level, photo=photo))
    pixels, scales, offsets, edges = zip(*parts, strict=True)
    return Tiles(
        pixels=np.stack(pixels),
        scale=np.stack(scales),
        offset=np.stack(offsets),
        inner_edges=np.stack(edges),
        photo_size=(int(photo[0]), int(photo[1])),
    )


def finish(tiles: Tiles, raw: Mapping[str, NDArray[Any]], *, min_score: float = MIN_SCORE) -> Detections:
    """The faces that the detector's raw answers tell of, each once.

    `raw` holds `regressors` [T, 2304, 16] and `logits` [T, 2304, 1] for the T tiles.
    """
    # MediaPipe clips logits to +-100 before the sigmoid; float64 holds that without overflow.
    logits = np.clip(np.asarray(raw[LOGITS], dtype=np.float64)[..., 0], -100, 100)
    scores = 1 / (1 + np.exp(-logits))
    tile, anchor = np.nonzero(scores >= min_score)
    values = np.asarray(raw[REGRESSORS])[tile, anchor].astype(np.float64)
    finite = np.isfinite(values).all(axis=1)
    tile, anchor, values = tile[finite], anchor[finite], values[finite]
    score = scores[tile, anchor]
    anchors = np.stack([anchor % GRID, anchor // GRID], axis=1) * STRIDE + STRIDE / 2

    center, size = anchors + values[:, 0:2], values[:, 2:4]
    # [n, 8, 2]: the box's two corners, then the six key points, all in canvas pixels.
    points = np.concatenate(
        [
            np.stack([center - size / 2, center + size / 2], axis=1),
            anchors[:, None] + values[:, 4:].reshape(-1, 6, 2),
        ],
        axis=1,
    )
    whole = ~_is_cut(points[:, :2], edges=tiles.inner_edges[tile])
    points = (points - tiles.offset[tile][:, None]) / tiles.scale[tile][:, None]
    fits = np.exp(-np.abs(np.log(np.maximum(size.max(axis=1), 1.0) / _BEST_SIZE)))

    vague = (size.max(axis=1) < _VAGUE) & (tiles.scale[tile] < tiles.scale.max(axis=0)).any(axis=1)
    # A box outside the photo, as a padded tile may suggest, has nothing left to see either.
    seen = np.clip(points[:, :2], 0, tiles.photo_size)
    tiny = (seen[:, 1] - seen[:, 0]).min(axis=1) < MIN_FACE
    usable = ~tiny & ~vague
    faces = list(_merge(points[usable], score[usable], whole=whole[usable], fits=fits[usable]))
    return _detections(faces, photo_size=tiles.photo_size)


@dataclass(frozen=True, kw_only=True)
class _Level:
    """A copy of the photo that is cut into tiles: its size and the number of tiles, across and down."""

    size: NDArray[np.int_]
    count: NDArray[np.int_]


def _levels(photo: NDArray[np.int_], *, max_tiles: int) -> list[_Level]:
    """The tiled levels for a photo of that size (width, height), coarse to fine."""
    levels: list[_Level] = []
    tiles = 2
    for across in _LEVEL_TILES:
        side = across * TILE_SIZE - (across - 1) * _OVERLAP
        size = np.maximum(1, np.rint(photo * (side / photo.max())).astype(int))
        count = np.maximum(1, np.ceil((size - _OVERLAP) / (TILE_SIZE - _OVERLAP)).astype(int))
        tiles += int(count.prod())
        # Enlarging a photo would show nothing new.
        if side > photo.max() or tiles > max_tiles:
            break
        levels.append(_Level(size=size, count=count))
    return levels


def _letterbox(image: NDArray[np.uint8], *, part: float, photo: NDArray[np.int_]) -> _Tile:
    """The whole photo in the middle of a black canvas, its long side `part` of the canvas."""
    size = np.maximum(1, np.rint(photo * (TILE_SIZE * part / photo.max())).astype(int))
    offset = (TILE_SIZE - size) // 2
    return (
        _canvas(_resize(image, size), at=offset),
        size / photo,
        offset.astype(np.float64),
        np.zeros(4, dtype=bool),
    )


def _cut(image: NDArray[np.uint8], *, level: _Level, photo: NDArray[np.int_]) -> Iterator[_Tile]:
    """A level's tiles, evenly spread over the picture and its edges included."""
    size = level.size
    spare = np.maximum(0, size - TILE_SIZE)
    columns, rows = (
        np.rint(np.linspace(0, s, n)).astype(int) for s, n in zip(spare, level.count, strict=True)
    )
    for y in rows:
        for x in columns:
            edges = np.array([x > 0, y > 0, x + TILE_SIZE < size[0], y + TILE_SIZE < size[1]])
            tile = _canvas(image[y : y + TILE_SIZE, x : x + TILE_SIZE], at=np.zeros(2, dtype=int))
            yield tile, size / photo, -np.array([x, y], dtype=np.float64), edges


def _canvas(image: NDArray[np.uint8], *, at: NDArray[np.int_]) -> NDArray[np.uint8]:
    canvas = np.zeros((TILE_SIZE, TILE_SIZE, 3), dtype=np.uint8)
    canvas[at[1] : at[1] + image.shape[0], at[0] : at[0] + image.shape[1]] = image
    return canvas


def _resize(image: NDArray[np.uint8], size: NDArray[np.int_]) -> NDArray[np.uint8]:
    if image.shape[1] == size[0] and image.shape[0] == size[1]:
        return image
    smaller = size[0] < image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (int(size[0]), int(size[1])), interpolation=method), dtype=np.uint8)


def _is_cut(corners: NDArray[np.float64], *, edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which boxes [n, 2, 2] (canvas pixels) run over an inner edge [n, 4] of their tile."""
    margin = _CUT * (corners[:, 1] - corners[:, 0])
    over = np.concatenate([corners[:, 0] < -margin, corners[:, 1] > TILE_SIZE + margin], axis=1)
    return np.asarray((over & edges).any(axis=1))


def _merge(
    points: NDArray[np.float64],
    score: NDArray[np.float64],
    *,
    whole: NDArray[np.bool_],
    fits: NDArray[np.float64],
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Weighted non-maximum suppression: points [n, 8, 2] and score of each face.

    The best candidate gathers all that show the same face; what is answered is their mean, weighted
    by score and by how well the face's size suited the detector. A face cut by a tile's edge only
    counts where no whole one shows it.
    """
    weight = score * fits
    left = np.lexsort((-weight, ~whole))
    while len(left):
        same = _same_face(points[left[0], :2], points[left, :2])
        same[0] = True
        group = left[same]
        if whole[group[0]]:
            group = group[whole[group]]
        close = group[_iou(points[group[0], :2], points[group, :2]) >= 0.5]
        yield np.average(points[close], axis=0, weights=weight[close]), float(score[group].max())
        left = left[~same]


def _intersection(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0])
    return np.asarray(np.maximum(sides, 0).prod(axis=1))


def _iou(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box [2, 2] (corners) with boxes [n, 2, 2]."""
    common = _intersection(box, boxes)
    return np.asarray(common / ((box[1] - box[0]).prod() + (boxes[:, 1] - boxes[:, 0]).prod(axis=1) - common))


def _same_face(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    areas = (boxes[:, 1] - boxes[:, 0]).prod(axis=1)
    smaller = np.minimum((box[1] - box[0]).prod(), areas)
    return np.asarray((_iou(box, boxes) >= _SAME_FACE) | (_intersection(box, boxes) >= _INSIDE * smaller))


def _detections(faces: list[tuple[NDArray[np.float64], float]], *, photo_size: tuple[int, int]) -> Detections:
    faces = sorted(faces, key=lambda face: -face[1])
    points = np.array([face[0] for face in faces]).reshape(-1, 8, 2)
    # Canvas and photo are measured from their outer edges here; a pixel's own coordinates are its centre's.
    eyes_nose_mouth = points[:, [2, 3, 4, 5, 5]] - 0.5
    return Detections(
        boxes=np.clip(points[:, :2], 0, photo_size).reshape(-1, 4).astype(np.float32),
        scores=np.array([face[1] for face in faces], dtype=np.float32),
        landmarks=eyes_nose_mouth.astype(np.float32),
    )

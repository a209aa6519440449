"""Finding the faces of a photo: tiles of it, the detector's raw answers about them, each face once.

It works the same whether the detector is called here (`find_faces`) or runs in a server (`tile_photo`, then
`decode_faces`).
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.blazeface import TILE_SIZE, decode
from runtime.detect.suppression import merge_candidates
from runtime.detect.tiles import Tiles, tile_photo

MIN_SCORE = 0.5
# Of one photo, the surest and best seen. A wall of portraits shows the detector 300; a picture made to look
# like thousands of faces would keep an engine busy for minutes, and one full of candidates this code.
MAX_FACES = 320
_MAX_CANDIDATES = 8192
# Smaller faces (photo pixels) are not worth a box: nothing can be said about them.
MIN_FACE = 16.0

# Below this size on the canvas a box is out of place by up to half; a finer level, where there is one,
# shows the same face at 1.7 to 2.5 times the size.
_VAGUE = 14.0
# A box that runs this part of its size over a tile's inner edge belongs to a face that the tile cuts.
_CUT = 0.05
# Landmarks are best where a face measures this on the canvas (error on aligned portraits: 6 % of the
# distance between the eyes at 45 to 75 pixels, 13 % at 17).
_BEST_SIZE = 55.0

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


def find_faces(image: NDArray[np.uint8], infer: Infer, *, min_score: float = MIN_SCORE) -> Detections:
    """All faces of a photo [H, W, 3] uint8 RGB, upright; of more than MAX_FACES those best seen.

    `infer` takes tiles [T, 192, 192, 3] uint8 and returns `regressors` [T, 2304, 16] and `logits`
    [T, 2304, 1]. With an engine of `runtime.detect.detector_engine`: `lambda t: engine.infer({TILES: t})`.
    """
    tiles = tile_photo(image)
    return decode_faces(tiles, infer(tiles.pixels), min_score=min_score)


def decode_faces(
    tiles: Tiles, raw: Mapping[str, NDArray[Any]], *, min_score: float = MIN_SCORE
) -> Detections:
    """The faces that the detector's raw answers show, each once; of more than MAX_FACES those best seen.

    `raw` holds `regressors` [T, 2304, 16] and `logits` [T, 2304, 1] for the T tiles.
    """
    candidates = decode(raw, min_score=min_score)
    tile, points, size = candidates.tile, candidates.points, candidates.size
    whole = ~_is_cut(points[:, :2], edges=tiles.inner_edges[tile])
    points = (points - tiles.offset[tile][:, None]) / tiles.scale[tile][:, None]
    fits = np.exp(-np.abs(np.log(np.maximum(size.max(axis=1), 1.0) / _BEST_SIZE)))

    vague = (size.max(axis=1) < _VAGUE) & (tiles.scale[tile] < tiles.scale.max(axis=0)).any(axis=1)
    # A box outside the photo, as a padded tile may suggest, has nothing left to see either.
    seen = np.clip(points[:, :2], 0, tiles.photo_size)
    tiny = (seen[:, 1] - seen[:, 0]).min(axis=1) < MIN_FACE
    usable = np.flatnonzero(~tiny & ~vague)
    if len(usable) > _MAX_CANDIDATES:
        worth = (candidates.score * fits)[usable]
        usable = usable[np.argpartition(worth, -_MAX_CANDIDATES)[-_MAX_CANDIDATES:]]
    merged = merge_candidates(
        points[usable], candidates.score[usable], whole=whole[usable], fits=fits[usable]
    )
    faces = list(itertools.islice(merged, MAX_FACES))
    return _detections(faces, photo_size=tiles.photo_size)


def _is_cut(corners: NDArray[np.float64], *, edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which boxes [n, 2, 2] (canvas pixels) run over an inner edge [n, 4] of their tile."""
    margin = _CUT * (corners[:, 1] - corners[:, 0])
    over = np.concatenate([corners[:, 0] < -margin, corners[:, 1] > TILE_SIZE + margin], axis=1)
    return np.asarray((over & edges).any(axis=1))


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

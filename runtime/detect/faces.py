"""Finding the faces of a photo: tiles of it, the detector's raw answers about them, each face once.

It works the same whether the detector is called here (`find_faces`) or runs in a server (`tile_photo`,
`usable_candidates` of each batch of its tiles, then `merge_faces`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.blazeface import TILE_SIZE, decode
from runtime.detect.search import USUAL_SEARCH, Search
from runtime.detect.suppression import merge_candidates
from runtime.detect.tiles import MAX_TILES, SMALLEST_FACE, VAGUE, Tiles, tile_photo

# A picture made to look like thousands of faces would keep this code busy: so many candidates of a photo are
# looked at, and more where more faces than usual are wanted.
_MAX_CANDIDATES = 8192
_CANDIDATES_A_FACE = 16
# A face is smaller than wanted where its box is smaller than this part of it: small boxes are not exact.
_CLEARLY_SMALLER = 0.8
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
    faces_found: how many there were before the best seen were chosen, N or more.
    smallest_face: the longer side in photo pixels from which on nine of ten faces are found.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    faces_found: int
    smallest_face: float

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, kw_only=True)
class UsableCandidates:
    """Candidates of some tiles that may become faces; several of them show the same one.

    points [n, 8, 2] in photo pixels, as `blazeface.Candidates`. score [n]: 0..1. whole [n]: whether the tile
    shows all of the face. fits [n]: 0..1, how well its size on the canvas suits the detector.
    """

    points: NDArray[np.float64]
    score: NDArray[np.float64]
    whole: NDArray[np.bool_]
    fits: NDArray[np.float64]


def find_faces(image: NDArray[np.uint8], infer: Infer, *, search: Search = USUAL_SEARCH) -> Detections:
    """All faces of a photo [H, W, 3] uint8 RGB, upright, that a search wants.

    `infer` takes up to MAX_TILES tiles [T, 192, 192, 3] uint8 and returns `regressors` [T, 2304, 16] and
    `logits` [T, 2304, 1]. With an engine of `runtime.detect.detector_engine`:
    `lambda tiles: engine.infer({TILES: tiles})`.
    """
    tiles = tile_photo(image, min_face=search.min_face)
    candidates = [
        usable_candidates(tiles, infer(tiles.pixels[first : first + MAX_TILES]), search=search, first=first)
        for first in range(0, len(tiles.pixels), MAX_TILES)
    ]
    return merge_faces(tiles, candidates, search=search)


def decode_faces(
    tiles: Tiles, raw: Mapping[str, NDArray[Any]], *, search: Search = USUAL_SEARCH
) -> Detections:
    """The faces that the detector's raw answers show, each once.

    `raw` holds `regressors` [T, 2304, 16] and `logits` [T, 2304, 1] for the T tiles.
    """
    return merge_faces(tiles, [usable_candidates(tiles, raw, search=search)], search=search)


def usable_candidates(
    tiles: Tiles, raw: Mapping[str, NDArray[Any]], *, search: Search, first: int = 0
) -> UsableCandidates:
    """What the raw answers about the tiles from number `first` on show; of very many the best."""
    candidates = decode(raw, min_score=search.min_score)
    tile, points, size = candidates.tile + first, candidates.points, candidates.size
    whole = ~_is_cut(points[:, :2], edges=tiles.inner_edges[tile])
    points = (points - tiles.offset[tile][:, None]) / tiles.scale[tile][:, None]
    fits = np.exp(-np.abs(np.log(np.maximum(size.max(axis=1), 1.0) / _BEST_SIZE)))

    vague = (size.max(axis=1) < VAGUE) & (tiles.scale[tile] < tiles.scale.max(axis=0)).any(axis=1)
    # A box outside the photo, as a padded tile may suggest, has nothing left to see either.
    seen = np.clip(points[:, :2], 0, tiles.photo_size)
    tiny = (seen[:, 1] - seen[:, 0]).min(axis=1) < SMALLEST_FACE
    usable = ~tiny & ~vague
    return _best(
        UsableCandidates(
            points=points[usable], score=candidates.score[usable], whole=whole[usable], fits=fits[usable]
        ),
        most=_most_candidates(search),
    )


def merge_faces(tiles: Tiles, parts: Sequence[UsableCandidates], *, search: Search) -> Detections:
    """The faces that the candidates of all tiles show, each once."""
    together = UsableCandidates(
        points=np.concatenate([part.points for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        whole=np.concatenate([part.whole for part in parts]),
        fits=np.concatenate([part.fits for part in parts]),
    )
    candidates = _best(together, most=_most_candidates(search))
    wanted = 0.0 if search.min_face is None else search.min_face * max(tiles.photo_size)
    faces: list[tuple[NDArray[np.float64], float]] = []
    found = 0
    for points, score in merge_candidates(
        candidates.points, candidates.score, whole=candidates.whole, fits=candidates.fits
    ):
        if (points[1] - points[0]).max() < _CLEARLY_SMALLER * wanted:
            continue
        found += 1
        if found <= search.max_faces:
            faces.append((points, score))
    return _detections(
        faces,
        photo_size=tiles.photo_size,
        faces_found=found,
        smallest_face=max(tiles.smallest_face, wanted),
    )


def _most_candidates(search: Search) -> int:
    return max(_MAX_CANDIDATES, _CANDIDATES_A_FACE * search.max_faces)


def _best(candidates: UsableCandidates, *, most: int) -> UsableCandidates:
    """So many of the candidates: those that are surest and best seen."""
    if len(candidates.score) <= most:
        return candidates
    worth = candidates.score * candidates.fits
    kept = np.argpartition(worth, -most)[-most:]
    return UsableCandidates(
        points=candidates.points[kept],
        score=candidates.score[kept],
        whole=candidates.whole[kept],
        fits=candidates.fits[kept],
    )


def _is_cut(corners: NDArray[np.float64], *, edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which boxes [n, 2, 2] (canvas pixels) run over an inner edge [n, 4] of their tile."""
    margin = _CUT * (corners[:, 1] - corners[:, 0])
    over = np.concatenate([corners[:, 0] < -margin, corners[:, 1] > TILE_SIZE + margin], axis=1)
    return np.asarray((over & edges).any(axis=1))


def _detections(
    faces: list[tuple[NDArray[np.float64], float]],
    *,
    photo_size: tuple[int, int],
    faces_found: int,
    smallest_face: float,
) -> Detections:
    faces = sorted(faces, key=lambda face: -face[1])
    points = np.array([face[0] for face in faces]).reshape(-1, 8, 2)
    # Canvas and photo are measured from their outer edges here; a pixel's own coordinates are its centre's.
    eyes_nose_mouth = points[:, [2, 3, 4, 5, 5]] - 0.5
    return Detections(
        boxes=np.clip(points[:, :2], 0, photo_size).reshape(-1, 4).astype(np.float32),
        scores=np.array([face[1] for face in faces], dtype=np.float32),
        landmarks=eyes_nose_mouth.astype(np.float32),
        faces_found=faces_found,
        smallest_face=smallest_face,
    )

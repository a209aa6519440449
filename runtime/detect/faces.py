"""Finding the faces of a photo: looks at it, the detector's raw answers about them, each face once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.blazeface import decode
from runtime.detect.canvases import (
    SMALLEST_FACE,
    Canvases,
    check_photo,
    closer_looks,
    crowd_looks,
    fine_looks,
    finest_face,
    shrunken_look,
    whole_looks,
)
from runtime.detect.search import USUAL_SEARCH, Search
from runtime.detect.suppression import merge_candidates
from runtime.image.photo import Photo, mirror_of, size_of

# A picture made to look like thousands of faces would keep this code busy: so many candidates of a photo are
# looked at, and more where more faces than usual are wanted.
_MAX_CANDIDATES = 8192
_CANDIDATES_A_FACE = 16
# A face is smaller than wanted where its box is smaller than this part of it: small boxes are not exact.
_CLEARLY_SMALLER = 0.8
# A box that runs this part of its size over a view's inner edge belongs to a face that the view cuts.
_CUT = 0.05
# Landmarks are best where a face measures this on the canvas (error on aligned portraits: 6 % of the
# distance between the eyes at 45 to 75 pixels, 13 % at 17).
_BEST_SIZE = 55.0

# From this score on a candidate of a whole look is a trace of a face, which a closer look may find: where the
# whole looks show a face, and where they show none.
_TRACE, _ONLY_TRACE = 0.05, 0.02
# A face that a whole look shows at this size on the canvas, and with this score, needs no closer look. With a
# lower score it counts where a closer look shows it too: half of the finds where no face is go so.
_WELL_SEEN = 45.0
_CERTAIN = 0.7
# A face from this part of the photo's side on is large for a whole look.
_LARGE = 0.4
# A face that takes this part of the photo's side is certain too: a closer look shows no more around it.
_FILLS = 0.6
# Closer looks at one photo at traces: for each whole look where these show a face, and where they show none;
# and at as many more as there are faces that need one.
_MOST_TRACES, _MOST_ONLY_TRACES = 3, 8
# Where more places than these deserve one there is a crowd, of which all is looked at more finely instead.
_CROWD = 40
# A trace this near to a face or to another trace (in their sizes) is the same one's.
_NEAR = 0.75

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

    def only(self, faces: NDArray[np.bool_]) -> "Detections":
        """Without the others than `faces` [N]; of the search everything stays."""
        return replace(
            self, boxes=self.boxes[faces], scores=self.scores[faces], landmarks=self.landmarks[faces]
        )


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """Candidates of some views that may become faces; several of them show the same one.

    points [n, 8, 2] in photo pixels, as `blazeface.Candidates`. score [n]: 0..1. seen [n]: the longer side on
    the canvas. whole [n]: whether the view shows all of the face. certain [n]: whether it counts even if no
    other look shows it.
    """

    points: NDArray[np.float64]
    score: NDArray[np.float64]
    seen: NDArray[np.float64]
    whole: NDArray[np.bool_]
    certain: NDArray[np.bool_]

    @property
    def fits(self) -> NDArray[np.float64]:
        """0..1, how well a face's size on the canvas suits the detector."""
        return np.asarray(np.exp(-np.abs(np.log(np.maximum(self.seen, 1.0) / _BEST_SIZE))))

    def where(self, chosen: NDArray[Any]) -> "_Candidates":
        """Those with these numbers, or of this mask."""
        return _Candidates(
            points=self.points[chosen],
            score=self.score[chosen],
            seen=self.seen[chosen],
            whole=self.whole[chosen],
            certain=self.certain[chosen],
        )


def find_faces(
    image: NDArray[np.uint8] | Photo, infer: Infer, *, search: Search = USUAL_SEARCH
) -> Detections:
    """All faces of a photo (or its pixels [H, W, 3] uint8 RGB, upright) that a search wants.

    `infer` takes canvases [B, H, W, 3] uint8 and returns the detector's raw answers about them: that of a
    `runtime.detect.detector_engine.DetectorEngine`.
    Raises InvalidImage for an array of another shape or type.
    """
    check_photo(image)
    found = _search(image, infer, search)
    # A face that is hardly seen is often seen in a mirror; where there are none a look costs little else.
    if not len(found):
        found = _mirrored(_search(mirror_of(image), infer, search), width=size_of(image)[0])
    return found


def _mirrored(found: Detections, *, width: int) -> Detections:
    """What was found in the mirror image of a photo of this width."""
    boxes = found.boxes.copy()
    boxes[:, [0, 2]] = width - found.boxes[:, [2, 0]]
    landmarks = found.landmarks[:, [1, 0, 2, 4, 3]]
    landmarks[..., 0] = width - 1 - landmarks[..., 0]
    return replace(found, boxes=boxes, landmarks=landmarks)


def _search(image: NDArray[np.uint8] | Photo, infer: Infer, search: Search) -> Detections:
    photo_size = size_of(image)
    wanted = 0.0 if search.min_face is None else search.min_face * max(photo_size)

    def look(looks: Iterable[Canvases], *, min_score: float = search.min_score) -> _Candidates:
        return _look(looks, infer, min_score=min_score, photo_size=photo_size, most=_most(search))

    whole = whole_looks(image)
    trace = min(_ONLY_TRACE, search.min_score)
    seen = look(whole, min_score=trace)
    large = _squares(seen.points)[1] >= _LARGE * max(photo_size)
    if large.any() or not (seen.score >= _CERTAIN).any():
        seen = _together([seen, look([shrunken_look(whole[0])], min_score=trace)])
    places = _places(seen, looks=len(whole), min_score=search.min_score, wanted=wanted)
    found = [seen.where(seen.score >= search.min_score)]
    if places is None:
        found = [replace(found[0], certain=np.ones(len(found[0].score), dtype=bool))]
    else:
        centers, sizes = places
        found.append(look(closer_looks(image, centers=centers, sizes=sizes)))
    if search.min_face is not None:
        found.append(look(fine_looks(image, from_size=wanted)))
    elif places is None:
        found.append(look(crowd_looks(image)))
    smallest = finest_face(np.array(photo_size), from_size=None if search.min_face is None else wanted)
    return _merged(
        _together(found), search=search, photo_size=photo_size, wanted=wanted, smallest_face=smallest
    )


def _look(
    looks: Iterable[Canvases], infer: Infer, *, min_score: float, photo_size: tuple[int, int], most: int
) -> _Candidates:
    """What all of these looks show, of very many the best."""
    found = [
        _candidates(canvases, infer(canvases.pixels), min_score=min_score, photo_size=photo_size)
        for canvases in looks
    ]
    together = _together(found)
    # A box outside the photo, as a padded canvas may suggest, has nothing to see.
    seen = np.clip(together.points[:, :2], 0, photo_size)
    usable = together.where((seen[:, 1] - seen[:, 0]).min(axis=1) >= SMALLEST_FACE / 2)
    return _best(usable, most=most)


def _candidates(
    canvases: Canvases, raw: Mapping[str, NDArray[Any]], *, min_score: float, photo_size: tuple[int, int]
) -> _Candidates:
    found = decode(raw, width=canvases.pixels.shape[2], min_score=min_score)
    canvas = found.canvas
    area, offset, scale = canvases.area[canvas], canvases.offset[canvas], canvases.scale[canvas]
    points = (found.points - offset[:, None]) / scale[:, None]
    size = (points[:, 1] - points[:, 0]).max(axis=1)
    candidates = _Candidates(
        points=points,
        score=found.score,
        seen=found.size.max(axis=1),
        whole=~_is_cut(found.points[:, :2], area=area, edges=canvases.inner_edges[canvas]),
        certain=~canvases.whole[canvas] | (found.score >= _CERTAIN) | (size >= _FILLS * max(photo_size)),
    )
    # An anchor beside the photo shows nothing.
    return candidates.where(((found.anchor >= area[:, :2]) & (found.anchor < area[:, 2:])).all(axis=1))


def _places(
    seen: _Candidates, *, looks: int, min_score: float, wanted: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Centres [n, 2] and sizes [n] in photo pixels of what a closer look should show; None: of a crowd.

    That is faces that are small on their canvas or not certain, and traces of others, in so many whole looks.
    None clearly smaller than `wanted`.
    """
    sure = seen.where(seen.score >= min_score)
    merged = list(merge_candidates(sure.points, sure.score, whole=sure.whole, fits=sure.fits))
    centers, sizes = _squares(np.array([points for points, _, _ in merged]).reshape(-1, 8, 2))
    unsure = np.array(
        [score < _CERTAIN or sure.seen[shown].max() < _WELL_SEEN for _, score, shown in merged], dtype=bool
    )
    unsure &= sizes >= _CLEARLY_SMALLER * wanted
    chosen = [(centers[i], sizes[i]) for i in np.flatnonzero(unsure)]

    trace, most = _ONLY_TRACE, _MOST_ONLY_TRACES
    if merged:
        trace, most = _TRACE, looks * _MOST_TRACES + len(chosen)
    weak = seen.where((seen.score < min_score) & (seen.score >= trace) & (seen.seen < _WELL_SEEN))
    weak = weak.where(np.argsort(-weak.score, kind="stable"))
    weak_centers, weak_sizes = _squares(weak.points)
    free = weak_sizes >= _CLEARLY_SMALLER * wanted
    for center, size in zip(centers, sizes, strict=True):
        free &= _apart(weak_centers, weak_sizes, center=center, size=size)
    traces: list[tuple[NDArray[np.float64], float]] = []
    clear = 0  # of the traces, those that would count beside faces too
    while free.any() and len(chosen) + clear <= _CROWD and (len(traces) < most or clear == len(traces)):
        first = int(np.argmax(free))
        clear += int(weak.score[first] >= _TRACE)
        traces.append((weak_centers[first], weak_sizes[first]))
        free &= _apart(weak_centers, weak_sizes, center=weak_centers[first], size=weak_sizes[first])
    if len(chosen) + clear > _CROWD:
        return None
    chosen += traces[:most]
    return (
        np.array([center for center, _ in chosen]).reshape(-1, 2),
        np.array([size for _, size in chosen], dtype=np.float64),
    )


def _squares(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres [n, 2] and longer sides [n] of the boxes of points [n, 8, 2]."""
    return points[:, :2].mean(axis=1), (points[:, 1] - points[:, 0]).max(axis=1)


def _apart(
    centers: NDArray[np.float64], sizes: NDArray[np.float64], *, center: NDArray[np.float64], size: float
) -> NDArray[np.bool_]:
    """Which of some places [n] are not those of one place."""
    return np.asarray(np.abs(centers - center).max(axis=1) > _NEAR * np.maximum(size, sizes))


def _merged(
    candidates: _Candidates,
    *,
    search: Search,
    photo_size: tuple[int, int],
    wanted: float,
    smallest_face: float,
) -> Detections:
    """The faces that the candidates show, each once."""
    candidates = _best(candidates, most=_most(search))
    faces: list[tuple[NDArray[np.float64], float]] = []
    found = 0
    for points, score, shown in merge_candidates(
        candidates.points, candidates.score, whole=candidates.whole, fits=candidates.fits
    ):
        size = points[1] - points[0]
        if not candidates.certain[shown].any():
            continue
        if size.max() < _CLEARLY_SMALLER * wanted or size.min() < SMALLEST_FACE:
            continue
        found += 1
        if found <= search.max_faces:
            faces.append((points, score))
    return _detections(
        faces, photo_size=photo_size, faces_found=found, smallest_face=max(smallest_face, wanted)
    )


def _together(parts: Sequence[_Candidates]) -> _Candidates:
    return _Candidates(
        points=np.concatenate([np.zeros((0, 8, 2)), *(part.points for part in parts)]),
        score=np.concatenate([np.zeros(0), *(part.score for part in parts)]),
        seen=np.concatenate([np.zeros(0), *(part.seen for part in parts)]),
        whole=np.concatenate([np.zeros(0, dtype=bool), *(part.whole for part in parts)]),
        certain=np.concatenate([np.zeros(0, dtype=bool), *(part.certain for part in parts)]),
    )


def _most(search: Search) -> int:
    return max(_MAX_CANDIDATES, _CANDIDATES_A_FACE * search.max_faces)


def _best(candidates: _Candidates, *, most: int) -> _Candidates:
    """So many of the candidates: those that are surest and best seen."""
    if len(candidates.score) <= most:
        return candidates
    return candidates.where(np.argpartition(candidates.score * candidates.fits, -most)[-most:])


def _is_cut(
    corners: NDArray[np.float64], *, area: NDArray[np.float64], edges: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which boxes [n, 2, 2] (canvas pixels) run over an inner edge [n, 4] of their view's area [n, 4]."""
    margin = _CUT * (corners[:, 1] - corners[:, 0])
    over = np.concatenate(
        [corners[:, 0] < area[:, :2] - margin, corners[:, 1] > area[:, 2:] + margin], axis=1
    )
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

"""Which looks a search takes and what becomes of what they show, with a detector of painted squares."""

import dataclasses
import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.detect import blazeface
from runtime.detect.canvases import (
    MOST_TILES,
    SMALLEST_FACE,
    fine_levels,
    fine_looks,
    level_shares,
)
from runtime.detect.faces import Detections, find_faces
from runtime.detect.search import MAX_FACES, USUAL_SEARCH, Search

# Eyes, nose, mouth and ears of a painted face, in its box.
POINTS = np.array([[0.2, 0.3], [0.7, 0.35], [0.45, 0.5], [0.5, 0.8], [0.0, 0.4], [1.0, 0.4]])
SURE = 3.0  # a logit: 0.95
FIRST_LOOK, SHRUNKEN = (1, 160, 192), (1, 96, 96)  # at a photo of 512 x 400 pixels


@dataclasses.dataclass(kw_only=True)
class Painted:
    """A detector that finds green squares between `least` and `most` canvas pixels.

    Of smaller ones from `traced` on it has a trace, and of larger ones up to `large`. `mirrored`: it sees a
    square only where its red half is on the left. `shapes` are those of the canvases that it was shown. It
    completes squares that an edge cuts.
    """

    least: float = 17.0
    most: float = 150.0
    traced: float = 1e9
    large: float = 0.0
    mirrored: bool = False
    logit: float = SURE
    shapes: list[tuple[int, ...]] = dataclasses.field(default_factory=list)

    def __call__(self, canvases: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        count, height, width = canvases.shape[:3]
        self.shapes.append((count, height, width))
        cells = height * width // blazeface.STRIDE**2
        regressors = np.zeros((count, cells, 16), dtype=np.float32)
        logits = np.full((count, cells, 1), -100, dtype=np.float32)
        for number, canvas in enumerate(canvases):
            green = (canvas[..., 1] > 128).astype(np.uint8)
            for x, y, w, h, _ in cv2.connectedComponentsWithStats(green)[2][1:]:
                size = max(w, h)
                if x == 0 or x + w == width:
                    x, w = (x + w - size if x == 0 else x), size
                if y == 0 or y + h == height:
                    y, h = (y + h - size if y == 0 else y), size
                if self.mirrored and canvas[y + h // 2, x + w // 4, 0] < 128:
                    continue
                if size > max(self.most, self.large):
                    continue
                seen, traced = self.least <= size <= self.most, size >= min(self.traced, self.most)
                logit = self.logit if seen else -2.5 if traced else -100
                middle = np.clip([x + w / 2, y + h / 2], 0, [width - 1, height - 1])
                column, row = (middle // 4).astype(int)
                cell = row * (width // 4) + column
                anchor = np.array([column, row]) * 4 + 2.0
                points = POINTS * [w, h] + [x, y] - anchor
                center = np.array([x + w / 2, y + h / 2]) - anchor
                regressors[number, cell] = np.concatenate([center, [w, h], points.ravel()])
                logits[number, cell] = logit
        return {"regressors": regressors, "logits": logits}


def photo_of(
    size: tuple[int, int], *boxes: tuple[int, int, int, int], red: str = "right"
) -> NDArray[np.uint8]:
    """A dark photo (width, height) with a square in each box, one half of it red too."""
    photo = np.full((size[1], size[0], 3), 30, dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        photo[y0:y1, x0:x1, 1] = 255
        half = (x0 + x1) // 2
        photo[y0:y1, slice(x0, half) if red == "left" else slice(half, x1), 0] = 255
    return photo


def grid(count: int, *, size: int, gap: int, across: int) -> list[tuple[int, int, int, int]]:
    left_top = [(gap + n % across * (size + gap), gap + n // across * (size + gap)) for n in range(count)]
    return [(x, y, x + size, y + size) for x, y in left_top]


def assert_found(found: Detections, *boxes: tuple[int, int, int, int], within: float = 2.0) -> None:
    assert len(found) == len(boxes)
    apart = np.abs(np.array(boxes)[:, None] - found.boxes[None]).max(axis=2)
    assert apart.min(axis=1).max() < within
    assert len(set(apart.argmin(axis=1))) == len(boxes)


def test_one_look_is_enough_for_a_face_that_is_well_seen() -> None:
    detector = Painted()
    box = (150, 100, 300, 260)
    found = find_faces(photo_of((512, 400), box), detector)
    assert detector.shapes == [FIRST_LOOK]
    assert_found(found, box, within=4)


@pytest.mark.parametrize("others", [(), ((10, 20, 136, 146),)])
def test_a_face_too_large_for_the_first_look_is_found_in_a_shrunken_one(
    others: tuple[tuple[int, int, int, int], ...],
) -> None:
    """Beside one that is seen at once, too, if it leaves a trace."""
    box = (160, 30, 505, 375)
    detector = Painted(most=80.0, large=150.0)
    found = find_faces(photo_of((512, 400), box, *others), detector)
    assert detector.shapes == [FIRST_LOOK, SHRUNKEN]
    assert_found(found, box, *others, within=5)


@pytest.mark.parametrize(("width", "height"), [(512, 400), (300, 500), (3000, 2000), (700, 3000)])
def test_a_small_face_is_looked_at_more_closely_which_places_it_better(width: int, height: int) -> None:
    side = max(width, height) // 20
    box = (width // 2, height // 3, width // 2 + side, height // 3 + side)
    detector = Painted(least=8.0, most=60.0)
    found = find_faces(photo_of((width, height), box), detector)
    assert detector.shapes[-1] == (1, 96, 96)
    assert_found(found, box, within=max(1.0, side / 25))
    points = POINTS[[0, 1, 2, 3, 3]] * side + box[:2] - 0.5
    assert np.abs(found.landmarks[0] - points).max() < max(1.5, side / 15)


@pytest.mark.parametrize(("logit", "least", "found"), [(0.2, 52, 0), (0.2, 40, 1), (SURE, 52, 1)])
def test_a_face_that_is_not_certain_counts_where_a_closer_look_shows_it_too(
    logit: float, least: float, found: int
) -> None:
    """At 48 pixels, where the detector is at its best."""
    detector = Painted(least=least, most=100.0, logit=logit)
    assert len(find_faces(photo_of((512, 400), (150, 100, 300, 250)), detector)) == found


def test_a_face_that_fills_the_photo_needs_no_closer_look_s_consent() -> None:
    detector = Painted(least=52.0, most=150.0, logit=0.2)
    assert len(find_faces(photo_of((512, 400), (100, 40, 420, 360)), detector)) == 1


def test_a_trace_is_followed_and_nothing_is_found_where_there_is_none() -> None:
    box = (400, 100, 424, 124)  # 9 pixels on the first canvas
    photo = photo_of((512, 400), box)
    assert len(find_faces(photo, Painted())) == 0
    assert_found(find_faces(photo, Painted(traced=6.0)), box)
    untraced = Painted()
    find_faces(photo, untraced)
    assert untraced.shapes == 2 * [FIRST_LOOK, SHRUNKEN], "of the photo and of its mirror image"


def test_beside_a_face_few_traces_are_followed() -> None:
    face = (40, 150, 200, 310)
    traces = [(x, y, x + 10, y + 10) for x in range(220, 500, 40) for y in range(20, 380, 60)]
    detector = Painted(traced=3.0, most=90.0)
    found = find_faces(photo_of((512, 400), face, *traces[:20]), detector)
    assert len(found) >= 1
    assert sum(shape[0] for shape in detector.shapes if shape[1:] == (96, 96)) == 3


def test_what_is_seen_in_the_mirror_alone_is_answered_in_the_photo_s_pixels() -> None:
    box = (60, 100, 160, 200)
    detector = Painted(mirrored=True)
    found = find_faces(photo_of((512, 400), box), detector)
    assert_found(found, box, within=4)
    mirrored = POINTS[[1, 0, 2, 3, 3]] * [-1, 1] + [1, 0]  # the right eye of the mirror image is the left one
    assert np.abs(found.landmarks[0] - (mirrored * 100 + box[:2] - 0.5)).max() < 4
    once = Painted(mirrored=True)
    find_faces(photo_of((512, 400), (60, 100, 200, 240), red="left"), once)
    assert once.shapes == [FIRST_LOOK], "what is seen at once needs no mirror"


def test_of_a_crowd_all_is_looked_at_more_finely() -> None:
    boxes = grid(60, size=60, gap=120, across=12)
    detector = Painted(least=8.0, most=60.0)
    found = find_faces(photo_of((2400, 1600), *boxes), detector)
    assert (1, 480, 480) in detector.shapes
    assert (1, 96, 96) not in detector.shapes
    assert_found(found, *boxes, within=4)


def test_all_faces_are_counted_and_of_too_many_the_best_seen_answered() -> None:
    boxes = grid(400, size=40, gap=30, across=25)
    photo = photo_of((1800, 1200), *boxes)
    found = find_faces(photo, Painted(least=6.0))
    assert (len(found), found.faces_found) == (MAX_FACES, 400)
    few = find_faces(photo, Painted(least=6.0), search=Search(max_faces=3))
    assert (len(few), few.faces_found) == (3, 400)
    assert len(find_faces(photo, Painted(least=6.0), search=Search(max_faces=1000))) == 400


def test_clearly_smaller_faces_than_wanted_are_left_out() -> None:
    photo = photo_of((1000, 700), (100, 100, 140, 140), (400, 300, 520, 420))
    assert len(find_faces(photo, Painted(), search=Search(min_face=0.045))) == 2, "a box is not exact"
    left_out = find_faces(photo, Painted(), search=Search(min_face=0.06))
    assert_found(left_out, (400, 300, 520, 420), within=5)
    assert left_out.faces_found == 1
    assert left_out.smallest_face == pytest.approx(60)


def test_a_face_is_found_once_where_tiles_meet_and_where_one_cuts_it() -> None:
    size = (3000, 2000)
    (level,) = fine_levels(np.array(size), from_size=60.0)
    edges = [
        float((tile.area[0, 2] - tile.offset[0, 0]) / tile.scale[0, 0])
        for tile in fine_looks(np.zeros((size[1], size[0], 3), np.uint8), from_size=60.0)
    ]
    boxes = [
        (int(edge) - 40, 500 + 100 * n, int(edge) + 30, 570 + 100 * n) for n, edge in enumerate(edges[:2])
    ]
    found = find_faces(photo_of(size, *boxes), Painted(least=18.0), search=Search(min_face=0.02))
    assert level > 480
    assert_found(found, *boxes, within=4)


def test_a_face_at_the_photo_s_own_edge_counts_and_boxes_end_there() -> None:
    found = find_faces(photo_of((512, 400), (0, 0, 120, 120)), Painted())
    assert found.boxes[0].min() >= 0
    assert len(found) == 1


def test_what_is_too_small_for_a_box_is_no_face() -> None:
    side = int(SMALLEST_FACE) - 2
    photo = photo_of((160, 160), (50, 50, 50 + side, 50 + side))
    assert len(find_faces(photo, Painted(least=5.0))) == 0


@pytest.mark.parametrize(
    ("size", "smallest"), [((160, 160), 16), ((512, 512), 40), ((1920, 1080), 60), ((3600, 2400), 112)]
)
def test_a_search_says_how_small_it_looked(size: tuple[int, int], smallest: int) -> None:
    photo = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    assert round(find_faces(photo, Painted()).smallest_face) == smallest
    # A wish that the usual looks fulfil takes no others.
    wish = Painted()
    find_faces(photo, wish, search=Search(min_face=0.2))
    assert (1, 480, 480) not in wish.shapes or max(size) > 720


@pytest.mark.parametrize(
    ("size", "min_face", "smallest"),
    [
        ((1920, 1080), 0.02, 38.4),
        ((1920, 1080), 0.004, 19.2),  # every pixel was looked at
        ((3600, 2400), 0.01, 36.0),
        ((6000, 4000), 0.01, 60.0),
    ],
)
def test_smaller_faces_are_looked_for_in_finer_levels(
    size: tuple[int, int], min_face: float, smallest: float
) -> None:
    photo = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    found = find_faces(photo, Painted(), search=Search(min_face=min_face))
    assert found.smallest_face == pytest.approx(smallest, rel=0.02)


@pytest.mark.parametrize("size", [(3000, 2000), (2500, 2500), (6000, 1000), (9000, 300), (50, 9000)])
def test_no_face_falls_between_two_levels_and_the_tiles_stay_bounded(size: tuple[int, int]) -> None:
    photo = np.array(size)
    for share in (0.02, 0.01, 0.004):
        levels = [480, *fine_levels(photo, from_size=share * max(size))]
        blank = np.zeros((size[1], size[0], 3), dtype=np.uint8)
        assert sum(1 for _ in fine_looks(blank, from_size=share * max(size))) <= MOST_TILES
        for coarse, fine in itertools.pairwise(levels):
            assert fine / coarse < 56 / 17, "larger than the overlap, and too small on the level before"


def test_the_usual_search_is_that_of_a_request_without_parameters() -> None:
    assert Search() == USUAL_SEARCH
    assert list(level_shares()) == sorted(level_shares(), reverse=True)


# --- Raw answers ----------------------------------------------------------------------------------


def raw_answer(logit: float, *, cell: int = 100) -> dict[str, NDArray[np.float32]]:
    logits = np.full((1, 2304, 1), -1e30, dtype=np.float32)
    logits[0, cell] = logit
    return {"regressors": np.ones((1, 2304, 16), dtype=np.float32), "logits": logits}


def test_logits_beyond_float_range_do_not_overflow() -> None:
    candidates = blazeface.decode(raw_answer(1e30), width=192, min_score=1.0)
    assert candidates.score.tolist() == [1.0]
    assert candidates.anchor.tolist() == [[4 * 4 + 2, 2 * 4 + 2]]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_numbers_are_left_out(broken: float) -> None:
    raw = raw_answer(3.0)
    raw["regressors"][0, 100, 5] = broken
    assert len(blazeface.decode(raw, width=192, min_score=0.1).score) == 0


def test_a_score_below_the_least_is_none() -> None:
    assert len(blazeface.decode(raw_answer(-0.1), width=192, min_score=0.5).score) == 0
    assert len(blazeface.decode(raw_answer(0.1), width=192, min_score=0.5).score) == 1

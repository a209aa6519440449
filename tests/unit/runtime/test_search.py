"""What a search looks for: how small, how many, in how many tiles; the usual one stays what it was."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.detect.faces import UsableCandidates, merge_faces
from runtime.detect.search import MAX_FACES, USUAL_SEARCH, Search
from runtime.detect.tiles import MAX_TILES, MOST_TILES, Tiles, level_shares, tile_photo


def tiles_of(width: int, height: int, *, min_face: float | None = None) -> Tiles:
    return tile_photo(np.zeros((height, width, 3), dtype=np.uint8), min_face=min_face)


def grid_of_faces(count: int, *, size: float) -> UsableCandidates:
    """Candidates of so many faces side by side, all seen alike; the first ones are the surest."""
    across = int(count**0.5) + 1
    left_top = np.stack([np.arange(count) % across, np.arange(count) // across], axis=1) * 1.25 * size
    points = np.repeat(left_top[:, None] + size / 2, 8, axis=1)
    points[:, 0], points[:, 1] = left_top, left_top + size
    return UsableCandidates(
        points=points,
        score=np.linspace(0.95, 0.55, count),
        whole=np.ones(count, dtype=bool),
        fits=np.ones(count),
    )


def test_all_faces_are_counted_and_of_too_many_the_best_seen_answered() -> None:
    tiles = tiles_of(3000, 2000)
    faces = grid_of_faces(500, size=40)
    found = merge_faces(tiles, [faces], search=USUAL_SEARCH)
    assert (len(found), found.faces_found) == (MAX_FACES, 500)
    few = merge_faces(tiles, [faces], search=Search(max_faces=3))
    assert (len(few), few.faces_found) == (3, 500)
    assert np.array_equal(few.scores, found.scores[:3])
    assert len(merge_faces(tiles, [faces], search=Search(max_faces=1000))) == 500


def test_candidates_of_several_batches_of_tiles_are_those_of_one() -> None:
    tiles = tiles_of(3000, 2000)
    faces = grid_of_faces(60, size=40)
    parts = [
        UsableCandidates(
            points=faces.points[part],
            score=faces.score[part],
            whole=faces.whole[part],
            fits=faces.fits[part],
        )
        for part in (slice(0, 7), slice(7, 7), slice(7, 60))
    ]
    together = merge_faces(tiles, [faces], search=USUAL_SEARCH)
    split = merge_faces(tiles, parts, search=USUAL_SEARCH)
    assert np.array_equal(together.boxes, split.boxes)
    assert together.faces_found == split.faces_found == 60


def test_clearly_smaller_faces_than_wanted_are_left_out() -> None:
    tiles = tiles_of(1000, 700)
    faces = grid_of_faces(9, size=40)
    assert merge_faces(tiles, [faces], search=Search(min_face=0.045)).faces_found == 9, "a box is not exact"
    left_out = merge_faces(tiles, [faces], search=Search(min_face=0.06))
    assert (left_out.faces_found, len(left_out)) == (0, 0)
    assert tiles.smallest_face < left_out.smallest_face == pytest.approx(60)


@pytest.mark.parametrize(
    ("size", "tiles", "smallest"),
    [((160, 160), 2, 16), ((512, 512), 6, 30), ((1920, 1080), 19, 50), ((3600, 2400), 26, 94)],
)
def test_the_usual_search_says_how_small_it_looked(size: tuple[int, int], tiles: int, smallest: int) -> None:
    usual = tiles_of(*size)
    assert (len(usual.pixels), round(usual.smallest_face)) == (tiles, smallest)
    # A wish that the usual tiles fulfil changes none of them.
    wanted = tiles_of(*size, min_face=level_shares()[0] if size[0] > 736 else 0.2)
    assert np.array_equal(wanted.scale, usual.scale)


@pytest.mark.parametrize(
    ("size", "min_face", "smallest"),
    [
        ((1920, 1080), 0.02, 38.4),
        ((1920, 1080), 0.004, 19.2),  # every pixel was looked at
        ((3600, 2400), 0.01, 36.0),
        ((3600, 2400), 0.004, 19.2),
        ((6000, 4000), 0.01, 60.0),
        ((6000, 4000), 0.004, 31.0),  # as small as the most tiles allow, and said
    ],
)
def test_smaller_faces_are_looked_for_in_more_tiles(
    size: tuple[int, int], min_face: float, smallest: float
) -> None:
    tiles = tiles_of(*size, min_face=min_face)
    assert MAX_TILES < len(tiles.pixels) <= MOST_TILES
    assert tiles.smallest_face == pytest.approx(smallest, rel=0.01)


@pytest.mark.parametrize("size", [(3000, 2000), (2500, 2500), (6000, 1000), (9000, 300), (50, 9000)])
def test_no_face_falls_between_two_levels_and_the_tiles_stay_bounded(size: tuple[int, int]) -> None:
    smallest = np.inf
    for min_face in (0.02, 0.01, 0.004):
        tiles = tiles_of(*size, min_face=min_face)
        assert len(tiles.pixels) <= MOST_TILES
        scales = np.unique(tiles.scale.max(axis=1))
        assert (scales[1:] / scales[:-1]).max() < 56 / 19.2, "larger than the overlap, and too small before"
        assert tiles.smallest_face <= smallest * 1.01
        smallest = tiles.smallest_face


@pytest.mark.parametrize("count", [320, 1024])
def test_a_server_s_most_faces_are_all_answered_where_each_has_many_candidates(count: int) -> None:
    faces = grid_of_faces(count, size=40)
    many: dict[str, NDArray[Any]] = {
        "points": np.repeat(faces.points, 12, axis=0),
        "score": np.repeat(faces.score, 12),
        "whole": np.repeat(faces.whole, 12),
        "fits": np.repeat(faces.fits, 12),
    }
    found = merge_faces(tiles_of(3000, 2000), [UsableCandidates(**many)], search=Search(max_faces=count))
    assert (len(found), found.faces_found) == (count, count)

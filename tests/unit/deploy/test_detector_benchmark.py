"""The benchmark of finding faces: its arithmetic, its collages, and what it marks as worse."""

import dataclasses
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from deploy.benchmark.collages import match_faces, overlaps
from deploy.benchmark.detector.chips import Chip, Place, choose_chips, locate, read_truth, write_truth
from deploy.benchmark.detector.finder import Finder
from deploy.benchmark.detector.intervals import Interval, mean_interval, share_interval
from deploy.benchmark.detector.measuring import Meter, Row, measure_faces, measure_false_finds
from deploy.benchmark.detector.photos import Shot, Wanted, photo_of, tight_photo
from deploy.benchmark.detector.report import Run, beside, read_run, worse, write_run
from deploy.benchmark.detector.rows import FaceRow
from deploy.measuring.pictures.portrait import PORTRAIT
from runtime.image.decode import decode_image

ROW = Row(
    group="512 px, one face",
    name="10 to 15 %",
    hits="1" * 90 + "0" * 10,
    finds_are_false=False,
    share=share_interval([True] * 90 + [False] * 10),
    means={"box overlap": Interval(value=0.9, low=0.88, high=0.92)}
    | {"nose tip": Interval(value=0.06, low=0.05, high=0.07)},
    photos=100,
    wrong=0.02,
    canvases=6.0,
    core_ms=23.0,
)


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder()


@pytest.fixture(scope="module")
def chip(finder: Finder) -> Chip:
    """The astronaut's face, cut as tightly as the benchmark's chips are."""
    photo = decode_image(np.fromfile(PORTRAIT, dtype=np.uint8))
    box = finder(photo).boxes[0]
    middle, half = box.reshape(2, 2).mean(axis=0), (box[2:] - box[:2]).max() * 0.55
    low, high = np.rint([middle - half, middle + half]).astype(int)
    pixels = cv2.resize(photo[low[1] : high[1], low[0] : high[0]], (160, 160))
    place = locate(np.asarray(pixels, dtype=np.uint8), finder)
    assert place is not None
    assert place.exact
    return Chip(
        pixels=np.asarray(pixels, dtype=np.uint8), box=place.box * 160, points=place.points * 160, exact=True
    )


def collage(chip: Chip, *, turn: float = 0.0) -> Shot:
    wanted = [Wanted(share=share, turn=turn, counted=share < 0.3) for share in (0.15, 0.3)]
    background = np.full((400, 512, 3), 120, dtype=np.uint8)
    return photo_of([chip, chip], wanted, background=background, random=np.random.default_rng(3))


def test_the_interval_of_a_share_is_wilsons() -> None:
    interval = share_interval([True] * 90 + [False] * 10)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.9, 0.8256, 0.9448), abs=1e-4)
    assert share_interval([False] * 20).low == 0.0
    assert share_interval([True] * 20).high == 1.0


def test_the_interval_of_a_mean_holds_it_and_narrows_with_more_values() -> None:
    values = np.random.default_rng(0).normal(5, 1, 400)
    few, many = mean_interval(values[:25]), mean_interval(values)
    assert many.low < many.value < many.high
    assert many.high - many.low == pytest.approx(4 * 1 / 20, rel=0.2)
    assert few.high - few.low > 2 * (many.high - many.low)


def test_a_box_shows_one_face_and_must_overlap_it() -> None:
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], dtype=float)
    assert overlaps(np.array([[0, 0, 10, 5]]), truth).tolist() == [[0.5], [0.0]]
    assert match_faces(np.array([[40, 0, 50, 10], [21, 0, 31, 10]]), truth).tolist() == [-1, 1]
    assert match_faces(np.array([[1, 0, 11, 10]]), truth[[0, 0]]).tolist() == [0, -1]
    assert match_faces(np.empty((0, 4)), truth).tolist() == [-1, -1]


def test_a_face_is_where_the_collage_has_it(chip: Chip, finder: Finder) -> None:
    meter = Meter(finder, canvases=lambda: finder.canvases)
    row = measure_faces(FaceRow(group="g", name="n", shots=lambda: iter([collage(chip)])), meter)
    assert row.hits == "1"  # the larger one is there, and does not count
    assert row.wrong == 0
    assert row.means["box overlap"].value > 0.8
    assert max(row.means[name].value for name in ("eyes", "nose tip", "mouth centre")) < 0.2
    assert row.canvases > 1


def test_points_turn_and_mirror_with_their_face(chip: Chip) -> None:
    shot = collage(chip, turn=90.0)
    across = shot.points[:, 1] - shot.points[:, 0]
    assert (np.abs(across[:, 1]) > 3 * np.abs(across[:, 0])).all()
    upright = collage(chip)
    assert (
        upright.points[:, 0, 0] < upright.points[:, 1, 0]
    ).all()  # the right eye is on the left, mirrored or not
    assert (upright.points[:, 0, 1] < upright.points[:, 3, 1]).all()


def test_faces_for_which_there_is_no_room_are_left_out(chip: Chip) -> None:
    background = np.full((400, 512, 3), 120, dtype=np.uint8)
    wanted = [Wanted(share=0.6)] * 3
    shot = photo_of([chip] * 3, wanted, background=background, random=np.random.default_rng(0))
    assert len(shot.boxes) == 1


def test_a_tight_photo_is_cut_at_the_face(chip: Chip) -> None:
    shot = tight_photo(chip, margin=-0.1, longer=200)
    assert max(shot.pixels.shape) == 200
    assert shot.boxes[0] == pytest.approx([0, 0, shot.pixels.shape[1], shot.pixels.shape[0]], abs=1.5)


def test_finds_without_a_face_are_counted_by_photo(chip: Chip, finder: Finder) -> None:
    meter = Meter(finder, canvases=lambda: finder.canvases)
    plain = np.full((300, 400, 3), 120, dtype=np.uint8)
    row = measure_false_finds("n", [plain, collage(chip).pixels], meter)
    assert (row.hits, row.wrong) == ("01", 1.0)


def test_the_truth_is_kept_and_not_looked_for_again(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    truth = tmp_path / "truth.json"
    place = Place(box=np.array([0.1, 0.1, 0.9, 0.9]), points=np.full((4, 2), 0.5), exact=True)

    def no_look(photo: object) -> object:
        raise AssertionError("the file has it")

    with pytest.raises(AssertionError, match="the file has it"):
        choose_chips(tmp_path, count=1, seed=0, truth=truth, find=no_look)  # type: ignore[arg-type]
    key = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()[:16]
    write_truth(truth, {key: place, "0" * 16: None})
    (found,) = choose_chips(tmp_path, count=1, seed=0, truth=truth, find=no_look)  # type: ignore[arg-type]
    assert found.box == pytest.approx([3.2, 3.2, 28.8, 28.8])
    assert read_truth(truth)["0" * 16] is None


def test_too_few_faces_are_refused(tmp_path: Path, finder: Finder) -> None:
    with pytest.raises(ValueError, match="has 0 pictures, and 5 are needed"):
        choose_chips(tmp_path, count=5, seed=0, truth=tmp_path / "truth.json", find=finder)


def test_a_row_is_marked_only_beyond_its_interval() -> None:
    within = dataclasses.replace(ROW, share=share_interval([True] * 84 + [False] * 16))
    beyond = dataclasses.replace(ROW, share=share_interval([True] * 80 + [False] * 20))
    assert worse(ROW, ROW) == worse(ROW, within) == []
    assert worse(ROW, beyond) == ["FEWER FOUND"]
    assert worse(ROW, dataclasses.replace(ROW, share=share_interval([True] * 100))) == []
    off = {"nose tip": Interval(value=0.08, low=0.07, high=0.09)}
    assert worse(ROW, dataclasses.replace(ROW, means=off)) == ["nose tip 6.0% to 8.0%"]
    false = dataclasses.replace(ROW, finds_are_false=True)
    assert worse(false, dataclasses.replace(beyond, finds_are_false=True)) == []
    more = dataclasses.replace(false, share=share_interval([True] * 98 + [False] * 2))
    assert worse(false, more) == ["MORE FALSE FINDS"]


def test_a_run_is_read_as_it_was_written_and_stands_beside_another(tmp_path: Path) -> None:
    run = Run(made_with={"precision": "fp32"}, rows=(ROW,), costs=())
    write_run(run, tmp_path / "run.json")
    before = read_run(tmp_path / "run.json")
    after = dataclasses.replace(ROW, hits="0" + "1" * 90 + "0" * 9)
    lines = list(beside(before, dataclasses.replace(run, rows=(after,))))
    assert "| 1 | 1 | 6.0 to 6.0 | 23.0 to 23.0 |" in lines[1]
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a run of this benchmark"):
        read_run(tmp_path / "other.json")

"""The set that teaches face_quality: labels are measured, and splits share neither faces nor photos."""

import dataclasses
import pathlib

import numpy as np
import pytest

from runtime.image.decode import decode_image
from tests.helpers.quality_sets import colour_network, write_coloured_set, write_photos
from training.data.prepared.face_set import FaceSet
from training.data.quality_set.__main__ import main
from training.data.quality_set.agreement import Agreement
from training.data.quality_set.degradations import Degraded, Moved, degrade, draw_severity
from training.data.quality_set.faceless import find_photos, name_hash
from training.data.quality_set.making import Options, make_quality_set
from training.data.quality_set.mosaics import main as make_mosaics
from training.models import CONFIGS, save_checkpoint
from training.tasks import CATALOGUE, FACE_QUALITY
from training.train.random_initialisation import random_checkpoint

OPTIONS = Options(count=120, background_share=0.9)
STILL = Moved().matrix(78)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("quality")
    write_coloured_set(folder / "data" / "coloured")
    write_photos(folder / "photos", count=16)
    return folder


def _make(root: pathlib.Path, output: pathlib.Path, options: Options = OPTIONS) -> None:
    make_quality_set(
        colour_network(),
        output,
        data=root / "data",
        names=["coloured"],
        held_out=0.2,
        backgrounds=root / "photos",
        options=options,
    )


@pytest.fixture(scope="module")
def made(root: pathlib.Path) -> pathlib.Path:
    _make(root, root / "made" / FACE_QUALITY)
    return root / "made" / FACE_QUALITY


def test_mosaics_are_photos_for_it_and_the_same_again(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    command = ["--data", str(root / "data"), "--sets", "coloured", "--count", "6"]
    for name in ("once", "again"):
        assert make_mosaics([*command, "--output", str(tmp_path / name)]) == 0
    once, again = (
        {path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in ("once", "again")
    )
    assert once == again
    assert len(set(once.values())) == 6
    assert [decode_image(content).shape for content in once.values()] == [(384, 384, 3)] * 6
    assert find_photos(tmp_path / "once") == sorted(once)


def test_mosaics_want_a_set_and_a_count(
    root: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--data", str(root / "data"), "--output", str(tmp_path / "new")]
    assert make_mosaics([*command, "--sets", "coloured", "--count", "0"]) == 2
    assert make_mosaics([*command, "--sets", "other"]) == 2
    assert "other is not a prepared set" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_severity_of_nothing_leaves_a_crop_and_of_everything_leaves_little() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (13, 13, 3), dtype=np.uint8).repeat(6, 0).repeat(6, 1)
    other = np.zeros_like(picture)

    def apart(severity: float) -> float:
        rngs = [np.random.default_rng(i) for i in range(30)]
        made = [degrade(picture, rng=rng, severity=severity, other=other).pixels for rng in rngs]
        return float(np.mean([np.abs(one.astype(float) - picture).mean() for one in made]))

    assert apart(0.0) < 6
    assert apart(0.0) < apart(0.4) < apart(1.0)
    severities = [draw_severity(np.random.default_rng(i)) for i in range(400)]
    assert 0.3 < np.mean(np.array(severities) < 0.2) < 0.6
    assert max(severities) > 0.95


def test_a_turn_is_clockwise_and_a_shift_is_in_sides() -> None:
    corner, middle = np.array([77, 0, 1.0]), np.array([38.5, 38.5, 1.0])
    assert Moved(turned=90).matrix(78) @ corner == pytest.approx([77, 77])
    assert Moved(shift=(0.5, -0.25), zoom=2).matrix(78) @ middle == pytest.approx([38.5 + 39, 38.5 - 19.5])


def test_what_the_network_still_answers_is_usable_and_what_nobody_can_is_not(root: pathlib.Path) -> None:
    faces = FaceSet(root / "data" / "coloured", split="train")
    agreement = Agreement(colour_network())
    rows = np.arange(20)
    crops = [faces.stored_crop(i) for i in rows]
    same = [Degraded(pixels=crop, matrix=STILL, turned=0.0) for crop in crops]
    assert agreement.usable(faces, rows, same) == pytest.approx(np.ones(20))
    black = [dataclasses.replace(one, pixels=np.zeros_like(one.pixels)) for one in same]
    assert agreement.usable(faces, rows, black).mean() < 0.35
    # Of a face that moved, points are held to where they went.
    moved = Moved(shift=(0.08, 0.08)).matrix(78)
    shifted = [Degraded(pixels=np.roll(crop, (6, 6), (0, 1)), matrix=moved, turned=0.0) for crop in crops]
    still = [dataclasses.replace(one, matrix=STILL) for one in shifted]
    followed, stayed = (agreement.usable(faces, rows, one).mean() for one in (shifted, still))
    assert followed > 0.9
    assert stayed < followed - 0.1


def test_a_network_that_answers_the_same_of_everybody_measures_nothing(root: pathlib.Path) -> None:
    network = colour_network()
    faces = FaceSet(root / "data" / "coloured", split="train")
    constant = {
        name: values[:1] for name, values in network.predict(faces.served_crops([0], size=64)).items()
    }
    blind = dataclasses.replace(
        network, predict=lambda pixels: {name: v.repeat(len(pixels), 0) for name, v in constant.items()}
    )
    with pytest.raises(ValueError, match="about coloured keep nothing beyond chance"):
        Agreement(blind).levels(faces)


def test_splits_share_neither_faces_nor_photos_and_what_shows_no_face_is_0(made: pathlib.Path) -> None:
    train, test = FaceSet(made, split="train"), FaceSet(made, split="test")
    assert (len(train), len(test)) == (108, 12)
    assert not set(train.persons) & set(test.persons)
    for faces in (train, test):
        usable = faces.columns[FACE_QUALITY][:, 0]
        is_face = faces.subsets == "face"
        assert (usable[~is_face] == 0).all()
        assert usable[is_face].max() > 0.9
        photos = {name for name in faces.persons[~is_face] if name.startswith("photo")}
        assert {name_hash(name) < 0.09 for name in photos} <= {faces is test}
        assert all(name_hash(name) < 0.9 for name in photos)


def test_the_same_command_makes_the_same_set_and_leaves_it(made: pathlib.Path, root: pathlib.Path) -> None:
    written = (made / "manifest.json").stat().st_mtime_ns
    _make(root, made)
    assert (made / "manifest.json").stat().st_mtime_ns == written
    _make(root, root / "again", dataclasses.replace(OPTIONS, count=20))
    first, second = FaceSet(made), FaceSet(root / "again")
    assert (second.columns[FACE_QUALITY] == first.columns[FACE_QUALITY][: len(second)]).all()
    assert (second.stored_crop(5) == first.stored_crop(5)).all()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--count", "3"], "--count 3 makes no set"),
        (["--background-share", "0"], "--background-share 0.0 is no part"),
        (["--backgrounds", "nowhere"], "there is no photo in nowhere"),
        (["--sets", "nothing"], "is not a prepared set"),
    ],
)
def test_what_can_not_be_made_is_told_in_one_line(
    root: pathlib.Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    config = CONFIGS["qface_test"].with_tasks(["age"])
    save_checkpoint(root / "model.safetensors", random_checkpoint(config, seed=0))
    words = [str(root / "model.safetensors"), "--data", str(root / "data"), "--output", str(root / "never")]
    assert main([*words, "--backgrounds", str(root / "photos"), *more]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1
    assert not (root / "never" / FACE_QUALITY).exists()


def test_the_label_is_the_catalogue_s(made: pathlib.Path) -> None:
    assert FaceSet(made).manifest["tasks"] == {FACE_QUALITY: list(CATALOGUE[FACE_QUALITY].labels)}

"""Preparing: from files on disk to prepared sets, with the detector that serves."""

import functools
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from runtime.image.align import transform
from tests.helpers.paths import ASSETS
from training.data import prepare as prepare_module
from training.data.__main__ import main
from training.data.prepare import Options, prepare_set
from training.data.prepared.face_set import FaceSet
from training.data.prepared.writer import ShardWriter
from training.data.reader import Expected, Reader
from training.data.readers import reader_of
from training.data.sample import BadSample, Sample
from training.data.teacher_labels import TeacherFile, write_teacher_file
from training.tasks import CATALOGUE


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A face, BGR [200, 210, 3]."""
    picture = cv2.imread(str(ASSETS / "astronaut.jpg"))
    assert picture is not None
    return np.asarray(picture[40:240, 120:330], np.uint8)


def _save(path: pathlib.Path, picture: np.ndarray) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
    return path


def _reader(*entries: Sample | BadSample, expected: dict[str, int] | None = None) -> Reader:
    return Reader(
        name="made",
        title="Made",
        licence="CC0",
        tasks=("age",),
        tree="any.png",
        expected=Expected(counts=expected or {}),
        read=lambda source: iter(entries),
    )


def _prepare(reader: Reader, folder: pathlib.Path, **options: Any) -> dict[str, Any]:
    return prepare_set(reader, source=folder, output=folder / "out", options=Options(**options))


def _fairface(root: pathlib.Path, portrait: np.ndarray, *, count: int = 4) -> None:
    """The first picture shows no face."""
    rows = ["file,age,gender,race,service_test"]
    for i in range(count):
        rows.append(f"train/{i}.png,20-29,Female,White,TRUE")
        _save(root / f"train/{i}.png", portrait if i else np.full_like(portrait, 128))
    (root / "fairface_label_train.csv").write_text("\n".join(rows) + "\n")
    (root / "fairface_label_val.csv").write_text(
        "file,age,gender,race,service_test\nval/1.png,more than 70,Male,Indian,TRUE\n"
    )
    _save(root / "val/1.png", portrait)


def _run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_data_set_becomes_aligned_crops_with_its_labels(
    tmp_path: pathlib.Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    _fairface(tmp_path / "in", portrait)
    command = ("prepare", "fairface", "--source", tmp_path / "in", "--output", tmp_path, "--subset")
    assert _run(*command) == 0
    out = capsys.readouterr().out
    assert "faces 3 for train, 1 for test; left out 1 no face; labels age (human)" in out
    assert "no face: train/0.png" in out
    train, test = (FaceSet(tmp_path / "fairface", split=split) for split in ("train", "test"))
    assert list(train.keys) == ["train/1.png", "train/2.png", "train/3.png"]
    assert list(test.keys) == ["val/1.png"]
    assert train.columns["age"].tolist() == [[20, 29]] * 3
    assert test.columns["race"][0].argmax() == CATALOGUE["race"].labels.index("Indian")
    crop = train.served_crops([0], size=112)[0]
    assert crop[40:80, 40:80].std() > 10
    manifest = train.manifest
    assert (manifest["title"], manifest["licence"]) == (reader_of("fairface").title, "CC BY 4.0")
    assert manifest["subset"] is True
    assert re.fullmatch("[0-9a-f]{64}", manifest["detector"])
    written = (tmp_path / "fairface" / "manifest.json").stat().st_mtime_ns
    assert _run(*command) == 0  # it is there already, and stays
    assert (tmp_path / "fairface" / "manifest.json").stat().st_mtime_ns == written
    assert _run("check", tmp_path) == 0
    assert "whole, faces 3 for train, 1 for test" in capsys.readouterr().out


def test_points_pose_and_mask_move_into_the_crop_with_the_picture(
    tmp_path: pathlib.Path, portrait: np.ndarray
) -> None:
    turn = cv2.getRotationMatrix2D((105, 100), -15, 1)  # clockwise
    turned = cv2.warpAffine(portrait, turn, (210, 200))
    picture = _save(tmp_path / "turned.png", turned)
    # Where something of a colour of its own is: a mark that can be found again in the crop.
    mark = np.array([150.0, 60.0])
    cv2.circle(turned, (150, 60), 3, (255, 0, 255), -1)
    _save(picture, turned)
    mask = np.zeros(turned.shape[:2], np.uint8)
    cv2.circle(mask, (150, 60), 3, 13, -1)
    points: list[Any] = [None] * 68
    points[0] = mark.tolist()
    sample = Sample(
        key="turned.png",
        picture=picture,
        labels={"landmarks": points, "head_pose": [5, 6, 15]},
        split="train",
        mask=lambda: mask,
    )
    _prepare(_reader(sample), tmp_path, size=96)
    faces = FaceSet(tmp_path / "out/made")
    stored = faces.stored_crop(0)
    magenta = (stored[..., 0] > 180) & (stored[..., 1] < 90) & (stored[..., 2] > 180)
    seen = np.argwhere(magenta).mean(axis=0)[::-1]
    place = faces.columns["landmarks"][0, 0] * faces.crop_size - 0.5 + faces.margin
    assert place == pytest.approx(seen, abs=0.7)
    found = faces.mask("parsing", 0)
    assert found is not None
    assert np.argwhere(found == 13).mean(axis=0)[::-1] == pytest.approx(seen, abs=0.7)
    yaw, pitch, roll = faces.columns["head_pose"][0]
    assert (yaw, pitch) == (5, 6)
    assert abs(roll) < 6  # the crop is upright, as far as the detector sees it
    # What the shard says of the way from the picture to the crop is that way.
    shard = (tmp_path / "out/made/shard-000000.tar").read_bytes()
    about = json.loads(re.findall(rb'\{"key".*?\}(?=\0)', shard)[0])
    assert transform(mark, about["forward"]) == pytest.approx(seen, abs=0.7)


def test_of_two_faces_the_box_says_which(tmp_path: pathlib.Path, portrait: np.ndarray) -> None:
    small = cv2.resize(portrait, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = np.full((220, 400, 3), 90, np.uint8)
    both[:200, :210] = portrait
    both[:120, 230:356] = small[..., ::-1]  # blue skin
    picture = _save(tmp_path / "both.png", both)
    samples = [
        Sample(key="left", picture=picture, split="train", labels={"age": [1, 1]}, box=(40, 20, 170, 180)),
        Sample(key="right", picture=picture, split="train", labels={"age": [2, 2]}, box=(240, 10, 350, 115)),
        Sample(key="none", picture=picture, split="train", labels={"age": [3, 3]}, box=(0, 180, 60, 219)),
    ]
    manifest = _prepare(_reader(*samples), tmp_path)
    faces = FaceSet(tmp_path / "out/made")
    assert list(faces.keys) == ["left", "right"]
    left, right = (faces.served_crops([i], size=112)[0, 40:72, 40:72].mean(axis=(0, 1)) for i in (0, 1))
    assert left[0] > left[2] + 20
    assert right[2] > right[0] + 20
    assert manifest["skipped"]["no_face"]["count"] == 1


def test_where_the_detector_finds_none_known_landmarks_stand_in(tmp_path: pathlib.Path) -> None:
    picture = _save(tmp_path / "grey.png", np.full((100, 100, 3), 128, np.uint8))
    five = np.array([[40, 40], [60, 40], [50, 50], [42, 60], [58, 60]], np.float64)
    samples = [
        Sample(key="known", picture=picture, split="train", landmarks=five),
        Sample(key="unknown", picture=picture, split="train"),
        Sample(key="outside", picture=picture, split="train", landmarks=five + 900),
    ]
    _prepare(_reader(*samples), tmp_path)
    assert list(FaceSet(tmp_path / "out/made").keys) == ["known"]


def test_what_cannot_be_used_is_left_out_counted_and_listed(
    tmp_path: pathlib.Path, portrait: np.ndarray
) -> None:
    good = _save(tmp_path / "good.png", portrait)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:5000])
    (tmp_path / "text.png").write_text("no picture")

    def broken() -> np.ndarray:
        raise OSError("vid.avi has no frame 3")

    def sample(key: str, picture: Any, **more: Any) -> Sample:
        return Sample(key=key, picture=picture, split="train", **more)

    manifest = _prepare(
        _reader(
            sample("cut", tmp_path / "cut.png"),
            sample("text", tmp_path / "text.png"),
            sample("frame", broken),
            sample("gone", tmp_path / "gone.png"),
            sample("age", good, labels={"age": [-3, -3]}),
            sample("point", good, labels={"landmarks": [[9999, 1]] + [None] * 67}),
            sample("mask", good, mask=lambda: np.zeros((3, 3), np.uint8)),
            sample("classes", good, mask=lambda: np.full((200, 210), 99, np.uint8)),
            BadSample(key="name", reason="its name is odd"),
            sample("good", good, labels={"age": [3, 3]}),
            sample("good", good, labels={"age": [4, 4]}),
        ),
        tmp_path,
        subset=True,
        max_unreadable=1,
    )
    skipped = manifest["skipped"]
    assert [line.split(":")[0] for line in skipped["unreadable"]["first"]] == ["cut", "text", "frame"]
    assert "vid.avi has no frame 3" in skipped["unreadable"]["first"][2]
    assert skipped["missing"]["first"] == ["gone: there is no such file"]
    assert skipped["bad_labels"]["first"] == [
        "age: age is -3 to -3 years, out of 0 to 130",
        "point: landmarks jaw_0 is (9999, 1), far outside the picture of 210x200",
        "mask: its mask is 3x3, the picture 210x200",
        "classes: its parsing mask has class 99, past the last, 18",
        "name: its name is odd",
        "good: the set names it twice",
    ]
    faces = FaceSet(tmp_path / "out/made")
    assert faces.columns["age"].tolist() == [[3, 3]]


def test_too_many_unusable_pictures_stop_it_and_more_may_be_allowed(
    tmp_path: pathlib.Path, portrait: np.ndarray
) -> None:
    samples = [Sample(key="good", picture=_save(tmp_path / "good.png", portrait), split="train")]
    bad = [BadSample(key=f"{i}.png", reason="its name is odd") for i in range(2)]
    with pytest.raises(
        ValueError, match=r"1 of 3 pictures .*the last is 0.png: its name is odd.*unreadable 0.01"
    ):
        _prepare(_reader(*bad, *samples), tmp_path)
    assert _prepare(_reader(*bad, *samples), tmp_path, max_unreadable=0.7)["faces"] == {"train": 1}


def test_fewer_pictures_than_the_official_release_are_accepted_only_as_a_subset(
    tmp_path: pathlib.Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    _fairface(tmp_path / "in", portrait)
    command = ("prepare", "fairface", "--source", tmp_path / "in", "--output", tmp_path)
    assert _run(*command) == 2
    error = capsys.readouterr().err
    assert "has 4 pictures for train, the official release 86744: complete it, or accept fewer" in error
    assert "fairface_label_train.csv    file,age,gender,race" in error  # the official layout is shown
    (tmp_path / "in/train/2.png").unlink()
    assert _run(*command) == 2
    assert f"the first is {tmp_path}/in/train/2.png" in capsys.readouterr().err
    assert not (tmp_path / "fairface").exists()
    assert _run(*command, "--subset") == 0
    assert "1 missing" in capsys.readouterr().out
    sample = Sample(key="a", picture=_save(tmp_path / "a.png", portrait), split="train")
    assert _prepare(_reader(sample, expected={"all": 1}), tmp_path)["subset"] is False


def test_a_limit_takes_pictures_evenly_and_is_a_subset(tmp_path: pathlib.Path, portrait: np.ndarray) -> None:
    picture = _save(tmp_path / "a.png", portrait)
    samples = [Sample(key=str(i), picture=picture, split="train") for i in range(9)]
    manifest = _prepare(_reader(*samples), tmp_path, limit=3)
    assert manifest["subset"] is True
    assert list(FaceSet(tmp_path / "out/made").keys) == ["0", "4", "8"]


def test_a_stopped_prepare_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: pathlib.Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "ShardWriter", functools.partial(ShardWriter, shard_faces=2))
    pictures = [_save(tmp_path / f"{i}.png", np.roll(portrait, i, axis=1)) for i in range(7)]
    bad = BadSample(key="bad", reason="odd")
    samples = [Sample(key=path.name, picture=path, split="train") for path in pictures]
    reader = _reader(samples[0], bad, *samples[1:])

    def stop(dealt: int, total: int) -> None:
        assert total == 8
        if dealt == 6:
            raise KeyboardInterrupt

    options = Options(max_unreadable=1)
    with pytest.raises(KeyboardInterrupt):
        prepare_set(reader, source=tmp_path, output=tmp_path / "a", options=options, progress=stop)
    assert not (tmp_path / "a/made").exists()
    seen: list[int] = []
    prepare_set(
        reader,
        source=tmp_path,
        output=tmp_path / "a",
        options=options,
        progress=lambda dealt, _: seen.append(dealt),
    )
    assert seen == [6, 7, 8]  # the first five, the bad one among them, are in whole shards
    prepare_set(reader, source=tmp_path, output=tmp_path / "b", options=options)
    a, b = ({p.name: p.read_bytes() for p in (tmp_path / x / "made").iterdir()} for x in "ab")
    assert a == b


def test_a_data_set_that_has_changed_in_between_is_not_gone_on_with(
    tmp_path: pathlib.Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "ShardWriter", functools.partial(ShardWriter, shard_faces=1))
    picture = _save(tmp_path / "a.png", portrait)

    def reader(age: int) -> Reader:
        return _reader(
            *(
                Sample(key=str(i), picture=picture, split="train", labels={"age": [age, age]})
                for i in range(4)
            )
        )

    def stop(dealt: int, _: int) -> None:
        if dealt == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_set(reader(1), source=tmp_path, output=tmp_path, options=Options(), progress=stop)
    with pytest.raises(ValueError, match="was begun with other options"):
        prepare_set(reader(2), source=tmp_path, output=tmp_path, options=Options())


@pytest.fixture
def teacher(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """A teacher's file that says of every picture: happy by half, yaw 20, with confidence 0.5."""

    def make(*names: str, five: np.ndarray | None = None) -> pathlib.Path:
        count = len(names)
        expression = np.tile(np.float32([0, 0, 0, 0.5, 0, 0, 0.5]), (count, 1))
        path = tmp_path / "teacher.npz"
        write_teacher_file(
            path,
            TeacherFile(
                teacher="A teacher",
                names=np.array(names),
                sizes=np.tile(np.int32([210, 200]), (count, 1)),
                found=np.ones(count, bool),
                five=np.tile(np.full((5, 2), np.nan, np.float32) if five is None else five, (count, 1, 1)),
                values={"expression": expression, "age": np.full((count, 2), 99, np.float32)},
                confidence={task: np.full(count, 0.5, np.float32) for task in ("expression", "age")},
            ),
        )
        return path

    return make


def test_a_teacher_labels_what_people_have_not(
    tmp_path: pathlib.Path, portrait: np.ndarray, teacher: Callable[..., pathlib.Path]
) -> None:
    _save(tmp_path / "in/a/1.png", portrait)
    _save(tmp_path / "in/a/2.png", portrait)
    samples = [
        Sample(key="a/1.png", picture=tmp_path / "in/a/1.png", split="train", labels={"age": [30, 30]}),
        Sample(key="a/2.png", picture=tmp_path / "in/a/2.png", split="train", labels={"age": [31, 31]}),
    ]
    manifest = _prepare(_reader(*samples), tmp_path, teachers=[teacher("in/a/1.png")])
    assert manifest["labelled_by"] == {"expression": "A teacher", "age": "human"}
    faces = FaceSet(tmp_path / "out/made")
    happy = CATALOGUE["expression"].labels.index("happiness")
    assert faces.columns["expression"][0, happy] == 0.5
    assert np.isnan(faces.columns["expression"][1]).all()
    assert faces.columns["age"].tolist() == [[30, 30], [31, 31]]
    assert faces.confidence["expression"][0] == 0.5
    assert faces.confidence["age"].tolist() == [1, 1]


def test_a_teacher_s_landmarks_find_faces_that_the_detector_does_not(
    tmp_path: pathlib.Path, teacher: Callable[..., pathlib.Path]
) -> None:
    _save(tmp_path / "in/grey.png", np.full((200, 210, 3), 128, np.uint8))
    five = np.array([[80, 80], [130, 80], [105, 105], [85, 130], [125, 130]])
    labels = teacher("in/grey.png", five=five)
    command = ("prepare", "photos", "--source", tmp_path / "in", "--output", tmp_path / "out")
    assert _run(*command) == 2
    assert _run(*command, "--teacher", labels) == 0
    faces = FaceSet(tmp_path / "out/photos")
    assert list(faces.keys) == ["grey.png"]
    assert set(faces.columns) == {"expression", "age"}


def test_of_a_plain_photo_the_largest_face_is_taken_wherever_it_is(
    tmp_path: pathlib.Path, portrait: np.ndarray
) -> None:
    photo = np.full((300, 600, 3), 90, np.uint8)
    photo[:200, :210] = portrait
    _save(tmp_path / "in/photo.png", photo)
    assert _run("prepare", "photos", "--source", tmp_path / "in", "--output", tmp_path) == 0
    assert len(FaceSet(tmp_path / "photos")) == 1

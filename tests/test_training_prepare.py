"""Data sets in their official layouts become aligned crops with labels."""

import pathlib

import cv2
import numpy as np
import pytest

from runtime.pose import rotation_from_angles
from training import prepare
from training.data import FaceSet
from training.tasks import CATALOGUE

ASSETS = pathlib.Path(__file__).parent / "assets"


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    picture = cv2.imread(str(ASSETS / "astronaut.jpg"))
    assert picture is not None
    return picture[40:240, 120:330]


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["prepare", *arguments])
    return prepare.main()


def _save(path: pathlib.Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def _fairface(root: pathlib.Path, portrait: np.ndarray) -> None:
    rows = ["file,age,gender,race,service_test"]
    for i, (age, gender, race) in enumerate(
        [
            ("20-29", "Female", "White"),
            ("more than 70", "Male", "Latino_Hispanic"),
            ("0-2", "Male", "East Asian"),
        ]
    ):
        rows.append(f"train/{i}.png,{age},{gender},{race},TRUE")
        _save(root / f"train/{i}.png", portrait if i < 2 else np.full_like(portrait, 128))
    (root / "fairface_label_train.csv").write_text("\n".join(rows) + "\n")


def _teacher(path: pathlib.Path, *, names: list[str]) -> None:
    """A teacher's file that says of every picture: yaw 20, pitch 10, and a broad smile."""
    axes = np.diag([1.0, -1.0, -1.0])
    matrix = np.eye(4)
    matrix[:3, :3] = axes @ rotation_from_angles([20, 10, 0]) @ axes
    points = np.zeros((len(names), 478, 2), np.float16)
    points[:, [33, 133]], points[:, [362, 263]], points[:, [61, 291]] = (90, 100), (150, 100), (120, 150)
    shapes = sorted({shape for several in prepare._ACTION_UNITS.values() for shape in several})
    np.savez(
        path,
        names=np.array(names),
        found=np.ones(len(names), bool),
        points=points,
        matrices=np.repeat(matrix[None], len(names), axis=0),
        blendshapes=np.array(
            [[0.9 if "Smile" in shape else 0.1 for shape in shapes]] * len(names), np.float16
        ),
        blendshape_names=np.array(shapes),
    )


def test_fairface_becomes_crops_with_the_labels_that_it_has(
    tmp_path: pathlib.Path,
    portrait: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _fairface(tmp_path / "in", portrait)
    monkeypatch.setattr(prepare, "_kept_out", lambda names, count: {"train/1.png"})
    assert _run(monkeypatch, "fairface", "--source", str(tmp_path / "in"), "--output", str(tmp_path)) == 0
    assert "2 faces, 1 pictures without a face" in capsys.readouterr().out
    learned, kept = FaceSet(tmp_path / "fairface", test=False), FaceSet(tmp_path / "fairface", test=True)
    assert list(learned.names) == ["0.png"]
    assert list(kept.names) == ["1.png"]
    assert (learned.labels["age_low"][0], learned.labels["age_high"][0]) == (20, 29)
    assert kept.labels["age_low"][0] == 70
    gender, race = CATALOGUE["gender"].labels, CATALOGUE["race"].labels
    assert gender[int(learned.labels["gender"][0])] == "female"
    assert race[int(kept.labels["race"][0])] == "Latino_Hispanic"
    crop = learned.plain([0])[0]
    assert crop.shape == (prepare.SIZE, prepare.SIZE, 3)
    assert crop[40:80, 40:80].std() > 10


def test_a_teacher_adds_pose_and_action_units_and_can_not_teach_what_it_does_not_see(
    tmp_path: pathlib.Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fairface(tmp_path / "in", portrait)
    _teacher(tmp_path / "teacher.npz", names=["train/0.png", "train/1.png"])
    arguments = ["--source", str(tmp_path / "in"), "--output", str(tmp_path)]
    assert _run(monkeypatch, "fairface", *arguments, "--teacher", str(tmp_path / "teacher.npz")) == 0
    file = np.load(tmp_path / "fairface" / "labels.npz")
    yaw, pitch, _ = file["head_pose"][0]
    assert (yaw, pitch) == pytest.approx((20, 10), abs=1e-3)
    units = dict(zip(CATALOGUE["action_units"].labels, file["action_units"][0], strict=True))
    assert units["AU12"] == pytest.approx(0.9, abs=1e-3)
    assert units["AU4"] == pytest.approx(0.1, abs=1e-3)
    assert np.isnan(units["AU9"])


def test_a_teacher_with_two_pictures_of_one_name_is_refused(tmp_path: pathlib.Path) -> None:
    _teacher(tmp_path / "teacher.npz", names=["train/0.png", "val/0.png"])
    with pytest.raises(ValueError, match="one name"):
        prepare.Teacher(tmp_path / "teacher.npz")


def test_utkface_reads_age_and_gender_from_names_and_skips_malformed_ones(
    tmp_path: pathlib.Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("26_1_0_2017.png", "61_0_3_2017.png", "39_1_2017.png"):
        _save(tmp_path / "UTKFace" / name, portrait)
    samples = {sample.name: sample.labels for sample in prepare.utkface(tmp_path)}
    assert samples["26_1_0_2017.png"] == {"age_low": 26, "age_high": 26, "gender": 1}
    assert set(samples) == {"26_1_0_2017.png", "61_0_3_2017.png"}
    assert "39_1_2017.png" in capsys.readouterr().err


def test_celeba_s_columns_are_found_by_their_names(tmp_path: pathlib.Path) -> None:
    labels = list(reversed(CATALOGUE["attributes"].labels))
    values = ["1" if label == "Smiling" else "-1" for label in labels]
    text = "\n".join(["1", " ".join(labels), " ".join(["000001.jpg", *values])])
    (tmp_path / "list_attr_celeba.txt").write_text(text + "\n")
    [sample] = prepare.celeba(tmp_path)
    on = np.flatnonzero(np.asarray(sample.labels["attributes"]))
    assert [CATALOGUE["attributes"].labels[i] for i in on] == ["Smiling"]


def test_fer2013_s_folders_are_the_catalogue_s_expressions(tmp_path: pathlib.Path) -> None:
    for part in ("train", "validation"):
        for folder in ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"):
            (tmp_path / part / folder).mkdir(parents=True)
            (tmp_path / part / folder / f"{part}_{folder}.webp").touch()
    samples = list(prepare.fer2013(tmp_path))
    names = {s.path.parent.name: CATALOGUE["expression"].labels[int(s.labels["expression"])] for s in samples}  # type: ignore[arg-type]
    assert names["happy"] == "happiness"
    assert names["angry"] == "anger"
    assert set(names.values()) == set(CATALOGUE["expression"].labels)
    assert {s.test for s in samples if s.path.parent.parent.name == "validation"} == {True}


@pytest.mark.parametrize("name", sorted(prepare.SETS))
def test_a_folder_that_is_not_the_set_ends_in_a_sentence(
    tmp_path: pathlib.Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, name, "--source", str(tmp_path), "--output", str(tmp_path / "out")) == 2
    assert name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

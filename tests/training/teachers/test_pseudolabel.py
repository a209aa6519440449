"""Photos without labels get a teacher's, and a run that was stopped goes on."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.pose import rotation_from_angles
from tests.helpers.paths import ROOT
from training.data.labels import checked
from training.data.teacher_labels import TeacherLabels
from training.tasks import CATALOGUE
from training.teachers import TEACHERS, FaceLabels, mediapipe, open_teacher, pseudolabel
from training.teachers.mediapipe import POINTS_OF_68, Prediction, activation, sound_angles, to_prediction


class Brightness:
    """A teacher that takes how bright a picture is for an age, and finds no face in black ones."""

    title = "Brightness (CC0)"
    tasks = ("age",)
    seen: list[float] = []  # noqa: RUF012 - what all of them were shown
    stop_after: int | None = None

    def __init__(self, model: Path) -> None:
        self.model = model

    def label(self, picture: NDArray[np.uint8], *, five: NDArray[np.float32] | None) -> FaceLabels | None:
        if len(self.seen) == Brightness.stop_after:
            raise KeyboardInterrupt
        bright = float(picture.mean().round())
        self.seen.append(bright)
        if bright == 0:
            return None
        return FaceLabels(
            five=np.full((5, 2), bright, np.float32),
            values={"age": np.array([bright, bright], np.float32)},
            confidence={"age": 0.5},
        )

    def close(self) -> None:
        pass


class Follower(Brightness):
    """One that finds no face by itself, and repeats where it was told to look."""

    title = "Follower (CC0)"
    tasks = ("gender",)

    def label(self, picture: NDArray[np.uint8], *, five: NDArray[np.float32] | None) -> FaceLabels | None:
        if five is None:
            return None
        return FaceLabels(
            five=np.full((5, 2), np.nan, np.float32),
            values={"gender": np.array([five[0, 0] / 100, 1 - five[0, 0] / 100], np.float32)},
            confidence={"gender": 1.0},
        )


@pytest.fixture(autouse=True)
def _teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEACHERS, "brightness", (__name__, "Brightness"))
    monkeypatch.setitem(TEACHERS, "follower", (__name__, "Follower"))
    monkeypatch.setattr(pseudolabel, "PICTURES_A_FILE", 2)
    monkeypatch.setattr(Brightness, "seen", [])
    monkeypatch.setattr(Brightness, "stop_after", None)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos of brightness 0, 10, 20, 30, 40, in two folders."""
    folder = tmp_path / "photos"
    for i in range(5):
        path = folder / ("a" if i < 3 else "b") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((40, 60, 3), 10 * i, np.uint8))
    return folder


def run(photos: Path, *more: str, teachers: tuple[str, ...] = ("brightness",)) -> int:
    named = [word for name in teachers for word in ("--teacher", name, "--model", str(photos))]
    return pseudolabel.main([str(photos), *named, "--output", str(photos.parent / "labels"), *more])


def test_every_photo_under_a_folder_is_labelled(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos) == 0
    assert "5 pictures, 80.0% with a face, 0 unreadable" in capsys.readouterr().out
    labels = TeacherLabels(photos.parent / "labels" / "brightness")
    assert len(labels) == 5
    face = labels.labels("photos/b/4.png", size=(60, 40))
    assert face is not None
    assert face.labels == {"age": [40, 40]}
    assert face.confidence == {"age": 0.5}
    assert labels.labels("a/0.png") is None


def test_a_later_teacher_looks_where_the_first_found_the_face(photos: Path) -> None:
    assert run(photos, teachers=("brightness", "follower")) == 0
    labels = TeacherLabels(photos.parent / "labels" / "follower")
    face = labels.labels("a/2.png")
    assert face is not None
    assert face.labels["gender"]["male"] == pytest.approx(0.2)
    assert face.five is None
    assert labels.labels("a/0.png") is None


def test_a_teacher_may_look_where_that_of_an_earlier_run_found_the_face(photos: Path) -> None:
    assert run(photos) == 0
    assert run(photos, "--faces", str(photos.parent / "labels" / "brightness"), teachers=("follower",)) == 0
    face = TeacherLabels(photos.parent / "labels" / "follower").labels("b/3.png")
    assert face is not None
    assert face.labels["gender"]["male"] == pytest.approx(0.3)


def test_a_stopped_run_goes_on_with_the_same_command(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Brightness, "stop_after", 3)
    assert run(photos) == 130
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(Brightness, "stop_after", None)
    assert run(photos) == 0
    # The first file was whole; of the second, one picture is done again.
    assert Brightness.seen == [0, 10, 20, 20, 30, 40]
    assert len(TeacherLabels(photos.parent / "labels" / "brightness")) == 5
    assert run(photos) == 0
    assert len(Brightness.seen) == 6


def test_shares_make_together_what_one_run_makes(photos: Path) -> None:
    assert run(photos, "--share", "2/2") == 0
    assert Brightness.seen == [20, 30]
    assert run(photos, "--share", "1/2") == 0
    shared = sorted((photos.parent / "labels" / "brightness").iterdir())
    made = [path.read_bytes() for path in shared]
    shutil.rmtree(photos.parent / "labels")
    assert run(photos) == 0
    assert [path.read_bytes() for path in shared] == made


def test_other_pictures_than_before_are_not_mixed_in(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photos) == 0
    (photos / "a" / "0.png").rename(photos / "a" / "00.png")
    assert run(photos) == 2
    assert "labels-000000.npz holds the labels of other pictures" in capsys.readouterr().err


def test_unreadable_pictures_are_named_counted_and_too_many_are_fatal(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "a" / "1.png").write_bytes(b"no picture")
    assert run(photos, "--max-unreadable", "0.2") == 0
    output = capsys.readouterr()
    assert "skipped" in output.err
    assert "1.png" in output.err
    assert "1 unreadable" in output.out
    assert TeacherLabels(photos.parent / "labels" / "brightness").labels("a/1.png", size=(60, 40)) is None
    assert run(photos) == 2
    assert "1 of 2 pictures under" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--teacher", "nobody", "--model", "."], "there is no teacher 'nobody': choose from mediapipe"),
        (["--teacher", "brightness", "--model", "nowhere"], "nowhere does not exist"),
        (["--teacher", "brightness", "--teacher", "follower", "--model", "."], "2 teachers and 1 models"),
        (["--teacher", "brightness", "--model", ".", "--share", "3/2"], "--share 3/2 is no share"),
        (
            ["--teacher", "brightness", "--teacher", "brightness", "--model", ".", "--model", "."],
            "named twice",
        ),
    ],
)
def test_a_wrong_command_is_refused_with_one_sentence(
    photos: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert pseudolabel.main([str(photos), *words, "--output", str(photos.parent / "labels")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_folder_without_pictures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 2
    assert "there is no picture (.jpeg, .jpg, .png, .webp) under" in capsys.readouterr().err
    assert run(tmp_path / "nowhere") == 2
    assert "is not a folder" in capsys.readouterr().err


def test_a_full_disk_is_a_sentence(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pseudolabel, "write_teacher_file", full)
    assert run(photos) == 2
    assert "can't be written (No space left on device): make room" in capsys.readouterr().err


def test_mediapipe_without_its_package_says_where_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(
        ValueError, match=r"needs a package that is not installed .*requirements/teachers\.txt"
    ):
        open_teacher("mediapipe", model=tmp_path)


def test_the_teachers_environment_needs_nothing_but_numpy_and_opencv() -> None:
    # mediapipe brings an OpenCV of its own, so that the rest of training can't live beside it.
    imported = "import sys, training.teachers.pseudolabel, training.teachers.mediapipe; print(*sys.modules)"
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", imported], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    tops = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"numpy", "cv2", "runtime", "training"} <= tops
    assert not tops & {"torch", "timm", "tqdm", "scipy", "openvino", "webdataset", "matplotlib"}


# --- MediaPipe's answer in the catalogue's words. ---

SHAPES = {
    "browInnerUp": 0.5,
    **{
        f"{name}{side}": value
        for name, value in {
            "browOuterUp": 0.1,
            "browDown": 0.2,
            "eyeWide": 0.3,
            "eyeSquint": 0.4,
            "mouthSmile": 0.8,
            "mouthStretch": 0.6,
            "mouthUpperUp": 0.2,
            "mouthLowerDown": 0.6,
            "eyeBlink": 0.05,
        }.items()
        for side in ("Left", "Right")
    },
    "mouthShrugLower": 0.7,
    "jawOpen": 0.9,
}


def mesh(*, turned: float = 0.0, at: tuple[float, float] = (80.0, 90.0)) -> NDArray[np.float64]:
    """A symmetric mesh [478, 2] of 100 pixels a side, whose eyes lie on a line turned by so many degrees."""
    rng = np.random.default_rng(0)
    points = np.zeros((478, 2))
    order = CATALOGUE["landmarks"].mirrored_order()
    right = [*range(9), *range(17, 22), *range(27, 34), *range(36, 42), *range(48, 52), *range(57, 68)]
    for i in right:
        x, y = rng.uniform(-40, -5), rng.uniform(-40, 40)
        points[list(POINTS_OF_68[i])] = [0 if order[i] == i else x, y]
        points[list(POINTS_OF_68[order[i]])] = [0 if order[i] == i else -x, y]
    points[list(POINTS_OF_68[36])], points[list(POINTS_OF_68[45])] = [-30, -20], [30, -20]
    points[476], points[477] = [-50, -50], [50, 50]
    radians = np.radians(turned)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return points @ turn.T + at


def matrix_of(*angles: float) -> NDArray[np.float64]:
    """The landmarker's matrix for (yaw, pitch, roll): another frame, a size of 7 and a place."""
    axes = np.diag([1.0, -1.0, -1.0])
    matrix = np.eye(4)
    matrix[:3, :3] = 7 * axes @ rotation_from_angles(angles) @ axes
    matrix[:3, 3] = [1, 2, -40]
    return matrix


def predicted(*, yaw: float = 0.0, turned: float = 0.0) -> Prediction:
    return to_prediction(mesh(turned=turned), matrix=matrix_of(yaw, 7, 3), blendshapes=SHAPES)


def combined(first: Prediction, second: Prediction | None) -> FaceLabels:
    labels = mediapipe.combined(first, second)
    assert labels is not None
    return labels


def moved(seen: Prediction, *, by: float) -> Prediction:
    """The same face, farther right by a part of its side."""
    return dataclasses.replace(seen, points=seen.points + np.array([by * seen.side, 0]))


def test_every_point_has_vertices_of_its_own_and_a_mirrored_point_the_mirrored_ones() -> None:
    assert len(POINTS_OF_68) == 68
    assert len(set(POINTS_OF_68)) == 68
    order = CATALOGUE["landmarks"].mirrored_order()
    middle = {vertices for i, vertices in enumerate(POINTS_OF_68) if order[i] == i}
    assert middle == {(152,), (6, 168), (197,), (5,), (1, 4), (2, 164), (0,), (17,), (13,), (14,)}


def test_yaw_and_pitch_come_from_the_matrix_and_roll_from_the_eyes() -> None:
    np.testing.assert_allclose(predicted(yaw=-12, turned=15).angles, [-12, 7, 15], atol=1e-6)


def test_action_units_are_the_means_of_their_blendshapes_on_their_scales_and_au9_is_not_known() -> None:
    units = dict(zip(CATALOGUE["action_units"].labels, predicted().action_units, strict=True))
    assert units["AU1"] == 0.5
    assert units["AU12"] == pytest.approx(0.8)
    assert units["AU25"] == pytest.approx(activation(0.4, label="AU25"))
    assert units["AU26"] == pytest.approx(activation(0.9, label="AU26"))
    assert np.isnan(units["AU9"])


def test_looks_that_agree_are_trusted_and_give_labels_that_a_data_set_takes() -> None:
    seen = predicted()
    labels = combined(seen, seen)
    assert labels.confidence == {"landmarks": 1.0, "head_pose": 1.0, "action_units": 1.0}
    assert labels.values["landmarks"].shape == (68, 2)
    assert not np.isnan(labels.values["landmarks"]).any()
    right, left = labels.five[:2]
    assert right[0] < left[0]
    assert checked("head_pose", labels.values["head_pose"].tolist()) is not None


def test_confidence_falls_with_the_difference_of_the_two_looks() -> None:
    first = predicted(yaw=0)
    labels = combined(first, predicted(yaw=10))
    assert labels.confidence["head_pose"] == pytest.approx(0.5)
    assert labels.confidence["landmarks"] == pytest.approx(1)
    np.testing.assert_allclose(labels.values["head_pose"], [5, 7, 0], atol=1e-4)
    assert combined(first, moved(first, by=0.03)).confidence["landmarks"] == pytest.approx(0.5)
    assert all(value == 0.25 for value in combined(first, None).confidence.values())


def test_looks_at_two_different_faces_give_no_labels() -> None:
    assert mediapipe.combined(predicted(), moved(predicted(), by=0.05)) is not None
    assert mediapipe.combined(predicted(), moved(predicted(), by=0.07)) is None


def test_a_mirrored_look_is_the_look_at_the_mirrored_picture() -> None:
    seen = predicted(yaw=20, turned=10)
    mirrored = seen.mirrored(width=160)
    np.testing.assert_allclose(mirrored.angles, [-20, 7, -10], atol=1e-6)
    np.testing.assert_allclose(mirrored.points[36], [159 - seen.points[45, 0], seen.points[45, 1]])
    back = mirrored.mirrored(width=160)
    np.testing.assert_allclose(back.points, seen.points)


@pytest.mark.parametrize(("yaw", "unknown"), [(-25, range(7)), (25, range(10, 17)), (10, range(0))])
def test_the_jaw_on_the_side_turned_away_is_not_known(yaw: float, unknown: range) -> None:
    seen = predicted(yaw=yaw)
    points = combined(seen, seen).values["landmarks"]
    assert np.flatnonzero(np.isnan(points).any(axis=1)).tolist() == list(unknown)


def test_angles_on_both_sides_of_a_half_turn_are_averaged_across_it() -> None:
    seen = predicted()
    one = dataclasses.replace(seen, angles=np.array([0, 0, 178.0]))
    other = dataclasses.replace(seen, angles=np.array([0, 0, -176.0]))
    labels = combined(one, other)
    assert labels.values["head_pose"][2] == pytest.approx(-179)
    assert labels.confidence["head_pose"] == pytest.approx(1 / 1.36)


def test_an_action_unit_is_active_from_its_own_amplitude_on_and_the_order_stays() -> None:
    amplitudes = [0.0, 0.05, 0.085, 0.2, 0.9, 1.0]
    widened = [activation(amplitude, label="AU5") for amplitude in amplitudes]
    assert widened[0] == 0
    assert widened[2] == pytest.approx(0.5)
    assert widened[-1] == 1
    assert widened == sorted(widened)
    assert activation(0.5, label="AU12") == 0.5


def test_a_pose_is_not_labelled_where_the_teacher_compresses_it() -> None:
    assert np.isnan(sound_angles(np.array([-34.0, 2, 1]))).all()
    assert sound_angles(np.array([29.0, 2, 1])).tolist() == [29, 2, 1]

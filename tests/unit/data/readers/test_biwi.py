"""Biwi's head rotations become ours, with the signs that its documented geometry gives."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from runtime.pose import rotation_from_angles
from training.data.labels import checked
from training.data.reader import LayoutError
from training.data.readers import reader_of
from training.data.sample import BadSample, Sample

# A calibration as the release has it (its own numbers), and one of a camera that stands where the depth
# camera does.
_MATRIX = "517.679 0 320\n0 517.679 240.5\n0 0 1\n"
_RELEASED = f"""{_MATRIX}
0 0 0 0

0.999947 0.00432361 0.00929419
-0.00446314 0.999877 0.0150443
-0.009228 -0.015085 0.999844

-24.0198 5.8896 -13.2308

640 480
"""
_SAME_PLACE = f"{_MATRIX}\n0 0 0 0\n\n1 0 0\n0 1 0\n0 0 1\n\n0 0 0\n\n640 480\n"
_CENTRE = np.array([43.4, -30.7, 906.9])


def _pose_text(rotation: np.ndarray, centre: np.ndarray = _CENTRE) -> str:
    rows = [" ".join(f"{value:.6f}" for value in row) for row in (*rotation, centre)]
    return "\n".join([*rows[:3], "", rows[3], ""])


def _frame(root: Path, *, recording: str = "01", number: int = 3, pose: str, calibration: str) -> None:
    folder = root / "hpdb" / recording
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rgb.cal").write_text(calibration)
    (folder / f"frame_{number:05d}_rgb.png").write_bytes(b"")
    (folder / f"frame_{number:05d}_pose.txt").write_text(pose)


def _read(source: Path, *, name: str = "biwi") -> tuple[list[Sample], list[BadSample]]:
    entries = list(reader_of(name).read(source))
    samples = [entry for entry in entries if isinstance(entry, Sample)]
    assert all(checked("head_pose", sample.labels["head_pose"]) for sample in samples)
    return samples, [entry for entry in entries if isinstance(entry, BadSample)]


def _turn(axis: list[float], degrees: float) -> np.ndarray:
    """Rodrigues: the rotation about an axis, right-handed in the frame x right, y down, z forward."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _picture(points: np.ndarray) -> np.ndarray:
    """Where points of the depth camera's frame are seen by a camera in its place: pinhole, nothing else."""
    return points[:, :2] / points[:, 2:] * 517.679 + [320, 240.5]


@pytest.mark.parametrize(
    ("axis", "degrees", "angle"),
    [([0, 1, 0], 30, 0), ([0, 1, 0], -50, 0), ([1, 0, 0], 25, 1), ([1, 0, 0], -40, 1), ([0, 0, 1], 20, 2)],
)
def test_the_signs_are_those_of_the_picture(
    tmp_path: Path, axis: list[float], degrees: float, angle: int
) -> None:
    """The head's model lies at R x + c; what our angles promise is then seen in the picture."""
    rotation = _turn(axis, degrees)
    _frame(tmp_path, pose=_pose_text(rotation), calibration=_SAME_PLACE)
    (sample,), bad = _read(tmp_path)
    assert not bad
    angles = np.array(sample.labels["head_pose"])
    np.testing.assert_allclose(np.delete(angles, angle), 0, atol=1e-3)
    assert abs(angles[angle]) == pytest.approx(abs(degrees), abs=1e-3)
    # The nose's tip lies before the head's centre, the eyes side by side.
    centre, nose, right_eye, left_eye = _picture(
        np.array([[0, 0, 0], [0, 0, -100], [-30, -40, -60], [30, -40, -60]]) @ rotation.T + _CENTRE
    )
    straight = _picture(_CENTRE[None] * (1 - 100 / _CENTRE[2]))[0]  # a nose that points at the camera
    if angle == 0:  # yaw > 0: toward the picture's right
        assert np.sign(nose[0] - straight[0]) == np.sign(angles[0])
    elif angle == 1:  # pitch > 0: the chin is lifted, the nose points up
        assert np.sign(nose[1] - straight[1]) == -np.sign(angles[1])
    else:  # roll > 0: clockwise, so that the eye on the picture's right is the lower one
        assert np.sign(left_eye[1] - right_eye[1]) == np.sign(angles[2])
    assert sample.box is not None
    assert sample.box[0] < centre[0] < sample.box[2]
    assert sample.box[1] < centre[1] < sample.box[3]


def test_the_stand_in_landmarks_are_turned_with_the_head(tmp_path: Path) -> None:
    _frame(tmp_path, pose=_pose_text(_turn([0, 0, 1], 0)), calibration=_SAME_PLACE)
    _frame(tmp_path, number=4, pose=_pose_text(_turn([0, 1, 0], -60)), calibration=_SAME_PLACE)
    (straight, turned), _ = _read(tmp_path)
    assert straight.landmarks is not None
    assert turned.landmarks is not None
    right_eye, left_eye, nose, right_mouth, left_mouth = straight.landmarks
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < nose[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1]
    assert turned.labels["head_pose"][0] == pytest.approx(60, abs=1e-3)
    assert turned.landmarks[2, 0] > turned.landmarks[:2, 0].max()  # to the right, past both eyes
    assert straight.box is not None
    x0, y0, x1, y1 = straight.box
    assert (straight.landmarks > [x0, y0]).all()
    assert (straight.landmarks < [x1, y1]).all()


def test_the_rotation_is_brought_to_the_colour_camera(tmp_path: Path) -> None:
    """A frame of the release (recording 12, frame 3), with its calibration."""
    rotation = np.array(
        [
            [0.980639, 0.109899, 0.162077],
            [-0.11023, 0.993882, -0.00697376],
            [-0.161851, -0.011027, 0.986754],
        ]
    )
    _frame(tmp_path, recording="12", pose=_pose_text(rotation), calibration=_RELEASED)
    (sample,), _ = _read(tmp_path)
    calibrated = np.array(
        [
            [0.999947, 0.00432361, 0.00929419],
            [-0.00446314, 0.999877, 0.0150443],
            [-0.009228, -0.015085, 0.999844],
        ]
    )
    np.testing.assert_allclose(
        rotation_from_angles(sample.labels["head_pose"]), calibrated @ rotation, atol=1e-4
    )
    # Without the colour camera's turn, as published work reads the file, in our signs: -9.3, 0.6, -6.4.
    np.testing.assert_allclose(sample.labels["head_pose"], [-9.3, 0.6, -6.4], atol=1.2)
    assert sample.person == "M06"
    seen = calibrated @ _CENTRE + [-24.0198, 5.8896, -13.2308]
    assert sample.box is not None
    centre = [(sample.box[0] + sample.box[2]) / 2, (sample.box[1] + sample.box[3]) / 2]
    np.testing.assert_allclose(centre, seen[:2] / seen[2] * 517.679 + [320, 240.5], atol=1e-6)


def test_frames_are_drawn_as_the_paper_has_it_or_people_are(tmp_path: Path) -> None:
    for recording in range(1, 25):
        for number in range(3, 13):
            pose = _pose_text(np.eye(3))
            _frame(tmp_path, recording=f"{recording:02d}", number=number, pose=pose, calibration=_SAME_PLACE)
    samples, _ = _read(tmp_path)
    assert Counter(sample.split for sample in samples) == {"train": 168, "test": 72}
    assert [(sample.key, sample.split) for sample in samples] == [
        (f"hpdb/{sample.key}", sample.split) for sample in _read(tmp_path / "hpdb")[0]
    ]
    by_person, _ = _read(tmp_path, name="biwi_by_person")
    sides = {split: {s.person for s in by_person if s.split == split} for split in ("train", "test")}
    assert len(sides["train"]) == 14
    assert len(sides["test"]) == 6
    assert not sides["train"] & sides["test"]
    assert len({sample.person for sample in samples}) == 20  # four people came twice


def test_what_is_missing_or_malformed_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"Biwi's recordings are missing: they belong in .*01 to .*24"):
        _read(tmp_path)
    (tmp_path / "hpdb/01").mkdir(parents=True)
    with pytest.raises(LayoutError, match=r"Biwi's frames are missing: they belong at .*frame_00003_rgb.png"):
        _read(tmp_path)
    _frame(tmp_path, pose=_pose_text(np.eye(3)), calibration=_SAME_PLACE)
    _frame(tmp_path, number=4, pose=_pose_text(np.diag([1, 1, -1])), calibration=_SAME_PLACE)
    _frame(tmp_path, number=5, pose=_pose_text(np.full((3, 3), np.nan)), calibration=_SAME_PLACE)
    _frame(tmp_path, number=6, pose="1 0 0", calibration=_SAME_PLACE)
    _frame(tmp_path, number=7, pose=_pose_text(np.eye(3), -_CENTRE), calibration=_SAME_PLACE)
    _frame(tmp_path, number=8, pose="", calibration=_SAME_PLACE)
    (tmp_path / "hpdb/01/frame_00008_pose.txt").unlink()
    samples, bad = _read(tmp_path)
    assert [sample.key for sample in samples] == ["hpdb/01/frame_00003_rgb.png"]
    assert [entry.reason for entry in bad] == [
        *(
            f"its pose frame_{i:05d}_pose.txt is not a rotation matrix and a centre before the camera"
            for i in range(4, 8)
        ),
        "its pose frame_00008_pose.txt is missing",
    ]
    for text, sentence in (
        ("1 0 0", "is no calibration"),
        (_SAME_PLACE.replace("\n1 0 0\n", "\n2 0 0\n"), "rotation"),
    ):
        (tmp_path / "hpdb/01/rgb.cal").write_text(text)
        with pytest.raises(LayoutError, match=sentence):
            _read(tmp_path)
    (tmp_path / "hpdb/01/rgb.cal").unlink()
    with pytest.raises(LayoutError, match=r"a camera's calibration is missing: it belongs at .*rgb.cal"):
        _read(tmp_path)

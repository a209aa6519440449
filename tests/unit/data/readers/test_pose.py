"""300W-LP, AFLW2000-3D and 300VW in their makers' form: above all the angles' signs."""

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from runtime.pose import rotation_from_angles
from tests.helpers.faces.reader_files import face, picture, pts, read
from training.data.reader import LayoutError
from training.data.readers.ibug_300vw import Frame

SIZE = 40  # of the pictures, pixels


def model() -> NDArray[np.float64]:
    """68 points of a head [3, 68]: x to the picture's right, y up, z to the viewer."""
    return np.random.default_rng(5).uniform(-1, 1, (3, 68))


def as_3ddfa_draws(points: NDArray[np.float64], pose: tuple[float, float, float]) -> NDArray[np.float64]:
    """Where 3DDFA's release puts the model's points [3, 68] in the picture, in MATLAB's pixels.

    As its RotationMatrix.m and demo have it: R = R_x * R_y * R_z, P = f R V + t, y = height + 1 - y.
    """
    phi, gamma, theta = pose
    c, s = np.cos, np.sin
    r_x = np.array([[1, 0, 0], [0, c(phi), s(phi)], [0, -s(phi), c(phi)]])
    r_y = np.array([[c(gamma), 0, -s(gamma)], [0, 1, 0], [s(gamma), 0, c(gamma)]])
    r_z = np.array([[c(theta), s(theta), 0], [-s(theta), c(theta), 0], [0, 0, 1]])
    placed = 10 * (r_x @ r_y @ r_z) @ points + np.array([[20.0], [15.0], [0.0]])
    placed[1] = SIZE + 1 - placed[1]
    return np.asarray(placed)


def fitted(path: Path, pose: tuple[float, float, float], **points: NDArray[np.float64]) -> None:
    """A fitted face beside its picture: pitch, yaw, roll (radians), translation, scale."""
    picture(path.with_suffix(".jpg"), width=SIZE, height=SIZE)
    variables: dict[str, Any] = {"Pose_Para": np.array([[*pose, 20, 15, 0, 10]], np.float32), **points}
    scipy.io.savemat(path.with_suffix(".mat"), variables)


def aflw2000(root: Path, pose: tuple[float, float, float], *, number: int = 2) -> None:
    fitted(root / f"image{number:05d}", pose, pt3d_68=as_3ddfa_draws(model(), pose))


@pytest.mark.parametrize(
    "pose", [(0.3, 0, 0), (0, 0.5, 0), (0, 0, 0.4), (0.3, -0.8, 0.2), (-0.5, 1.2, -0.6), (0.2, 1.65, 0.1)]
)
def test_pose_and_points_of_a_fitted_face_agree(tmp_path: Path, pose: tuple[float, float, float]) -> None:
    # The head turned by our angles in our camera must fall on the points that 3DDFA drew.
    aflw2000(tmp_path, pose)
    labels = read("aflw2000", tmp_path)[0][0].labels
    in_camera = rotation_from_angles(labels["head_pose"]) @ (model() * np.array([[1.0], [-1.0], [-1.0]]))
    expected = 10 * in_camera[:2].T + np.array([20 - 1, SIZE + 1 - 15 - 1])
    np.testing.assert_allclose(labels["landmarks"], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("pose", "angles"),
    [
        # 3DDFA's yaw > 0 turns the nose to the picture's left, ours to its right.
        ((0, np.radians(30), 0), [-30, 0, 0]),
        ((np.radians(20), 0, 0), [0, 20, 0]),
        ((0, 0, np.radians(10)), [0, 0, 10]),
    ],
)
def test_single_angles_keep_their_size_and_take_our_signs(
    tmp_path: Path, pose: tuple[float, float, float], angles: list[float]
) -> None:
    aflw2000(tmp_path, pose)
    np.testing.assert_allclose(read("aflw2000", tmp_path)[0][0].labels["head_pose"], angles, atol=1e-4)


def test_aflw2000_is_for_testing_by_yaw_and_drops_poses_past_99_degrees(tmp_path: Path) -> None:
    for number, yaw in enumerate((10, -45, 75, 98, 100)):
        aflw2000(tmp_path / "AFLW2000", (0, np.radians(yaw), 0), number=number)
    aflw2000(tmp_path / "AFLW2000", (np.radians(-120), 0, 0), number=9)
    good, bad = read("aflw2000", tmp_path)
    assert not bad
    assert [(sample.split, sample.subset, "head_pose" in sample.labels) for sample in good] == [
        ("test", "yaw_0_30", True),
        ("test", "yaw_30_60", True),
        ("test", "yaw_60_90", True),
        ("test", "yaw_60_90", True),
        ("test", "yaw_60_90", False),
        ("test", "yaw_0_30", False),
    ]
    assert good[0].key == "AFLW2000/image00000.jpg"


def test_aflw2000_names_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    pose = (0.0, 0.0, 0.0)
    aflw2000(tmp_path, pose, number=1)
    for number in range(2, 8):
        aflw2000(tmp_path, pose, number=number)
    whole = (tmp_path / "image00002.mat").read_bytes()
    (tmp_path / "image00002.mat").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "image00003.mat").write_bytes(b"no MATLAB file")
    (tmp_path / "image00004.mat").unlink()
    fitted(tmp_path / "image00005", pose)
    fitted(tmp_path / "image00006", pose, pt3d_68=as_3ddfa_draws(model(), pose)[:, :60])
    fitted(tmp_path / "image00007", (np.nan, 0, 0), pt3d_68=as_3ddfa_draws(model(), pose))
    good, bad = read("aflw2000", tmp_path)
    assert [sample.key for sample in good] == ["image00001.jpg"]
    folder = tmp_path.name
    assert {each.key: each.reason for each in bad} == {
        "image00002.jpg": f"its labels {folder}/image00002.mat are no readable MATLAB file",
        "image00003.jpg": f"its labels {folder}/image00003.mat are no readable MATLAB file",
        "image00004.jpg": f"its labels {folder}/image00004.mat are missing",
        "image00005.jpg": f"its labels {folder}/image00005.mat have no pt3d_68",
        "image00006.jpg": f"its labels {folder}/image00006.mat do not hold 68 points",
        "image00007.jpg": "its Pose_Para in image00007.mat does not begin with three angles",
    }


def set_of_300w_lp(root: Path) -> None:
    pose = (0.1, 0.2, 0.3)
    fitted(root / "AFW" / "AFW_134212_1_0", pose, pt2d=face().T)
    fitted(root / "AFW" / "AFW_134212_1_1", pose, pt2d=face().T)
    fitted(root / "AFW_Flip" / "AFW_134212_1_0", pose, pt2d=face().T)
    fitted(root / "LFPW" / "LFPW_image_test_0001_0", pose, pt2d=face().T)


def test_300w_lp_is_for_training_and_knows_the_copies_of_a_photo(tmp_path: Path) -> None:
    set_of_300w_lp(tmp_path / "300W_LP")
    good, bad = read("300w_lp", tmp_path)
    assert not bad
    assert [(sample.key, sample.split, sample.person, sample.subset) for sample in good] == [
        ("300W_LP/AFW/AFW_134212_1_0.jpg", "train", "AFW_134212_1", "afw"),
        ("300W_LP/AFW/AFW_134212_1_1.jpg", "train", "AFW_134212_1", "afw"),
        ("300W_LP/AFW_Flip/AFW_134212_1_0.jpg", "train", "AFW_134212_1", "afw"),
        ("300W_LP/LFPW/LFPW_image_test_0001_0.jpg", "train", "LFPW_image_test_0001", "lfpw"),
    ]
    np.testing.assert_allclose(good[0].labels["landmarks"], face() - 1)


def test_300w_lp_prefers_the_points_along_the_outline_and_mirrors_them_for_mirrored_pictures(
    tmp_path: Path,
) -> None:
    set_of_300w_lp(tmp_path)
    (tmp_path / "landmarks" / "AFW").mkdir(parents=True)
    outline = {"pts_2d": face(shift=7), "pts_3d": face(shift=9)}
    scipy.io.savemat(tmp_path / "landmarks" / "AFW" / "AFW_134212_1_0_pts.mat", outline)
    good, bad = read("300w_lp", tmp_path)
    assert [each.reason for each in bad] == ["its labels AFW/AFW_134212_1_1_pts.mat are missing"]
    points = {sample.key.split("/")[0]: np.array(sample.labels["landmarks"]) for sample in good}
    np.testing.assert_allclose(points["AFW"], face(shift=7) - 1)
    np.testing.assert_allclose(points["LFPW"], face() - 1)
    # The pictures are 450 pixels wide; the jaw's ends change places, the chin keeps its own.
    plain, mirrored = points["AFW"], points["AFW_Flip"]
    np.testing.assert_allclose(mirrored[16], (449 - plain[0][0], plain[0][1]))
    np.testing.assert_allclose(mirrored[8], (449 - plain[8][0], plain[8][1]))


@pytest.mark.parametrize(
    ("name", "missing"), [("300w_lp", "AFW_Flip"), ("aflw2000", "image00002.jpg"), ("300vw", "001/vid.avi")]
)
def test_an_empty_folder_is_answered_with_what_belongs_there(tmp_path: Path, name: str, missing: str) -> None:
    with pytest.raises(LayoutError, match=f"{missing} and so on belong in {tmp_path}"):
        read(name, tmp_path)


def video(path: Path, *, frames: int) -> None:
    """A video whose frame n (from 1) has the grey value 20 n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    assert writer.isOpened()
    for n in range(1, frames + 1):
        writer.write(np.full((48, 64, 3), 20 * n, np.uint8))
    writer.release()


def test_300vw_gives_annotated_frames_with_split_category_and_video(tmp_path: Path) -> None:
    for name in ("001", "114", "203", "562", "999"):
        video(tmp_path / name / "vid.avi", frames=3)
        for frame in (1, 3):
            pts(tmp_path / name / "annot" / f"{frame:06d}.pts", face(shift=frame))
    good, bad = read("300vw", tmp_path)
    assert not bad
    assert [(sample.key, sample.split, sample.subset, sample.person) for sample in good[::2]] == [
        ("001/000001", "train", "", "001"),
        ("114/000001", "test", "category_1", "114"),
        ("203/000001", "test", "category_2", "203"),
        ("562/000001", "test", "category_3", "562"),
    ]
    for sample, grey in zip(good, (20, 60) * 4, strict=True):
        assert callable(sample.picture)
        pixels = sample.picture()
        assert pixels.shape == (48, 64, 3)
        assert abs(int(pixels.mean()) - grey) <= 2
    np.testing.assert_allclose(good[1].labels["landmarks"], face(shift=3) - 1)


def test_300vw_has_fifty_videos_to_train_on_and_64_to_test() -> None:
    from training.data.readers.ibug_300vw import _VIDEOS

    subsets = [_VIDEOS[name] for name in _VIDEOS]
    counts = {each: subsets.count(each) for each in set(subsets)}
    assert counts == {
        ("train", ""): 50,
        ("test", "category_1"): 31,
        ("test", "category_2"): 19,
        ("test", "category_3"): 14,
    }


def test_frames_come_right_in_any_order_and_in_another_process(tmp_path: Path) -> None:
    path, other = tmp_path / "vid.avi", tmp_path / "other.avi"
    video(path, frames=6)
    video(other, frames=2)
    wanted = [(path, 2), (path, 5), (path, 1), (path, 1), (other, 2), (path, 6)]
    for source, number in wanted:
        frame = pickle.loads(pickle.dumps(Frame(source, number)))
        assert abs(int(frame().mean()) - 20 * number) <= 2


def test_a_frame_that_a_video_lacks_is_named(tmp_path: Path) -> None:
    video(tmp_path / "vid.avi", frames=2)
    with pytest.raises(OSError, match=r"vid\.avi has no frame 3"):
        Frame(tmp_path / "vid.avi", 3)()
    assert Frame(tmp_path / "vid.avi", 2)().mean() == pytest.approx(40, abs=2)
    (tmp_path / "damaged.avi").write_bytes(b"RIFF")
    with pytest.raises(OSError, match=r"damaged\.avi has no frame 1"):
        Frame(tmp_path / "damaged.avi", 1)()


def test_300vw_names_a_missing_video_and_a_malformed_frame(tmp_path: Path) -> None:
    pts(tmp_path / "001" / "annot" / "000001.pts", face())
    video(tmp_path / "002" / "vid.avi", frames=1)
    pts(tmp_path / "002" / "annot" / "000001.pts", face(60))
    pts(tmp_path / "002" / "annot" / "first.pts", face())
    good, bad = read("300vw", tmp_path)
    assert not good
    assert {each.key: each.reason for each in bad} == {
        "001/vid.avi": "the video is missing",
        "002/000001": "000001.pts does not hold 68 points in { }",
        "002/first": "first.pts is not the number of a frame",
    }

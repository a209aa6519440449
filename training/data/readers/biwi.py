"""The Biwi Kinect Head Pose Database: head rotations of 20 people in 24 recordings.

Fanelli et al., Random Forests for Real Time 3D Face Analysis, IJCV 2013: 15,678 frames. Q-Face, section
4.6: 70 % of the FRAMES for training, at random. Neighbouring frames are then on both sides, so that
`biwi_by_person` splits the people instead.

The geometry, as the release documents it. A frame's `_pose.txt` has the rotation R and the centre c (mm)
of the head in the DEPTH camera's frame, x to the right, y down, z into the scene, so that the head's model
(NN.obj) lies at x_depth = R x + c; a face that looks into the camera has R = 1. That is runtime.pose's
frame. The pictures are the COLOUR camera's: rgb.cal has its matrix K and its pose,
x_colour = R_cal x_depth + t_cal. So the rotation in the picture's camera is R_cal R (R_cal turns by about
one degree; heads drawn over the pictures fit only with it).
"""

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.pose import angles_from_rotation
from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.source_files import find_path
from training.data.reader_tools.splits import random_subset
from training.data.sample import BadSample, Sample

# Person of each recording: four people came twice.
_PEOPLE = {
    **{f"{i:02d}": f"F{i:02d}" for i in range(1, 7)},
    **{f"{i:02d}": f"M{i - 6:02d}" for i in range(7, 15)},
    **{"15": "F03", "16": "M09", "17": "M10", "18": "F05", "19": "M11"},
    **{"20": "M12", "21": "F02", "22": "M01", "23": "M13", "24": "M14"},
}
_TRAIN = 0.7
_FRAME = re.compile(r"frame_(?P<number>\d+)_rgb")
# Half the width and height of a face's box around the head's centre, in mm.
_BOX = np.array([90.0, 110.0])
# Right eye, left eye, nose tip, corners of the mouth from the head's centre, in mm, on a head of mean
# size (ICT-FaceKit's): true within about a centimetre. They align faces turned so far that the detector
# misses them, which would otherwise be missing from the test.
_POINTS = np.array(
    [
        [-32.5, -37.0, -14.0],
        [32.5, -37.0, -14.0],
        [0.0, -7.0, -52.0],
        [-25.0, 33.0, -24.0],
        [25.0, 33.0, -24.0],
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """The colour camera of a recording."""

    matrix: NDArray[np.float64]  # K [3, 3], pixels
    rotation: NDArray[np.float64]  # R_cal [3, 3], from the depth camera's frame
    translation: NDArray[np.float64]  # t_cal [3], mm

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points [N, 3] (mm, this camera's frame) lie in the picture [N, 2]."""
        seen = points @ self.matrix.T
        return seen[:, :2] / seen[:, 2:]


def read(source: Path, *, by_person: bool) -> Iterator[Sample | BadSample]:
    """Every frame of every recording, in their order."""
    root = find_path(source, "hpdb", "kinect_head_pose_db/hpdb", ".", what="Biwi's folder hpdb")
    recordings = [root / name for name in sorted(_PEOPLE) if (root / name).is_dir()]
    if not recordings:
        raise LayoutError(f"Biwi's recordings are missing: they belong in {root / '01'} to {root / '24'}")
    frames = [
        path
        for recording in recordings
        for path in sorted(recording.iterdir())
        if path.suffix.lower() in (".png", ".jpg") and _FRAME.fullmatch(path.stem)
    ]
    if not frames:
        raise LayoutError(f"Biwi's frames are missing: they belong at {root / '01' / 'frame_00003_rgb.png'}")
    units = {_unit(path, by_person=by_person) for path in frames}
    train = random_subset(units, fraction=_TRAIN)
    cameras = {recording.name: _camera(recording / "rgb.cal") for recording in recordings}
    for path in frames:
        key = path.relative_to(source).as_posix()
        pose = path.with_name(path.stem.removesuffix("_rgb") + "_pose.txt")
        camera = cameras[path.parent.name]
        try:
            rotation, centre = _pose(pose)
        except ValueError as error:
            yield BadSample(key=key, reason=str(error))
            continue
        rotation = camera.rotation @ rotation
        centre = camera.rotation @ centre + camera.translation
        sides = np.array([[*-_BOX, 0.0], [*_BOX, 0.0]])
        (x0, y0), (x1, y1) = camera.pixels(sides + centre)
        yield Sample(
            key=key,
            picture=path,
            labels={"head_pose": angles_from_rotation(rotation).tolist()},
            split="train" if _unit(path, by_person=by_person) in train else "test",
            person=_PEOPLE[path.parent.name],
            box=(float(x0), float(y0), float(x1), float(y1)),
            landmarks=camera.pixels(_POINTS @ rotation.T + centre),
        )


def _unit(path: Path, *, by_person: bool) -> str:
    """The unit that the split draws: a person, or a frame."""
    recording = path.parent.name
    return _PEOPLE[recording] if by_person else f"{recording}/{path.stem}"


def _numbers(path: Path) -> list[float]:
    return [float(word) for word in path.read_text().split()]


def _camera(path: Path) -> Camera:
    """A .cal file: K (3 x 3), four distortions, rotation (3 x 3), translation, width and height."""
    try:
        numbers = np.array(_numbers(path))
    except FileNotFoundError:
        raise LayoutError(f"a camera's calibration is missing: it belongs at {path}") from None
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) < 25:
        raise LayoutError(f"{path} is no calibration (K, distortion, rotation, translation): fetch it again")
    rotation = numbers[13:22].reshape(3, 3)
    if not _is_rotation(rotation):
        raise LayoutError(f"{path} has no rotation in its lines 7 to 9: fetch it again")
    return Camera(matrix=numbers[:9].reshape(3, 3), rotation=rotation, translation=numbers[22:25])


def _pose(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R [3, 3] and c [3] (mm) of a frame; ValueError for a file that is missing or malformed."""
    try:
        numbers = np.array(_numbers(path))
    except FileNotFoundError:
        raise ValueError(f"its pose {path.name} is missing") from None
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != 12 or not _is_rotation(numbers[:9].reshape(3, 3)) or not numbers[11] > 0:
        raise ValueError(f"its pose {path.name} is not a rotation matrix and a centre before the camera")
    return numbers[:9].reshape(3, 3), numbers[9:]


def _is_rotation(matrix: NDArray[np.float64]) -> bool:
    return bool(np.abs(matrix @ matrix.T - np.eye(3)).max() < 1e-2 and np.linalg.det(matrix) > 0)


_TITLE = "Biwi Kinect Head Pose Database (Fanelli et al., IJCV 2013)"
_TREE = """\
hpdb/
  01/rgb.cal                              the colour camera
  01/frame_00003_rgb.png
  01/frame_00003_pose.txt                 rotation matrix, and the head's centre in mm
  ... 24/"""

READERS = (
    Reader(
        name="biwi",
        title=_TITLE,
        licence="non-commercial research",
        page="https://data.vision.ee.ethz.ch/cvl/gfanelli/head_pose/head_forest.html: "
        "a download for research",
        tasks=("head_pose",),
        tree=_TREE,
        expected=Expected(counts={"train": 10975, "test": 4703}),
        read=functools.partial(read, by_person=False),
    ),
    Reader(
        name="biwi_by_person",
        title=f"{_TITLE}, split by person",
        licence="non-commercial research",
        page="https://data.vision.ee.ethz.ch/cvl/gfanelli/head_pose/head_forest.html: "
        "a download for research",
        tasks=("head_pose",),
        tree=_TREE,
        expected=Expected(counts={"all": 15678}),
        read=functools.partial(read, by_person=True),
    ),
)

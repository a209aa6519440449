"""300W-LP and AFLW2000-3D: photos with a fitted 3D face, hence its exact pose, and 68 points.

Zhu, Lei, Liu, Shi, Li, Face Alignment Across Large Poses: A 3D Solution, CVPR 2016. The field trains on
all of 300W-LP (122,450: each photo of 300-W turned to further yaws, and everything mirrored) and tests
on AFLW2000-3D (2,000), leaving out the pictures with an angle above 99 degrees.

300W-LP holds the photos of 300-W's own test part too, and HELEN's can't be told from their names: to test
on 300-W, train on the subset afw alone.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from runtime.pose import angles_from_rotation
from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.point_files import points_label
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE

# Of 300W-LP, each also as `_Flip`; below it the names of the pictures begin with the folder's.
_FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
_SIDE_300W_LP = 450  # of all its pictures, in pixels
# The field's protocol for AFLW2000-3D.
_LARGEST_ANGLE = 99.0
_YAW_SUBSETS = ((30.0, "yaw_0_30"), (60.0, "yaw_30_60"), (np.inf, "yaw_60_90"))

# Exceptions that scipy raises for truncated or damaged files.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    NotImplementedError,
    zlib.error,
    scipy.io.matlab.MatReadError,
)

# From 3DDFA's frame (x to the picture's right, y up, z to the viewer) to runtime.pose's camera.
_TO_CAMERA = np.diag([1.0, -1.0, -1.0])


def rotation_of(pitch: float, yaw: float, roll: float) -> NDArray[np.float64]:
    """The rotation [3, 3] in runtime.pose's camera of 3DDFA's three angles (radians).

    3DDFA (its RotationMatrix.m) turns the model, which looks along +z with y up, by

        R = Rx(pitch) @ Ry(yaw) @ Rz(roll),  all three transposed with respect to the usual matrices,

    and draws it with y upwards. So its yaw > 0 turns the nose to the picture's left, its pitch > 0 lifts
    the chin, its roll > 0 turns the head clockwise.
    """
    cx, sx, cy, sy, cz, sz = (f(a) for a in (pitch, yaw, roll) for f in (np.cos, np.sin))
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cx, sx], [0.0, -sx, cx]])
    about_y = np.array([[cy, 0.0, -sy], [0.0, 1.0, 0.0], [sy, 0.0, cy]])
    about_z = np.array([[cz, sz, 0.0], [-sz, cz, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(_TO_CAMERA @ about_x @ about_y @ about_z @ _TO_CAMERA)


def read_300w_lp(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture of the eight folders in the order of the names, all for training.

    The points are `pts_2d` of landmarks/, which follow the visible outline as 300-W's do; where that
    folder is missing, the fitted file's `pt2d`. A photo's turned and mirrored copies are one person.
    """
    root = source / "300W_LP" if (source / "300W_LP").is_dir() else source
    present = [folder for name in _FOLDERS for folder in (name, f"{name}_Flip") if (root / folder).is_dir()]
    if not present:
        raise LayoutError(
            f"300W-LP's pictures are missing: folders AFW, AFW_Flip and so on belong in {source}"
        )
    for folder in present:
        name = folder.removesuffix("_Flip")
        outlines = root / "landmarks" / name  # the mirrored pictures have none of their own
        for picture in sorted((root / folder).glob("*.jpg")):
            key = picture.relative_to(source).as_posix()
            try:
                pose, points = _fitted(picture.with_suffix(".mat"), points="pt2d")
                if outlines.is_dir():
                    path = outlines / f"{picture.stem}_pts.mat"
                    points = _points(_variables(path, "pts_2d")["pts_2d"], path=path)
                    points = points if folder == name else _mirrored(points)
            except ValueError as error:
                yield BadSample(key=key, reason=str(error))
                continue
            yield Sample(
                key=key,
                picture=picture,
                labels={"head_pose": _angles(pose), "landmarks": points_label(points)},
                split="train",
                person=picture.stem.rpartition("_")[0],
                subset=name.lower(),
            )


def read_aflw2000(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture in the order of the names, all for testing; its subset is its range of yaw.

    The points are the fitted face's (`pt3d_68`): seen from the side, the jaw's far half lies inside the
    face and not on its outline, as it would in 300-W. A picture with an angle above 99 degrees keeps
    its points and has no pose.
    """
    root = source / "AFLW2000" if (source / "AFLW2000").is_dir() else source
    pictures = sorted(root.glob("image*.jpg"))
    if not pictures:
        raise LayoutError(f"AFLW2000-3D's pictures are missing: image00002.jpg and so on belong in {source}")
    for picture in pictures:
        key = picture.relative_to(source).as_posix()
        try:
            pose, points = _fitted(picture.with_suffix(".mat"), points="pt3d_68")
        except ValueError as error:
            yield BadSample(key=key, reason=str(error))
            continue
        degrees = np.abs(np.degrees(pose))
        labels: dict[str, Any] = {"landmarks": points_label(points)}
        if degrees.max() <= _LARGEST_ANGLE:
            labels["head_pose"] = _angles(pose)
        yield Sample(
            key=key,
            picture=picture,
            labels=labels,
            split="test",
            subset=next(name for end, name in _YAW_SUBSETS if degrees[1] < end),
        )


def _fitted(path: Path, *, points: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pitch, yaw and roll [3] in radians, and the points [68, 2] of the variable of that name."""
    variables = _variables(path, "Pose_Para", points)
    pose = np.asarray(variables["Pose_Para"], dtype=np.float64).ravel()
    if len(pose) < 3 or not np.isfinite(pose[:3]).all():
        raise ValueError(f"its Pose_Para in {path.name} does not begin with three angles")
    return pose[:3], _points(variables[points], path=path)


def _variables(path: Path, *names: str) -> dict[str, Any]:
    """The variables of these names of a MATLAB file; Raises ValueError with what is wrong with it."""
    try:
        variables: dict[str, Any] = scipy.io.loadmat(path, variable_names=names, appendmat=False)
    except _UNREADABLE:
        fault = "no readable MATLAB file" if path.exists() else "missing"
        raise ValueError(f"its labels {path.parent.name}/{path.name} are {fault}") from None
    missing = [name for name in names if name not in variables]
    if missing:
        raise ValueError(f"its labels {path.parent.name}/{path.name} have no {', '.join(missing)}")
    return variables


def _points(value: Any, *, path: Path) -> NDArray[np.float64]:
    """Points [68, 2] of an array [68, 2 or 3] or [2 or 3, 68] in MATLAB's pixels, whose first is 1."""
    points = np.asarray(value, dtype=np.float64)
    if points.ndim == 2 and points.shape[0] in (2, 3):
        points = points.T
    if (
        points.ndim != 2
        or len(points) != 68
        or points.shape[1] not in (2, 3)
        or not np.isfinite(points).all()
    ):
        raise ValueError(f"its labels {path.parent.name}/{path.name} do not hold 68 points")
    return points[:, :2] - 1.0


def _mirrored(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points [68, 2] of a picture in its mirrored copy."""
    return points[CATALOGUE["landmarks"].mirrored_order()] * (-1.0, 1.0) + (_SIDE_300W_LP - 1.0, 0.0)


def _angles(pose: NDArray[np.float64]) -> list[float]:
    pitch, yaw, roll = pose.tolist()
    angles: list[float] = angles_from_rotation(rotation_of(pitch, yaw, roll)).tolist()
    return angles


READERS = (
    Reader(
        name="300w_lp",
        title="300W-LP (Zhu et al., CVPR 2016)",
        licence="non-commercial research",
        page="http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm: downloads for research",
        tasks=("head_pose", "landmarks"),
        tree="""\
AFW/AFW_134212_1_0.jpg, AFW_134212_1_0.mat    and HELEN, IBUG, LFPW
AFW_Flip/AFW_134212_1_0.jpg, .mat             and HELEN_Flip, IBUG_Flip, LFPW_Flip
landmarks/AFW/AFW_134212_1_0_pts.mat          points along the visible outline; HELEN, IBUG, LFPW""",
        expected=Expected(counts={"train": 122450}),
        read=read_300w_lp,
    ),
    Reader(
        name="aflw2000",
        title="AFLW2000-3D (Zhu et al., CVPR 2016)",
        licence="non-commercial research",
        page="http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm: downloads for research",
        tasks=("head_pose", "landmarks"),
        tree="""\
image00002.jpg, image00002.mat    2,000 of them""",
        expected=Expected(counts={"test": 2000}),
        read=read_aflw2000,
        # Of a face seen from the side the outer eye corners are near each other: the protocol divides by
        # the face's box.
        protocol_metrics={"landmarks": "box_normalized_error"},
    ),
)

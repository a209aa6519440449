"""MediaPipe's face landmarker (Apache-2.0) as a teacher: 68 landmarks, head pose and action units.

It gives 478 points on a mesh, a pose matrix and 52 blendshapes. It runs on each picture twice, the
second time mirrored: the labels are the mean, which cancels one-sided errors, and their confidence falls
with the difference between the two.

mediapipe brings its own OpenCV: it lives in an environment of its own (requirements/teachers.txt).
"""

import dataclasses
import pathlib

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.pose import angles_from_rotation
from training.data.sample import five_of_68
from training.tasks import CATALOGUE
from training.teachers import FaceLabels

# Margins around the picture, relative to its larger side: chips are cut closer than the face detector
# expects. The first one suits nearly all, the others find a few more.
MARGINS = (0.1, 0.0, 1.0)

# iBUG's points on the mesh: the mean of these vertices, for the points of the right half and the middle.
# Chosen by the least error on 3,400 faces of YouTube Faces with 68 points, over both halves together: on
# average 5.3 % of the distance between the outer eye corners (4.3 % without the jaw), where the usual table
# of single vertices has 6.2 % (4.5 %). A shift that all of that set's points share is left out of both.
_RIGHT_AND_MIDDLE: dict[int, tuple[int, ...]] = {
    **dict(enumerate([(127,), (234,), (93, 177), (58, 177), (58, 172), (136,), (149, 150), (176,), (152,)])),
    **dict(enumerate([(70,), (63,), (66, 105), (66,), (107,)], start=17)),
    **dict(enumerate([(6, 168), (197,), (5,), (1, 4)], start=27)),
    **dict(enumerate([(97, 98), (97,), (2, 164)], start=31)),
    **dict(enumerate([(33,), (160,), (158,), (133, 173), (153,), (144,)], start=36)),
    **dict(enumerate([(61,), (39, 40), (37,), (0,)], start=48)),
    **dict(enumerate([(17,), (84,), (91, 181)], start=57)),
    **dict(enumerate([(78,), (82,), (13,)], start=60)),
    **dict(enumerate([(14,), (87,)], start=66)),
}
# The mesh's other half, for the vertices above that do not lie in the middle.
_OTHER_SIDE = {
    **{127: 356, 234: 454, 93: 323, 177: 401, 58: 288, 172: 397, 136: 365, 149: 378, 150: 379, 176: 400},
    **{70: 300, 63: 293, 66: 296, 105: 334, 107: 336, 97: 326, 98: 327},
    **{33: 263, 160: 387, 158: 385, 133: 362, 173: 398, 153: 380, 144: 373},
    **{61: 291, 39: 269, 40: 270, 37: 267, 84: 314, 91: 321, 181: 405, 78: 308, 82: 312, 87: 317},
}
_MIRRORED = CATALOGUE["landmarks"].mirrored_order()
POINTS_OF_68: tuple[tuple[int, ...], ...] = tuple(
    _RIGHT_AND_MIDDLE[i]
    if i in _RIGHT_AND_MIDDLE
    else tuple(_OTHER_SIDE[vertex] for vertex in _RIGHT_AND_MIDDLE[_MIRRORED[i]])
    for i in range(68)
)
# People put a jaw's points on the outline that they see, the mesh puts them on the bone. On the side
# that is turned away they part: the error there is 10 % at 20 degrees and 17 % at 30.
_JAW_YAW = 20.0
_RIGHT_JAW, _LEFT_JAW = slice(0, 7), slice(10, 17)

# The points lie too far right and down, by this part of the face's larger side: half of a pixel of the
# network's input. Measured from left to right, where a mirrored picture shows it.
_OFFSET = 0.003

# The blendshapes that stand for an action unit; of several the mean. AU9 has no usable one.
_ACTION_UNITS = {
    "AU1": ("browInnerUp",),
    "AU2": ("browOuterUpLeft", "browOuterUpRight"),
    "AU4": ("browDownLeft", "browDownRight"),
    "AU5": ("eyeWideLeft", "eyeWideRight"),
    "AU6": ("eyeSquintLeft", "eyeSquintRight"),
    "AU12": ("mouthSmileLeft", "mouthSmileRight"),
    "AU17": ("mouthShrugLower",),
    "AU20": ("mouthStretchLeft", "mouthStretchRight"),
    "AU25": ("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"),
    "AU26": ("jawOpen",),
    "AU43": ("eyeBlinkLeft", "eyeBlinkRight"),
}

# The blendshape from which an action unit is taken for active, where that is not a half. Blendshapes are
# amplitudes for animation: those of a widened eye or a raised chin hardly ever reach a half on a person who
# shows it. They rank people's codes well (Task action_units: AUC .77 to .98), so that only their scale is
# wrong. With these, 5 % of FairFace's faces have AU5, AU17, AU20 and AU26, 9 % AU4 and 20 % AU25.
_HALF_AT = {"AU4": 0.3, "AU5": 0.085, "AU17": 0.26, "AU20": 0.28, "AU25": 0.3, "AU26": 0.21}
# Degrees of yaw from which the pose is not labelled: the matrix compresses it (90 reads 56, 45 reads 34).
# Renders teach what lies beyond.
_SOUND_YAW = 30.0

# The difference between the two predictions at which a label's confidence is one half: of the face's larger
# side, degrees, and probability.
_HALF_CONFIDENCE = {"landmarks": 0.03, "head_pose": 10.0, "action_units": 0.2}
# Points that lie farther apart than this part of the face's side, on average, are of two different faces.
_DIFFERENT_FACE = 0.06
# The confidence where only one of the two pictures shows a face.
_CONFIDENCE_OF_ONE = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """The landmarker's answer for a picture, in that picture's pixels."""

    points: NDArray[np.float64]  # [68, 2], iBUG's
    side: float  # the larger side of the face in pixels
    angles: NDArray[np.float64]  # [3] yaw, pitch, roll
    action_units: NDArray[np.float64]  # [12], NaN for AU9

    def mirrored(self, *, width: int) -> "Prediction":
        """The prediction for the picture's mirror image."""
        points = self.points[_MIRRORED] * [-1, 1] + [width - 1, 0]
        return dataclasses.replace(self, points=points, angles=self.angles * [-1, 1, -1])


class FaceLandmarker:
    """The teacher, from a `.task` file with blendshapes. ValueError where mediapipe can't read it."""

    title = "MediaPipe face landmarker (Apache-2.0)"
    tasks = tuple(_HALF_CONFIDENCE)

    def __init__(self, model: pathlib.Path) -> None:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._image, self._format = mediapipe.Image, mediapipe.ImageFormat.SRGB
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(model)),
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
            min_face_detection_confidence=0.3,
            min_face_presence_confidence=0.3,
        )
        try:
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{model} is not MediaPipe's face landmarker ({reason}): "
                "give face_landmarker_v2_with_blendshapes.task"
            ) from None

    def label(self, picture: NDArray[np.uint8], *, five: NDArray[np.float32] | None) -> FaceLabels | None:
        """See `Teacher.label`; the face is the landmarker's first; `five` is not used."""
        first = self._predict(picture)
        if first is None:
            return None
        second = self._predict(np.ascontiguousarray(picture[:, ::-1]))
        return combined(first, None if second is None else second.mirrored(width=picture.shape[1]))

    def close(self) -> None:
        """See `Teacher.close`."""
        self._landmarker.close()

    def _predict(self, picture: NDArray[np.uint8]) -> Prediction | None:
        height, width = picture.shape[:2]
        for relative_margin in MARGINS:
            margin = int(relative_margin * max(height, width))
            padded = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
            result = self._landmarker.detect(self._image(image_format=self._format, data=padded))
            if not result.face_landmarks:
                continue
            relative = np.array([[point.x, point.y] for point in result.face_landmarks[0]])
            shapes = {shape.category_name: shape.score for shape in result.face_blendshapes[0]}
            return to_prediction(
                relative * [padded.shape[1], padded.shape[0]] - margin,
                matrix=result.facial_transformation_matrixes[0],
                blendshapes=shapes,
            )
        return None


def to_prediction(mesh: ArrayLike, *, matrix: ArrayLike, blendshapes: dict[str, float]) -> Prediction:
    """From the landmarker's output: `mesh` [478, 2] in pixels, and `matrix` [4, 4] to the camera.

    The matrix has x right, y up and z toward the viewer. Roll comes from the line through the outer
    corners of the eyes: the matrix's follows the picture only roughly.
    """
    vertices = np.asarray(mesh, dtype=np.float64)
    side = float((vertices.max(axis=0) - vertices.min(axis=0)).max())
    points = np.stack([vertices[list(of)].mean(axis=0) for of in POINTS_OF_68]) - _OFFSET * side
    scaled = np.asarray(matrix, dtype=np.float64)[:3, :3]
    axes = np.diag([1.0, -1.0, -1.0])
    yaw, pitch, _ = angles_from_rotation(axes @ (scaled / np.cbrt(np.linalg.det(scaled))) @ axes)
    x, y = points[45] - points[36]
    units = [
        activation(float(np.mean([blendshapes[name] for name in _ACTION_UNITS[label]])), label=label)
        if label in _ACTION_UNITS
        else np.nan
        for label in CATALOGUE["action_units"].labels
    ]
    return Prediction(
        points=points,
        side=side,
        angles=np.array([yaw, pitch, np.degrees(np.arctan2(y, x))]),
        action_units=np.array(units),
    )


def activation(amplitude: float, *, label: str) -> float:
    """A blendshape's amplitude as an action unit's probability, a half where it counts as active."""
    half = _HALF_AT.get(label, 0.5)
    amplitude = min(max(amplitude, 0.0), 1.0)
    return amplitude / half / 2 if amplitude < half else 0.5 + (amplitude - half) / (1 - half) / 2


def sound_angles(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Yaw, pitch and roll [3], not known (NaN) where the teacher's yaw is compressed."""
    return angles if abs(angles[0]) < _SOUND_YAW else np.full(3, np.nan)


def combined(first: Prediction, second: Prediction | None) -> FaceLabels | None:
    """The labels from the predictions for a picture and for its mirror image, the latter mirrored back.

    `second` is None where the mirrored picture shows no face. None where the two are of different faces.
    """
    if second is None:
        second, difference = first, None
    else:
        between = np.linalg.norm(first.points - second.points, axis=1).mean() / max(first.side, second.side)
        if between > _DIFFERENT_FACE:
            return None
        difference = {
            "landmarks": between,
            "head_pose": np.abs(_wrapped(first.angles - second.angles)).max(),
            "action_units": np.nanmean(np.abs(first.action_units - second.action_units)),
        }
    angles = first.angles - _wrapped(first.angles - second.angles) / 2
    points = (first.points + second.points) / 2
    five = five_of_68(points)
    if abs(angles[0]) > _JAW_YAW:
        points[_LEFT_JAW if angles[0] > 0 else _RIGHT_JAW] = np.nan
    values = {
        "landmarks": points,
        "head_pose": sound_angles(_wrapped(angles)),
        "action_units": (first.action_units + second.action_units) / 2,
    }
    return FaceLabels(
        five=five.astype(np.float32),
        values={task: value.astype(np.float32) for task, value in values.items()},
        confidence={
            task: _CONFIDENCE_OF_ONE if difference is None else 1 / (1 + (difference[task] / half) ** 2)
            for task, half in _HALF_CONFIDENCE.items()
        },
    )


def _wrapped(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles wrapped to -180..180."""
    return (degrees + 180) % 360 - 180

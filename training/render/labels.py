"""The landmarks of a rendered head in the picture, and their visibility."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.render.head.head_file import Floats, Head
from training.render.head.topology import EYES, JAW
from training.render.head.vertex_fields import COLUMN, VertexFields
from training.tasks import CATALOGUE

# Points of the visibility task that iBUG's 68 do not have, as the mean of some of the 68 (and, of a
# brow's lower edge, a step down from the middle of its upper edge, in parts of the eyes' distance).
_BETWEEN = {
    "left_eye_upper": (37, 38),
    "left_eye_lower": (40, 41),
    "right_eye_upper": (43, 44),
    "right_eye_lower": (46, 47),
}
_BELOW_BROW = {"left_brow_lower": 19, "right_brow_lower": 24}
_BROW_HEIGHT = 0.6  # ICT centimetres
_PUPILS = {
    "left_pupil": "right_eyeball",
    "right_pupil": "left_eyeball",
}  # left in the picture: the subject's right
# A point up to this far (ICT centimetres) behind the nearest surface still counts as visible: hairs and
# lids are thin.
_SLACK, _PUPIL_SLACK = 0.7, 0.15
# Yaw (degrees) at which the hidden side of the jaw has wholly given way to the outline.
_OUTLINE_YAW = 12.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelVertices:
    """Vertices that labels come from: found once for a head.

    visible [29, K]: of each point of the visibility task, padded by repetition. levels [17, L]: of each
    jaw point the vertices at its height, itself first.
    """

    visible: NDArray[np.intp]
    levels: NDArray[np.intp]
    slack: Floats

    @classmethod
    def of(cls, head: Head, fields: VertexFields) -> "LabelVertices":
        marks = head.topology.landmarks
        task = CATALOGUE["visibility"]
        assert task.aligned_labels is not None
        flat = head.base / fields.unit
        skin = np.flatnonzero(head.topology.in_parts("face", "head"))
        rows, slack = [], []
        for label in task.labels:
            ibug = task.aligned_labels[label]
            if ibug is not None:
                row = [marks[ibug]]
            elif label in _BETWEEN:
                row = [marks[i] for i in _BETWEEN[label]]
            elif label in _BELOW_BROW:
                aim = flat[marks[_BELOW_BROW[label]]] - [0, _BROW_HEIGHT, 0]
                row = [int(skin[np.argmin(np.linalg.norm(flat[skin] - aim, axis=1))])]
            else:
                part = head.topology.part(_PUPILS[label])
                eye = EYES["right_eye" if label == "left_pupil" else "left_eye"]
                angle = fields.values[part, COLUMN["iris"]]
                row = [part.start + int(np.argmin(angle))] if len(angle) else list(marks[eye])
            rows.append([*row, *row, *row, *row, *row, *row][:6])
            slack.append(_PUPIL_SLACK if label in _PUPILS else _SLACK)
        return cls(
            visible=np.array(rows, np.intp),
            levels=_levels(head, fields, flat),
            slack=np.array(slack, np.float32) * fields.unit,
        )


def _levels(head: Head, fields: VertexFields, flat: Floats) -> NDArray[np.intp]:
    """Of each jaw point the vertices [17, L] at its height on its side of the face, itself first."""
    usable = head.topology.in_parts("face") & (fields["neck"] < 0.2)
    usable &= np.maximum(fields["left_ear"], fields["right_ear"]) < -0.2
    rows = []
    for vertex in head.topology.landmarks[JAW]:
        level = usable & (np.abs(flat[:, 1] - flat[vertex, 1]) < 0.3)
        # Not behind the point: there the outline would leave the jaw for the neck.
        level &= (flat[:, 2] > flat[vertex, 2] - 0.2) & (flat[:, 0] * np.sign(flat[vertex, 0] or 1) > -0.5)
        rows.append([vertex, *np.flatnonzero(level)])
    longest = max(map(len, rows))
    return np.array([[*row, *[row[0]] * (longest - len(row))] for row in rows], np.intp)


def landmarks(
    head: Head, marks: LabelVertices, pixels: Floats, *, yaw: float, roll: float
) -> NDArray[np.float64]:
    """The 68 points [68, 2] in a picture where the vertices are at `pixels` [V, 2].

    All are where their vertices are, but for the jaw on the side that is turned away: there, as in the
    sets annotated in pictures, the points lie on the outline, at the same height of the head.
    """
    points = pixels[list(head.topology.landmarks)].astype(np.float64)
    towards_far_side = np.array([np.cos(np.radians(roll)), np.sin(np.radians(roll))]) * (1 if yaw > 0 else -1)
    far = range(9, 17) if yaw > 0 else range(8)
    share = min(1.0, abs(yaw) / _OUTLINE_YAW)
    for i in far:
        row = pixels[marks.levels[i]].astype(np.float64)
        outermost = row[int(np.argmax(row @ towards_far_side))]
        points[i] += share * (outermost - points[i])
    return points


def point_positions(marks: LabelVertices, pixels: Floats) -> Floats:
    """Where the 29 points of the visibility task are, [29, 2]."""
    return np.asarray(pixels[marks.visible].mean(axis=1))


def visibility(
    marks: LabelVertices, camera: Floats, pixels: Floats, nearness: Floats, hidden: NDArray[np.bool_]
) -> Mapping[str, float]:
    """Which of the 29 points are visible (1) or not (0).

    camera [V, 3] and pixels [V, 2]: where the vertices are; nearness [H, W]: 1 / depth of what is shown
    (0: nothing); hidden [H, W]: what is covered. A point outside of the picture is not visible.
    """
    height, width = nearness.shape
    at = point_positions(marks, pixels)
    depth = camera[marks.visible, 2].mean(axis=1)
    x, y = np.rint(at).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    allowed = 1 / np.maximum(depth - marks.slack, 1e-3)
    seen = np.zeros(len(at))
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            column, row = np.clip(x + dx, 0, width - 1), np.clip(y + dy, 0, height - 1)
            seen += (nearness[row, column] <= allowed) & ~hidden[row, column]
    labels = CATALOGUE["visibility"].labels
    return {label: float(v) for label, v in zip(labels, inside & (seen >= 5), strict=True)}

"""rotation: three angles, drawn as the face's axes."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._distributions import Chart, Numbers, Tally
from .base import (
    BACK,
    NUMBER,
    Answer,
    Canvas,
    Colour,
    Column,
    Kind,
    Pen,
    Row,
    Tensors,
    by_labels,
    named,
    object_schema,
    plain,
    rounded,
    tensor,
)

if TYPE_CHECKING:
    from ..contract import TaskSpec

AXES: tuple[Colour, ...] = ((255, 59, 48), (52, 199, 89), (10, 132, 255))  # x red, y green, z blue


@dataclasses.dataclass(frozen=True, slots=True)
class Rotation(Answer):
    """Angles in degrees by label; each is an attribute too (`face.head_pose.yaw`).

    yaw > 0 turns the face toward the photo's right, pitch > 0 lifts the chin, roll > 0 tilts the head
    clockwise in the photo.
    """

    angles: Mapping[str, float]

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name == "angles":
            raise AttributeError(name)
        if name not in self.angles:
            raise AttributeError(f"a rotation has no {name!r}: it has {', '.join(self.angles)}")
        return self.angles[name]

    def __repr__(self) -> str:
        return f"Rotation(angles={rounded(self.angles, digits=2)})"

    def to_dict(self) -> dict[str, float]:
        return rounded(self.angles, digits=2)

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        return [self.angles[label] for label in task.labels]

    def caption(self, name: str) -> list[Row]:
        angles = (f"{label} {round(degrees):d}°" for label, degrees in self.angles.items())
        return [Row(name=plain(name), text="  ".join(angles))]

    def draw(self, pen: Pen, canvas: Canvas, *, hidden: set[int]) -> None:
        """x to the face's side (red), y to its chin (green), z out of the face (blue); the nearest last."""
        x0, y0, x1, y1 = canvas.box
        centre, length, width = ((x0 + x1) / 2, (y0 + y1) / 2), canvas.side * 0.55, canvas.width * 1.6
        axes = sorted(zip(axes_of(self), AXES, strict=True), key=lambda axis: -axis[0][2])
        for (x, y, _), colour in axes:
            end = (centre[0] + x * length, centre[1] + y * length)
            pen.line([centre, end], colour=BACK, width=width * 1.9)
            pen.dot(*end, colour=BACK, radius=width * 1.6)
            pen.line([centre, end], colour=colour, width=width)
            pen.dot(*end, colour=colour, radius=width * 1.2)


def axes_of(rotation: Rotation) -> list[tuple[float, float, float]]:
    """Unit vectors of the face's x, y and forward axis in the photo (x right, y down, z into the scene).

    The face's frame is the camera's when it looks straight at it: R = Rz(roll) Ry(-yaw) Rx(-pitch) of
    the first three angles, whose columns are the axes; the face looks along -z.
    """
    yaw, pitch, roll = (math.radians(degrees) for degrees in list(rotation.angles.values())[:3])
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    x = (cr * cy, sr * cy, sy)
    y = (cr * sy * sp - sr * cp, sr * sy * sp + cr * cp, -cy * sp)
    forward = (cr * sy * cp + sr * sp, sr * sy * cp - cr * sp, -cy * cp)
    return [x, y, forward]


class Rotations(Kind):
    """`T_angles` FP32 [N, 3]."""

    name = "rotation"
    tensors = ("angles",)

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Rotation]:
        angles = tensor(tensors, f"{task.name}_angles", shape=(count, len(task.labels)))
        return [Rotation(angles=named(task, row)) for row in angles]

    def parse(self, data: Any, task: "TaskSpec") -> Rotation:
        return Rotation(angles=by_labels(data, task))

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """Each angle, in degrees."""
        return [Column(name=f"{task.name}.{label}", dtype="float32", digits=2) for label in task.labels]

    def tally(self, task: "TaskSpec") -> Tally:
        """A histogram an angle."""
        return _Angles(task)

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        return object_schema(dict.fromkeys(task.labels, NUMBER))


class _Angles(Tally):
    """Keeps each angle of all faces."""

    def __init__(self, task: "TaskSpec") -> None:
        self._angles = {label: Numbers(name=plain(label), unit=plain(task.unit)) for label in task.labels}

    def add(self, answer: Rotation) -> None:
        for label, degrees in answer.angles.items():
            self._angles[label].add(degrees)

    def charts(self) -> Sequence[Chart]:
        return [chart for numbers in self._angles.values() for chart in numbers.charts()]


KIND = Rotations()

"""rotation: three angles, drawn as the face's axes."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._distributions import Chart, Numbers, Tally
from ._expected_errors import DRAWN_SHARE, ErrorBounds, factor_of
from .base import (
    BACK,
    NUMBER,
    SIZE,
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
    no_label,
    object_schema,
    plain,
    rounded,
    tensor,
)

if TYPE_CHECKING:
    from ..contract import TaskSpec

AXES: tuple[Colour, ...] = ((255, 59, 48), (52, 199, 89), (10, 132, 255))  # x red, y green, z blue
# For yaw, pitch and roll the axis whose end they move: a whisker there shows how far they may be off.
_MOVED = (2, 2, 0)
_WHISKER_STEPS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Rotation(Answer):
    """Angles in degrees by label; each is an attribute too (`face.head_pose.yaw`).

    yaw > 0 turns the face toward the photo's right, pitch > 0 lifts the chin, roll > 0 tilts the head
    clockwise in the photo.
    """

    angles: Mapping[str, float]
    errors: Mapping[str, float] | None = None  # expected, absolute, by label; None: the server states none
    bounds: ErrorBounds | None = dataclasses.field(default=None, repr=False)  # how `errors` are read

    def interval(self, label: str, share: float) -> tuple[float, float] | None:
        """Between which degrees the true angle lies in `share` of such answers; None: no error is stated.

        It may reach beyond 180. KeyError for an angle that there is not, ValueError where `share` is not
        between 0 and 1.
        """
        if label not in self.angles:
            raise no_label(label, self.angles)
        factor = factor_of(self.bounds, share)
        if factor is None or self.errors is None:
            return None
        angle, reach = self.angles[label], factor * self.errors[label]
        return angle - reach, angle + reach

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name in _FIELDS:
            raise AttributeError(name)
        if name not in self.angles:
            raise AttributeError(f"a rotation has no {name!r}: it has {', '.join(self.angles)}")
        return self.angles[name]

    def __repr__(self) -> str:
        errors = "" if self.errors is None else f", errors={rounded(self.errors, digits=2)}"
        return f"Rotation(angles={rounded(self.angles, digits=2)}{errors})"

    def to_dict(self) -> dict[str, float]:
        return rounded(self.angles, digits=2)

    def error_dict(self) -> dict[str, float] | None:
        return None if self.errors is None else rounded(self.errors, digits=2)

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        angles = [self.angles[label] for label in task.labels]
        if not task.states_error:
            return angles
        errors = self.errors or {}
        return [cell for label in task.labels for cell in (self.angles[label], errors.get(label))]

    def caption(self, name: str) -> list[Row]:
        """The angles; below them how far from each four of five true ones lie at most, if that is stated."""
        angles = (f"{label} {round(degrees):d}°" for label, degrees in self.angles.items())
        rows = [Row(name=plain(name), text="  ".join(angles))]
        intervals = {label: self.interval(label, DRAWN_SHARE) for label in self.angles}
        spreads = [f"{label} ±{(ends[1] - ends[0]) / 2:.0f}°" for label, ends in intervals.items() if ends]
        return [*rows, Row(name="", text="  ".join(spreads))] if spreads else rows

    def draw(self, pen: Pen, canvas: Canvas, *, hidden: set[int]) -> None:
        """x to the face's side (red), y to its chin (green), z out of the face (blue); the nearest last.

        Whiskers at the ends reach over four of five true angles: of yaw and pitch on z, of roll on x.
        """
        x0, y0, x1, y1 = canvas.box
        centre, length, width = ((x0 + x1) / 2, (y0 + y1) / 2), canvas.side * 0.55, canvas.width * 1.6

        def place(x: float, y: float) -> tuple[float, float]:
            return centre[0] + x * length, centre[1] + y * length

        def dot(axis: int) -> None:
            end = place(*found[axis][:2])
            pen.dot(*end, colour=BACK, radius=width * 1.6)
            pen.dot(*end, colour=AXES[axis], radius=width * 1.2)

        found = axes_of(self)
        for axis in sorted(range(3), key=lambda axis: -found[axis][2]):
            line = [centre, place(*found[axis][:2])]
            pen.line(line, colour=BACK, width=width * 1.9)
            pen.dot(*line[1], colour=BACK, radius=width * 1.6)
            pen.line(line, colour=AXES[axis], width=width)
            pen.dot(*line[1], colour=AXES[axis], radius=width * 1.2)
        for axis, turned in self._whiskers():
            line = [place(x, y) for x, y in turned]
            if math.dist(line[0], line[-1]) > width * 3:  # more than the dot hides
                pen.line(line, colour=BACK, width=width * 0.9)
                pen.line(line, colour=AXES[axis], width=width * 0.45)
                dot(axis)

    def _whiskers(self) -> Iterator[tuple[int, list[tuple[float, float]]]]:
        """For each angle the axis that it moves, and where that ends over the angle's interval, x and y."""
        angles = list(self.angles.items())[:3]
        for index, (label, _) in enumerate(angles):
            interval = self.interval(label, DRAWN_SHARE)
            if interval is None:
                continue
            low, high = (max(-180.0, min(180.0, degrees)) for degrees in interval)
            axis, ends = _MOVED[index], []
            for step in range(_WHISKER_STEPS + 1):
                turned = [degrees for _, degrees in angles]
                turned[index] = low + (high - low) * step / _WHISKER_STEPS
                ends.append(_axes(*turned)[axis][:2])
            yield axis, ends


_FIELDS = frozenset(field.name for field in dataclasses.fields(Rotation))


def axes_of(rotation: Rotation) -> list[tuple[float, float, float]]:
    """Unit vectors of the face's x, y and forward axis in the photo (x right, y down, z into the scene).

    The face's frame is the camera's when it looks straight at it: R = Rz(roll) Ry(-yaw) Rx(-pitch) of
    the first three angles, whose columns are the axes; the face looks along -z.
    """
    return _axes(*list(rotation.angles.values())[:3])


def _axes(*degrees: float) -> list[tuple[float, float, float]]:
    yaw, pitch, roll = map(math.radians, degrees)
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    x = (cr * cy, sr * cy, sy)
    y = (cr * sy * sp - sr * cp, sr * sy * sp + cr * cp, -cy * sp)
    forward = (cr * sy * cp + sr * sp, sr * sy * cp - cr * sp, -cy * cp)
    return [x, y, forward]


class Rotations(Kind):
    """`T_angles` FP32 [N, 3], and `T_error` [N, 3]: the expected absolute error of each, in degrees."""

    name = "rotation"
    tensors = ("angles",)
    has_errors = True

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Rotation]:
        shape = (count, len(task.labels))
        angles = tensor(tensors, f"{task.name}_angles", shape=shape)
        if not task.states_error:
            return [Rotation(angles=named(task, row)) for row in angles]
        errors = tensor(tensors, task.error_output, shape=shape)
        return [
            Rotation(angles=named(task, row), errors=named(task, expected), bounds=task.error)
            for row, expected in zip(angles, errors, strict=True)
        ]

    def parse(self, data: Any, task: "TaskSpec") -> Rotation:
        return Rotation(angles=by_labels(data, task))

    def with_error(self, answer: Rotation, data: Any, task: "TaskSpec") -> Rotation:
        return dataclasses.replace(answer, errors=by_labels(data, task), bounds=task.error)

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """Each angle in degrees, and its expected error."""
        ends = ("", ".error") if task.states_error else ("",)
        names = (f"{task.name}.{label}{end}" for label in task.labels for end in ends)
        return [Column(name=name, dtype="float32", digits=2) for name in names]

    def tally(self, task: "TaskSpec") -> Tally:
        """A histogram an angle."""
        return _Angles(task)

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        return object_schema(dict.fromkeys(task.labels, NUMBER))

    def error_schema(self, task: "TaskSpec") -> dict[str, Any]:
        return object_schema(dict.fromkeys(task.labels, SIZE))


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

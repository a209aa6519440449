"""points: places in the photo."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._expected_errors import DRAWN_SHARE, ErrorBounds, factor_of
from .base import (
    BACK,
    NUMBER,
    SIZE,
    Answer,
    Canvas,
    Column,
    Kind,
    Pen,
    Row,
    Tensors,
    array_schema,
    no_label,
    plain,
    rows,
    tensor,
)

if TYPE_CHECKING:
    from ..contract import TaskSpec

CLEARLY_LARGER = 1.5  # than its dot: how large a circle is that is drawn around a point


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Points(Answer):
    """Points in the photo's pixels: `xy` FP32 [K, 2] (x right, y down), named by `labels`."""

    xy: NDArray[np.float32]
    labels: tuple[str, ...]
    errors: NDArray[np.float32] | None = None  # [K]: how far each is expected to be off; None: not stated
    bounds: ErrorBounds | None = None  # how `errors` are read

    def radii(self, share: float) -> NDArray[np.float32] | None:
        """How far around each point the true one lies in `share` of such answers, FP32 [K], in pixels of the
        photo; None where no error is stated.

        ValueError where `share` is not between 0 and 1.
        """
        factor = factor_of(self.bounds, share)
        if factor is None or self.errors is None:
            return None
        return self.errors * np.float32(factor)

    def __getitem__(self, key: str | int) -> NDArray[np.float32]:
        """The point [2] of a label or an index; KeyError or IndexError where there is none."""
        if isinstance(key, str) and key not in self.labels:
            raise no_label(key, self.labels)
        point: NDArray[np.float32] = self.xy[self.labels.index(key) if isinstance(key, str) else key]
        return point

    def __len__(self) -> int:
        return len(self.xy)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.xy)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.xy, dtype=dtype) if copy else np.asarray(self.xy, dtype=dtype)

    def __repr__(self) -> str:
        if not len(self):
            return "Points(none)"
        (left, top), (right, bottom) = self.xy.min(axis=0).tolist(), self.xy.max(axis=0).tolist()
        return f"Points({len(self)} points, x {left:.1f} to {right:.1f}, y {top:.1f} to {bottom:.1f})"

    def to_dict(self) -> list[list[float]]:
        return [[round(x, 2), round(y, 2)] for x, y in self.xy.tolist()]

    def error_dict(self) -> list[float] | None:
        return None if self.errors is None else [round(error, 2) for error in self.errors.tolist()]

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        cells: list[float | None] = self.xy.ravel().tolist()
        if task.states_error:
            cells += [None] * len(self) if self.errors is None else self.errors.tolist()
        return cells

    def drawn_caption(self, name: str) -> list[Row]:
        return [Row(name=plain(name), text=f"{len(self)} points")]

    def draw(self, pen: Pen, canvas: Canvas, *, hidden: set[int]) -> None:
        """A dot for a point, a ring for one that can't be seen.

        Around it a thin circle, within which four of five true points lie, where that is clearly larger.
        """
        radius = max(0.8, canvas.side / 110)
        # A place's middle, as its pixel may be many of the canvas's.
        places = [((x + 0.5) * canvas.scale - 0.5, (y + 0.5) * canvas.scale - 0.5) for x, y in self.xy]
        reaches = self.radii(DRAWN_SHARE)
        for at, reach in zip(places, () if reaches is None else reaches * canvas.scale, strict=False):
            if reach > radius * CLEARLY_LARGER:
                pen.ring(*at, colour=canvas.colour, radius=reach, width=radius * 0.2)
        for index, at in enumerate(places):
            if index in hidden:
                pen.ring(*at, colour=BACK, radius=radius * 2.1, width=radius * 1.1)
                pen.ring(*at, colour=canvas.colour, radius=radius * 1.9, width=radius * 0.7)
            else:
                pen.dot(*at, colour=canvas.colour, radius=radius)


class PointSets(Kind):
    """`T_points` FP32 [N, K, 2], and `T_error` [N, K]: the expected distance to each true point."""

    name = "points"
    tensors = ("points",)
    has_errors = True

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Points]:
        points = rows(tensor(tensors, f"{task.name}_points", shape=(count, len(task.labels), 2)))
        if not task.states_error:
            return [Points(xy=row, labels=task.labels) for row in points]
        errors = rows(tensor(tensors, task.error_output, shape=(count, len(task.labels))))
        return [
            Points(xy=row, labels=task.labels, errors=expected, bounds=task.error)
            for row, expected in zip(points, errors, strict=True)
        ]

    def parse(self, data: Any, task: "TaskSpec") -> Points:
        return Points(xy=_read_only(data, shape=(len(task.labels), 2)), labels=task.labels)

    def with_error(self, answer: Points, data: Any, task: "TaskSpec") -> Points:
        errors = _read_only(data, shape=(len(task.labels),))
        return dataclasses.replace(answer, errors=errors, bounds=task.error)

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """x and y of each point in the photo's pixels; behind them all, each point's expected error."""
        names = [f"{task.name}.{label}.{axis}" for label in task.labels for axis in ("x", "y")]
        if task.states_error:
            names += [f"{task.name}.{label}.error" for label in task.labels]
        return [Column(name=name, dtype="float32", digits=2) for name in names]

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        return array_schema(array_schema(NUMBER, length=2), length=len(task.labels))

    def error_schema(self, task: "TaskSpec") -> dict[str, Any]:
        return array_schema(SIZE, length=len(task.labels))


def _read_only(data: Any, *, shape: tuple[int, ...]) -> NDArray[np.float32]:
    array = np.array(data, np.float32).reshape(shape)
    array.flags.writeable = False
    return array


KIND = PointSets()

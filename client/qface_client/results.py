"""Typed answers, one class a kind. A task that this client has never heard of is answered by its kind.

`to_json()` of each gives what `qface analyze --json` prints: probabilities with four digits, years,
degrees and pixels with two.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .contract import Contract, unknown_kind

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Classification:
    """One label of several: probabilities in [0, 1] that sum to 1."""

    label: str
    probabilities: Mapping[str, float]

    @property
    def probability(self) -> float:
        """The probability of `label`."""
        return self.probabilities[self.label]

    def to_json(self) -> dict[str, Any]:
        return {"label": self.label, "probabilities": _rounded(self.probabilities, digits=4)}


# A mask's id where its crop shows nothing of the photo. 0, the first label, is the background.
OUTSIDE = 255


class MultiLabel(Mapping[str, float]):
    """Independent labels: label -> probability in [0, 1]; `active` are those that are present."""

    __slots__ = ("_active", "_probabilities")

    def __init__(self, probabilities: Mapping[str, float], *, active: Sequence[str]) -> None:
        self._probabilities = dict(probabilities)
        self._active = tuple(active)

    @property
    def active(self) -> list[str]:
        """Labels at or above the task's threshold, in the server's order."""
        return list(self._active)

    def __getitem__(self, label: str) -> float:
        return self._probabilities[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._probabilities)

    def __len__(self) -> int:
        return len(self._probabilities)

    def __repr__(self) -> str:
        return f"MultiLabel({self._probabilities}, active={self.active})"

    def to_json(self) -> Any:
        return _rounded(self, digits=4)


class Visibility(MultiLabel):
    """Points that can be seen: label -> probability that its point is visible; `active` are those that are.

    `task` is the name of the task that answers the points, `indices` has for each label, in order, the
    point's index there (None: that task has no such point). In JSON a list, in the server's order.
    """

    __slots__ = ("indices", "task")

    def __init__(
        self,
        probabilities: Mapping[str, float],
        *,
        active: Sequence[str],
        task: str,
        indices: Sequence[int | None],
    ) -> None:
        super().__init__(probabilities, active=active)
        self.task = task
        self.indices = tuple(indices)

    @property
    def hidden(self) -> list[int]:
        """Indices, in the task of the points, of those that can't be seen."""
        seen = set(self.active)
        return [i for label, i in zip(self, self.indices, strict=True) if label not in seen and i is not None]

    def to_json(self) -> list[float]:
        return list(_rounded(self, digits=4).values())


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """One number; also an attribute by its unit: `face.age.years`."""

    value: float
    unit: str

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name in ("value", "unit"):  # not set yet, while a copy is being made
            raise AttributeError(name)
        if name != self.unit:
            raise AttributeError(
                f"a value in {self.unit} has no {name!r}: it has value, unit and {self.unit}"
            )
        return self.value

    def __float__(self) -> float:
        return self.value

    def to_json(self) -> dict[str, float]:
        return {self.unit: round(self.value, 2)}


@dataclasses.dataclass(frozen=True, slots=True)
class Rotation:
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

    def to_json(self) -> dict[str, float]:
        return _rounded(self.angles, digits=2)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points in the photo's pixels: `xy` FP32 [K, 2] (x right, y down), named by `labels`."""

    xy: NDArray[np.float32]
    labels: tuple[str, ...]

    def __getitem__(self, key: str | int) -> NDArray[np.float32]:
        """The point [2] of a label or an index; KeyError or IndexError where there is none."""
        if isinstance(key, str) and key not in self.labels:
            raise KeyError(key)
        point: NDArray[np.float32] = self.xy[self.labels.index(key) if isinstance(key, str) else key]
        return point

    def __len__(self) -> int:
        return len(self.xy)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.xy)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.xy, dtype=dtype) if copy else np.asarray(self.xy, dtype=dtype)

    def to_json(self) -> list[list[float]]:
        return [[round(float(x), 2), round(float(y), 2)] for x, y in self.xy]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A class id for each pixel of the face's crop, an index into `labels`; the first is the background.

    Where the crop reaches out of the photo the id is 255.
    """

    ids: NDArray[np.uint8]  # [h, w], of the crop's pixels
    labels: tuple[str, ...]
    to_photo: NDArray[
        np.float32
    ]  # [2, 3], from the crop's pixels (x, y) to the photo's, both at their centres

    def of(self, label: str) -> NDArray[np.bool_]:
        """Where a label lies, [H, W]; KeyError for a label that the task does not have."""
        if label not in self.labels:
            raise KeyError(label)
        return np.equal(self.ids, self.labels.index(label))

    def present(self) -> list[int]:
        """The ids that occur, rising."""
        return [int(i) for i in np.unique(self.ids)]

    def extent(self) -> Box | None:
        """x0, y0, x1, y1 around all but the background, in the photo's pixels; None where nothing else is."""
        rows, columns = np.nonzero((self.ids != 0) & (self.ids != OUTSIDE))
        if not rows.size:
            return None
        (x0, x1), (y0, y1) = ((at.min() - 0.5, at.max() + 0.5) for at in (columns, rows))
        corners = np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]) @ self.to_photo[:, :2].T
        corners += self.to_photo[:, 2] + 0.5
        left, top = (float(edge) for edge in corners.min(axis=0))
        right, bottom = (float(edge) for edge in corners.max(axis=0))
        return left, top, right, bottom

    def in_photo(self, width: int, height: int) -> NDArray[np.uint8]:
        """Ids [height, width] of the pixels of a photo of this size; 255 where the crop does not reach."""
        return self.at(np.arange(width), np.arange(height))

    def at(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.uint8]:
        """Ids [len(y), len(x)] on a grid of places in the photo, both rising; 255 where no crop is."""
        found = np.full((len(y), len(x)), OUTSIDE, np.uint8)
        height, width = self.ids.shape
        linear, shift = self.to_photo[:, :2].astype(np.float64), self.to_photo[:, 2].astype(np.float64)
        edges = np.array([[-0.5, -0.5], [width, -0.5], [-0.5, height], [width, height]])
        corners = edges @ linear.T + shift
        left, top = (np.searchsorted(at, low) for at, low in zip((x, y), corners.min(axis=0), strict=True))
        right, bottom = (
            np.searchsorted(at, high, side="right")
            for at, high in zip((x, y), corners.max(axis=0), strict=True)
        )
        (a, b), (c, d) = np.linalg.inv(linear)
        across, down = x[left:right] - shift[0], y[top:bottom, None] - shift[1]
        rows = max(1, _GRID // max(1, len(across)))
        for start in range(0, len(down), rows):
            part = down[start : start + rows]
            column = np.floor(a * across + b * part + 0.5).astype(np.intp)
            row = np.floor(c * across + d * part + 0.5).astype(np.intp)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            ids = self.ids[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
            begin = top + start
            found[begin : begin + len(part), left:right] = np.where(inside, ids, OUTSIDE)
        return found

    def to_json(self) -> dict[str, Any]:
        """`size` [h, w] of the crop; `map` [2][3] from its pixels to the photo's; `runs` row by row,
        [class id, length] each, together h * w."""
        flat = self.ids.ravel()
        starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
        lengths = np.diff(starts, append=flat.size)
        return {
            "labels": list(self.labels),
            "size": list(self.ids.shape),
            "map": [[round(float(number), 6) for number in row] for row in self.to_photo],
            "runs": np.stack([flat[starts], lengths], axis=1).tolist(),
        }


_GRID = 1_000_000  # places that are looked up at once, which keeps a large photo's memory small

Answer = Classification | MultiLabel | Value | Rotation | Points | Mask


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """One face: where it is, and an attribute for each task that was asked for (`face.expression`).

    A task whose name is taken already ("box") is still reached through `face["box"]`.
    """

    box: Box  # x0, y0, x1, y1 in the photo's pixels, after its EXIF rotation
    score: float  # the detector's, in [0, 1]; 1.0 where the caller said where the face is
    landmarks5: (
        NDArray[np.float32] | None
    )  # [5, 2]: right and left eye, nose tip, right and left mouth corner
    answers: Mapping[str, Answer]
    contract: Contract | None  # by which the answers are named; None: nothing but the face was asked for

    def __getitem__(self, task: str) -> Answer:
        """The answer of a task; KeyError says which tasks this face has."""
        if task not in self.answers:
            raise KeyError(self._missing(task))
        return self.answers[task]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("box", "score", "landmarks5", "answers", "contract"):
            raise AttributeError(name)
        if name not in self.answers:
            raise AttributeError(self._missing(name))
        return self.answers[name]

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self.answers})

    def _missing(self, name: str) -> str:
        for task in self.contract.tasks if self.contract else ():
            if task.name == name and not task.readable:
                return unknown_kind(task)
            if task.name == name:
                return f"{name!r} was not asked for: this answer has {', '.join(self.answers)}"
        has = ", ".join(self.answers) or "no task"
        return f"this answer has no {name!r}: it has {has}, beside box, score and landmarks5"

    def to_json(self) -> dict[str, Any]:
        """Plain data: `box`, `score`, then one key a task."""
        return {
            "box": [round(float(edge), 2) for edge in self.box],
            "score": round(float(self.score), 4),
            **{task: answer.to_json() for task, answer in self.answers.items()},
        }


class Analysis(Sequence[Face]):
    """The faces of one photo, best score first, and the photo's size after its EXIF rotation."""

    __slots__ = ("contract", "faces", "height", "width")

    def __init__(self, faces: Sequence[Face], *, width: int, height: int, contract: Contract | None) -> None:
        self.faces = tuple(faces)
        self.width = width
        self.height = height
        self.contract = contract

    @overload
    def __getitem__(self, index: int) -> Face: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Face]: ...

    def __getitem__(self, index: int | slice) -> Face | Sequence[Face]:
        return self.faces[index]

    def __len__(self) -> int:
        return len(self.faces)

    def __repr__(self) -> str:
        return f"Analysis({len(self.faces)} faces in {self.width}x{self.height})"

    def to_json(self, *, file: str | None = None) -> dict[str, Any]:
        """The line that `qface analyze --json` prints; `file` is left out where there is none."""
        return {
            **({} if file is None else {"file": file}),
            "width": self.width,
            "height": self.height,
            "faces_found": len(self.faces),
            "faces": [face.to_json() for face in self.faces],
        }


def _rounded(values: Mapping[str, float], *, digits: int) -> dict[str, float]:
    return {label: round(float(value), digits) for label, value in values.items()}

"""What a client returns: the faces of a photo, each with its typed answers (`qface_client.kinds`).

`to_dict()` of each gives plain data as `qface analyze --json` prints it: probabilities with four digits,
years, degrees and pixels with two. `to_json()` is its older name and gives the same data, no text: text is
`Analysis.to_json_line()`, or `json.dumps` of the data.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from .contract import Contract, unknown_kind
from .errors import InvalidInput
from .kinds import KINDS
from .kinds.base import NUMBER, PROBABILITY, Answer, Box, array_schema, object_schema
from .kinds.classes import Classification
from .kinds.mask import OUTSIDE, Mask
from .kinds.multilabel import MultiLabel, Visibility
from .kinds.points import Points
from .kinds.rotation import Rotation
from .kinds.value import Value
from .provenance import Provenance

__all__ = [
    "OUTSIDE",
    "Analysis",
    "Answer",
    "Box",
    "Classification",
    "Face",
    "Mask",
    "MultiLabel",
    "Points",
    "Provenance",
    "Rotation",
    "Value",
    "Visibility",
]


A = TypeVar("A", bound=Answer)

_UNSTATED = Provenance()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """One face: where it is, and an attribute for each task that was asked for (`face.expression`).

    A task whose name is taken already ("box") is still reached through `face["box"]`. To a type checker an
    attribute is Any and `face["age"]` an Answer; `face.answer("age", Value)` is a Value. Faces are equal
    where they are the same object: compare what `to_dict()` gives.
    """

    box: Box  # x0, y0, x1, y1 in the photo's pixels, after its EXIF rotation
    score: float  # the detector's, in [0, 1]; 1.0 where the caller said where the face is
    landmarks5: (
        NDArray[np.float32] | None
    )  # [5, 2]: right and left eye, nose tip, right and left mouth corner
    answers: Mapping[str, Answer]
    contract: Contract | None  # by which the answers are named; None: nothing but the face was asked for
    provenance: Provenance = _UNSTATED  # of the request that answered this face

    def __getitem__(self, task: str) -> Answer:
        """The answer of a task; KeyError says which tasks this face has."""
        if task not in self.answers:
            raise KeyError(self._missing(task))
        return self.answers[task]

    def answer(self, task: str, kind: type[A]) -> A:
        """The answer of a task, of this class (Value, Classification, ...) to type checkers too.

        KeyError says which tasks this face has; TypeError which class the answer is of, where it is of
        another one.
        """
        answer = self[task]
        if not isinstance(answer, kind):
            raise TypeError(f"{task!r} is answered by a {type(answer).__name__}, not by a {kind.__name__}")
        return answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in _FIELDS:
            raise AttributeError(name)
        if name not in self.answers:
            raise AttributeError(self._missing(name))
        return self.answers[name]

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self.answers})

    @property
    def quality(self) -> float | None:
        """The chance that the face can be judged at all, in [0, 1], as the server states it.

        None where it states none, or where its task (`contract.quality.task`) was not asked for.
        """
        rule = None if self.contract is None else self.contract.quality
        answer = None if rule is None else self.answers.get(rule.task)
        return None if rule is None or answer is None else answer.chance(rule.label)

    def _missing(self, name: str) -> str:
        for task in self.contract.tasks if self.contract else ():
            if task.name == name and not task.readable:
                return unknown_kind(task)
            if task.name == name:
                return f"{name!r} was not asked for: this answer has {', '.join(self.answers)}"
        has = ", ".join(self.answers) or "no task"
        return f"this answer has no {name!r}: it has {has}, beside box, score and landmarks5"

    def __repr__(self) -> str:
        box = ", ".join(f"{edge:.1f}" for edge in self.box)
        return f"Face(box=({box}), score={self.score:.3f}, tasks=[{', '.join(self.answers)}])"

    def to_dict(self, *, provenance: bool = False) -> dict[str, Any]:
        """Plain data: `box`, `score`, `quality`, then one key a task; `provenance` last, where it is wanted.

        Behind a task T stands `T_error`, its expected error. What the server does not state is left out.
        """
        quality = self.quality
        data: dict[str, Any] = {
            "box": [round(float(edge), 2) for edge in self.box],
            "score": round(float(self.score), 4),
            **({} if quality is None else {"quality": round(quality, 4)}),
        }
        for task, answer in self.answers.items():
            data[task] = answer.to_dict()
            if (error := answer.error_dict()) is not None:
                data[f"{task}_error"] = error
        return data | ({"provenance": self.provenance.to_dict()} if provenance else {})

    def to_json(self) -> dict[str, Any]:
        """`to_dict()` by its older name: plain data, no text."""
        return self.to_dict()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], contract: Contract | None) -> "Face":
        """The face of which `to_dict` or `qface analyze --json` gave this data: rounded, and without
        `landmarks5`.

        `contract`: the one by which it was answered (`client.contract()`); None where no task was.
        InvalidInput where the data is not of it.
        """
        with _refused(contract):
            answers = _answers(data, contract)
            x0, y0, x1, y1 = map(float, data["box"])
            return cls(
                box=(x0, y0, x1, y1),
                score=float(data["score"]),
                landmarks5=None,
                answers=answers,
                contract=contract,
                provenance=_provenance(data, contract),
            )


_PLACE = ("box", "score", "quality", "provenance")  # of a face's data; all else is of tasks
_FIELDS = frozenset(field.name for field in dataclasses.fields(Face))


class Analysis(Sequence[Face]):
    """The faces of one photo, best score first, and the photo's size after its EXIF rotation.

    `faces_found`: how many faces the photo shows at `min_score`; more than are here where the server or
    `max_faces` left some out. `smallest_face`: the longer side, in the photo's pixels, from which on nine of
    ten faces are found (`min_face` makes it smaller); None of a server that does not return it.
    `faces_below_quality`: how many of the found faces are not here, as their quality is below `min_quality`;
    None of a server that does not state a face's quality.
    """

    __slots__ = (
        "contract",
        "faces",
        "faces_below_quality",
        "faces_found",
        "height",
        "provenance",
        "smallest_face",
        "width",
    )

    def __init__(
        self,
        faces: Sequence[Face],
        *,
        width: int,
        height: int,
        contract: Contract | None,
        faces_found: int | None = None,
        smallest_face: float | None = None,
        provenance: Provenance = _UNSTATED,
        faces_below_quality: int | None = None,
    ) -> None:
        self.faces = tuple(faces)
        self.width = width
        self.height = height
        self.contract = contract
        self.faces_found = len(self.faces) if faces_found is None else faces_found
        self.smallest_face = smallest_face
        self.provenance = provenance
        self.faces_below_quality = faces_below_quality

    @overload
    def __getitem__(self, index: int) -> Face: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Face]: ...

    def __getitem__(self, index: int | slice) -> Face | Sequence[Face]:
        try:
            return self.faces[index]
        except IndexError:
            raise IndexError(f"there is no face {index}: the photo was answered {len(self)} faces") from None

    @property
    def largest(self) -> Face | None:
        """The face with the largest box; None where there is no face."""
        return max(self.faces, key=_area, default=None)

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def __repr__(self) -> str:
        faces = "1 face" if len(self) == 1 else f"{len(self)} faces"
        return f"Analysis({faces} in {self.width}x{self.height})"

    def to_dict(self, *, file: str | None = None, provenance: bool = False) -> dict[str, Any]:
        """Plain data, as `qface analyze --json` prints it; `file` is left out where there is none.

        `provenance`: also `provenance`, that of the photo, as the last key.
        """
        below = self.faces_below_quality
        return {
            **({} if file is None else {"file": file}),
            "width": self.width,
            "height": self.height,
            "faces_found": self.faces_found,
            **({} if below is None else {"faces_below_quality": below}),
            "smallest_face": None if self.smallest_face is None else round(self.smallest_face, 2),
            "faces": [face.to_dict() for face in self.faces],
            **({"provenance": self.provenance.to_dict()} if provenance else {}),
        }

    def to_json(self, *, file: str | None = None) -> dict[str, Any]:
        """`to_dict(file=...)` by its older name: plain data, no text."""
        return self.to_dict(file=file)

    def to_json_line(self, *, file: str | None = None, provenance: bool = False) -> str:
        """`to_dict` of these arguments as one line of JSON, without its end: what `qface analyze --json`
        prints."""
        return json.dumps(self.to_dict(file=file, provenance=provenance))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], contract: Contract | None) -> "Analysis":
        """The analysis of which `to_dict` gave this data, or `qface analyze --json` a line of it: rounded.

        `contract`, errors: as of `Face.from_dict`.
        """
        with _refused(contract):
            provenance, smallest = _provenance(data, contract), data["smallest_face"]
            below = data.get("faces_below_quality")
            faces = [Face.from_dict(face, contract) for face in data["faces"]]
            return cls(
                [dataclasses.replace(face, provenance=provenance) for face in faces],
                width=int(data["width"]),
                height=int(data["height"]),
                contract=contract,
                faces_found=int(data["faces_found"]),
                smallest_face=None if smallest is None else float(smallest),
                provenance=provenance,
                faces_below_quality=None if below is None else int(below),
            )

    @staticmethod
    def json_schema(contract: Contract) -> dict[str, Any]:
        """What `to_dict` gives of answers by this contract, in the words of JSON Schema (2020-12)."""
        count, share = {"type": "integer", "minimum": 0}, PROBABILITY
        asked: dict[str, Any] = {} if contract.quality is None else {"quality": share}
        for task in contract.tasks:
            if task.readable:
                asked[task.name] = KINDS[task.kind].json_schema(task)
            if task.states_error:
                asked[task.error_output] = KINDS[task.kind].error_schema(task)
        face = {"box": array_schema(NUMBER, length=4), "score": share, **asked}
        return object_schema(
            {
                "width": count,
                "height": count,
                "faces_found": count,
                **({} if contract.quality is None else {"faces_below_quality": count}),
                "smallest_face": {"type": ["number", "null"]},
                "faces": array_schema(object_schema(face, optional=asked)),
            },
            optional=("faces_below_quality",),
        )


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


@contextlib.contextmanager
def _refused(contract: Contract | None) -> Iterator[None]:
    """Data that is not of a contract is refused by InvalidInput."""
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        NotImplementedError,
    ) as error:
        of = "no contract" if contract is None else f"the contract {contract.hash}"
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise InvalidInput(f"the data is not what to_dict() gives of answers by {of} ({reason})") from error


def _answers(data: Mapping[str, Any], contract: Contract | None) -> dict[str, Answer]:
    """By task, in the order of a face's data, with their expected errors."""
    tasks = {task.name: task for task in (contract.tasks if contract else ()) if task.readable}
    errors = {task.error_output: name for name, task in tasks.items() if task.states_error and name in data}
    answers: dict[str, Answer] = {}
    for name, value in data.items():
        if name in tasks and name not in _PLACE:
            answers[name] = KINDS[tasks[name].kind].parse(value, tasks[name])
        elif name not in _PLACE and name not in errors:
            raise ValueError(f"it has no task {name!r} that can be read")
    for name in errors.keys() & data.keys():
        task = tasks[errors[name]]
        answers[task.name] = KINDS[task.kind].with_error(answers[task.name], data[name], task)
    return answers


def _provenance(data: Mapping[str, Any], contract: Contract | None) -> Provenance:
    if "provenance" in data:
        return Provenance(**data["provenance"])
    return Provenance(contract="" if contract is None else contract.hash)

"""What every kind of answer has: tensors, a reader, a typed answer that prints and draws itself."""

import abc
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from ..errors import ServerError

if TYPE_CHECKING:
    from PIL import Image
    from typing_extensions import Self  # in typing since Python 3.11

    from ..contract import TaskSpec
    from ._distributions import Doubt, Tally

Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]
Tensors = Mapping[str, NDArray[Any]]

BACK: Colour = (18, 18, 24)  # behind lines and dots, so that they are seen on any picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a caption: a name on the left, an answer on the right, and its share as a bar."""

    name: str
    text: str
    share: float | None = None  # in [0, 1]


class Pen(Protocol):
    """Draws in canvas pixels."""

    def line(self, points: Sequence[tuple[float, float]], *, colour: Colour, width: float) -> None: ...

    def dot(self, x: float, y: float, *, colour: Colour, radius: float) -> None: ...

    def ring(self, x: float, y: float, *, colour: Colour, radius: float, width: float) -> None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Canvas:
    """Where and how a face is drawn."""

    box: Box  # in canvas pixels
    scale: float  # canvas pixels to one of the photo's
    width: float  # of lines
    colour: Colour

    @property
    def side(self) -> float:
        """The box's shorter side, at least 1."""
        x0, y0, x1, y1 = self.box
        return max(1.0, min(x1 - x0, y1 - y0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table that has one row a face."""

    name: str
    dtype: str  # by pandas's name: "string", "Int64", "float32", "category"
    categories: tuple[str, ...] = ()  # of a "category", in the contract's order
    digits: int | None = None  # behind the point, as JSON has them; None: no number, or a whole one


class Answer(abc.ABC):
    """The answer to one task, typed by its kind."""

    __slots__ = ()

    @abc.abstractmethod
    def to_dict(self) -> Any:
        """Plain data, as `qface analyze --json` prints it: a dict, or a list where the kind is one."""

    def to_json(self) -> Any:
        """`to_dict` by its older name: plain data, no text."""
        return self.to_dict()

    def error_dict(self) -> Any:
        """The expected error as plain data, in the form of `to_dict`; None: the server states none."""
        return None

    def chance(self, label: str) -> float | None:
        """The probability that a label is present; None: the answer has no such probabilities."""
        return None

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        """Plain values of the columns that the answer's kind has for its task, in their order."""
        return ()

    def caption(self, name: str) -> list[Row]:
        """Rows for an answer that is read rather than looked at; `name` is the task's."""
        return []

    def short_caption(self) -> list[Row]:
        """A row for a face among many: single labels and numbers only."""
        return []

    def drawn_caption(self, name: str) -> list[Row]:
        """Rows for an answer that a drawing shows and `caption` leaves out."""
        return []

    def doubt(self, task: "TaskSpec") -> "Doubt | None":
        """How unsure the answer is; None: its kind does not state that."""
        return None

    def draw(  # noqa: B027 - most answers are drawn by their caption alone
        self, pen: Pen, canvas: Canvas, *, hidden: set[int]
    ) -> None:
        """Draws on the face. `hidden` are the indices of points that can't be seen."""

    def hidden_points(self) -> tuple[str, set[int]] | None:
        """The task whose points this answer is about, and the indices of those that can't be seen."""
        return None

    def extent(self) -> Box | None:
        """x0, y0, x1, y1 in the photo's pixels around the area that this answer colours; None: no area."""
        return None

    def areas(self) -> tuple[tuple[str, ...], list[int]] | None:
        """The labels of the coloured areas and the indices of those present; None: no areas."""
        return None

    def lay(  # noqa: B027
        self, layer: "Image.Image", *, scale: float, photo: tuple[int, int], sharp: int
    ) -> None:
        """Puts coloured areas on an RGBA layer, under all lines.

        `scale`: layer pixels to one of the photo's; `photo`: size of the picture that is drawn on, in canvas
        pixels; `sharp`: layer pixels to one of the canvas.
        """


class Deferred(Answer):
    """An answer some attributes of which are made when they are first read, as making them takes time."""

    __slots__ = ("_makers",)

    _makers: Mapping[str, Callable[[], Any]]

    @classmethod
    def deferred(cls, makers: Mapping[str, Callable[[], Any]], **attributes: Any) -> "Self":
        """An answer with these attributes, and with those of `makers`, each made by a call."""
        answer = cls.__new__(cls)
        for name, value in attributes.items():
            object.__setattr__(answer, name, value)
        object.__setattr__(answer, "_makers", makers)
        return answer

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there: makes an attribute at its first use."""
        makers = {} if name == "_makers" else getattr(self, "_makers", {})
        if name not in makers:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = makers[name]()
        object.__setattr__(self, name, value)
        return value


class Kind(abc.ABC):
    """How the tasks of one kind are read from a server's tensors."""

    name: str  # as the contract spells it
    tensors: tuple[str, ...]  # T_probabilities for a task T, and so on
    has_errors = False  # whether answers have an expected error, T_error, where the contract has its bounds

    @abc.abstractmethod
    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Answer]:
        """The task's answers about `count` faces; ServerError where a tensor is not as promised."""

    def parse(self, data: Any, task: "TaskSpec") -> Answer:
        """The answer of which `to_dict` gave this data, to its digits; any error where none did."""
        raise NotImplementedError(f"answers of kind {self.name!r} are not read from data")

    def with_error(self, answer: Any, data: Any, task: "TaskSpec") -> Answer:
        """The answer, which `parse` gave, with the expected error of which `error_dict` gave this data."""
        raise NotImplementedError(f"answers of kind {self.name!r} have no expected error")

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """The columns of a table with one row a face that `cells` of the task's answers fills; (): none."""
        return ()

    def tally(self, task: "TaskSpec") -> "Tally | None":
        """What counts the task's answers about many faces; None: there is nothing to count."""
        return None

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        """What `to_dict` of the task's answers gives, in the words of JSON Schema; {}: anything."""
        return {}

    def error_schema(self, task: "TaskSpec") -> dict[str, Any]:
        """The same of `error_dict`."""
        return {}


def tensor(
    tensors: Tensors, name: str, *, shape: tuple[int | None, ...] | None = None, texts: bool = False
) -> NDArray[Any]:
    """The answer's tensor of this name; ServerError if it is not there or its shape is not as promised, or it
    has texts (BYTES) for numbers or numbers for `texts`."""
    found = tensors.get(name)
    if found is None:
        raise ServerError(f"the answer lacks {name!r}, which the server was asked for: look at its log")
    if shape is not None and found.shape != shape and not _fits(found.shape, shape):
        promised = ", ".join("?" if side is None else str(side) for side in shape)
        raise ServerError(
            f"the answer's {name!r} has shape {list(found.shape)} and not [{promised}]: "
            f"the repository's parts do not belong together, build it again"
        )
    if found.dtype.hasobject is not texts:
        raise ServerError(
            f"the answer's {name!r} has {'numbers for texts' if texts else 'texts for numbers'}: the "
            "repository's parts do not belong together, build it again"
        )
    return found


def _fits(shape: tuple[int, ...], promised: tuple[int | None, ...]) -> bool:
    return len(shape) == len(promised) and all(
        want in (None, got) for want, got in zip(promised, shape, strict=True)
    )


def text(item: Any) -> str:
    """One element of a BYTES tensor."""
    return item.decode() if isinstance(item, bytes) else str(item)


def no_label(label: object, labels: Iterable[str]) -> KeyError:
    """The error about a label that a task does not have."""
    return KeyError(f"there is no label {label!r}: it has {', '.join(labels)}")


def named(task: "TaskSpec", row: NDArray[Any]) -> dict[str, float]:
    """A row of numbers by the task's labels."""
    return dict(zip(task.labels, row.tolist(), strict=True))


def by_labels(data: Mapping[str, Any], task: "TaskSpec") -> dict[str, float]:
    """What `rounded` gave of the task's labels, in their order; ValueError for other labels."""
    if set(data) != set(task.labels):
        raise ValueError(f"its labels are {', '.join(task.labels)}, and not {', '.join(data)}")
    return {label: float(data[label]) for label in task.labels}


def rounded(values: Mapping[str, float], *, digits: int) -> dict[str, float]:
    """The values for JSON."""
    return {label: round(float(value), digits) for label, value in values.items()}


def rows(values: NDArray[Any]) -> list[NDArray[Any]]:
    """The tensor's rows, read-only: a face that is kept keeps its own only, not those of all faces."""
    if len(values) == 1:
        return [values[0]]
    copies = [row.copy() for row in values]
    for row in copies:
        row.flags.writeable = False
    return copies


PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}  # as JSON Schema
NUMBER = {"type": "number"}


SIZE = {"type": "number", "minimum": 0}  # of an error


def object_schema(properties: Mapping[str, Any], *, optional: Collection[str] = ()) -> dict[str, Any]:
    """JSON Schema of an object that has just these properties, the `optional` ones of them or not."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def array_schema(items: Mapping[str, Any], *, length: int | None = None) -> dict[str, Any]:
    """JSON Schema of an array, of just so many items where a length is given."""
    bounds = {} if length is None else {"minItems": length, "maxItems": length}
    return {"type": "array", "items": dict(items), **bounds}


def plain(name: str) -> str:
    """A name as people read it."""
    return name.replace("_", " ")


def share(label: str, probability: float) -> str:
    """A label with its probability as text."""
    return f"{plain(label)} {probability:.0%}"

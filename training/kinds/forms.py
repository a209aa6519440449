"""The forms in which kinds of answers describe themselves: losses, metrics, errors, how a crop was moved."""

import dataclasses
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.task_type import Task

if TYPE_CHECKING:
    from torch import Tensor

Rows = NDArray[np.float32]
PerFace = dict[str, NDArray[Any]]  # numbers of each face by name, [N, ...]
NOISE_NUMBERS = 10  # random numbers of each face, from which kinds make the noise of labels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """A loss of one kind. Faces without a label add nothing, and a slope of 0."""

    count: Callable[["Tensor"], "Tensor"]  # target -> [B]: how many labels of each face are known
    # task, raw answers, target -> [B]: the loss summed over a face's known labels
    sum: Callable[[Task, "Tensor", "Tensor"], "Tensor"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric that a kind computes."""

    name: str
    unit: str = ""  # "": a share in 0..1; "task": the task's unit; else the unit itself
    is_error: bool = False  # less is better
    # A bootstrap's draws raise it: a bin of fewer different faces strays further from its probability.
    raised_by_drawing: bool = False
    # How much worse than torch an engine may be; None: 0.01 of a share, 0.1 of a unit.
    engine_tolerance: float | None = None


CALIBRATION = Metric(name="expected_calibration_error", is_error=True, raised_by_drawing=True)


class QueryAnswer(enum.Enum):
    """What the network reads off one query (training.models.qface.queries)."""

    NUMBER = "number"  # a logit
    POINT = "point"  # x and y in sides of the crop, 0 to 1 from edge to edge
    MAP = "map"  # a logit at each place of a grid, which needs features of places


@dataclasses.dataclass(frozen=True, kw_only=True)
class ErrorForm:
    """What a network can state of how far an answer may be off: expected absolute errors."""

    numbers: int  # of one face
    unit: str
    typical: float  # of a network that is neither good nor bad, in the unit: where a head begins


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """How pictures came from the stored crops to the network's: mirrored first, then turned and moved."""

    matrix: NDArray[np.float64]  # [B, 2, 3], from pixels of the stored crop to those of the network's
    mirrored: NDArray[np.bool_]  # [B]
    turned: NDArray[np.float64]  # [B], degrees clockwise
    covered: NDArray[np.float64]  # [B, 4], a covered patch x0, y0, x1, y1 in the network's crop; NaN: none
    size: int  # S

"""Request parameters that a served model takes, as it describes them in its configuration.

The description is JSON in the words of JSON Schema: by name `type`, `minimum`, `maximum`, `default` and
`description`. A model reads its own, and so does whoever checks requests before they reach it.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from runtime.errors import InvalidInput

# The parameter of a model's configuration that holds the descriptions.
REQUEST_PARAMETERS = "request_parameters"
# Of the configuration of a model that only other models call: it trusts the numbers that it gets.
INTERNAL = "internal"

# A word of ours: values of the parameter, falling, below each of which an answer takes about STEP_FACTOR
# times as long. Those who plan a server's work need it; those who send requests don't.
WORK_STEPS = "x-work-steps"
STEP_FACTOR = 4.0

_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "number": ((int, float), "a number"),
    "integer": ((int,), "an integer"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """A number that a request may bring.

    `type`: "number" or "integer"; `default`: what holds without it, None where that is no one number;
    `work_steps`: see WORK_STEPS. Raises ValueError for a description that can't be.
    """

    type: str
    minimum: float
    maximum: float
    default: float | None = None
    description: str = ""
    work_steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.type not in _TYPES:
            raise ValueError(
                f"the type {self.type!r} of a parameter is unknown: choose {' or '.join(_TYPES)}"
            )
        given = () if self.default is None else (self.default,)
        for value in (self.minimum, self.maximum, *given, *self.work_steps):
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise ValueError(f"{value!r} is no number")
        if not self.minimum <= self.maximum:
            raise ValueError(f"no value lies between {self.minimum} and {self.maximum}")

    def takes(self, value: object) -> bool:
        """Whether a value has the type and lies in the range."""
        classes, _ = _TYPES[self.type]
        # NaN lies in no range.
        return isinstance(value, classes) and not isinstance(value, bool) and self._holds(value)

    def _holds(self, value: Any) -> bool:
        return bool(self.minimum <= value <= self.maximum)

    @property
    def range_text(self) -> str:
        """Its type and range for a sentence: "a number of 0.1 to 1"."""
        return f"{_TYPES[self.type][1]} of {self.minimum:g} to {self.maximum:g}"

    def steps_below(self, value: float) -> int:
        """How many of its work steps a value lies below."""
        return sum(value < step for step in self.work_steps)

    def to_json(self) -> dict[str, Any]:
        """Its description, as it is written into a configuration."""
        described: dict[str, Any] = {"type": self.type, "minimum": self.minimum, "maximum": self.maximum}
        if self.default is not None:
            described["default"] = self.default
        described["description"] = self.description
        if self.work_steps:
            described[WORK_STEPS] = list(self.work_steps)
        return described


def read_values(sent: str, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values of a request whose parameters came as JSON: those it brings, and the others' defaults.

    Others than `parameters` are left to others. Raises InvalidInput for a value that is not taken.
    """
    values: dict[str, Any] = json.loads(sent) if sent else {}
    chosen: dict[str, Any] = {
        name: parameter.default for name, parameter in parameters.items() if parameter.default is not None
    }
    for name, parameter in parameters.items():
        if name not in values:
            continue
        if not parameter.takes(values[name]):
            raise InvalidInput(
                f"The parameter {name} can't be {values[name]!s:.40}: send {parameter.range_text}, or "
                "leave it out."
            )
        chosen[name] = values[name]
    return chosen


def to_text(parameters: Mapping[str, Parameter]) -> str:
    """The descriptions as one line of JSON."""
    described = {name: parameter.to_json() for name, parameter in parameters.items()}
    return json.dumps(described, separators=(",", ":"))


def parse(text: str) -> dict[str, Parameter]:
    """The parameters by name that `to_text` wrote; ValueError for anything else."""
    try:
        return {
            str(name): Parameter(
                type=described["type"],
                minimum=described["minimum"],
                maximum=described["maximum"],
                default=described.get("default"),
                description=described.get("description", ""),
                work_steps=tuple(described.get(WORK_STEPS, ())),
            )
            for name, described in json.loads(text).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"request parameters can't be read ({type(error).__name__}: {error})") from error

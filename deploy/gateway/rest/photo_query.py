"""PhotoQuery: what a request's query and headers ask of a photo, compared with what is served."""

import dataclasses
import re
from collections.abc import Mapping

from multidict import MultiMapping

from deploy.gateway.front.request import quoted
from deploy.gateway.identity import Caller
from deploy.gateway.refusals import Refusal, invalid
from deploy.gateway.rest.contracts import PhotoModel, ServedPhotos
from qface_client.contract import TaskSpec
from qface_client.errors import UnknownKind, UnknownTask
from qface_client.reading import CONTRACT_OUTPUT, FACE_OUTPUTS, QUALITY_OUTPUT, SEARCH_OUTPUTS
from runtime.parameters import Parameter

TASKS, MODEL = "tasks", "model"
TIMEOUT = "X-Request-Timeout"
LONGEST_TIMEOUT = 3600.0  # seconds

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoQuery:
    """One request's wishes, by what is served now."""

    model: PhotoModel
    tasks: tuple[TaskSpec, ...]
    parameters: Mapping[str, int | float]

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the model is asked for: those of the tasks, and of the faces."""
        every = (*FACE_OUTPUTS, *SEARCH_OUTPUTS, QUALITY_OUTPUT)
        faces = (output for output in every if output in self.model.info.outputs)
        return (*(output for task in self.tasks for output in task.outputs), *faces, CONTRACT_OUTPUT)


def read_query(query: MultiMapping[str], *, photos: ServedPhotos, caller: Caller) -> PhotoQuery:
    """Refusal for names that there are not, and for values that can't be."""
    for name in query:
        if len(query.getall(name)) > 1:
            raise _wrong(f"the query has {quoted(name)} twice: give it once")
    model = photos.model(query.get(MODEL))
    parameters = {}
    for name, text in query.items():
        if name in (TASKS, MODEL):
            continue
        parameter = model.parameters.get(name)
        if parameter is None:
            known = ", ".join((TASKS, MODEL, *model.parameters))
            raise _wrong(f"the query has {quoted(name)}, which is not taken: leave it out; {known} are")
        parameters[name] = _value(name, text, parameter)
    return PhotoQuery(
        model=model, tasks=_tasks(query.get(TASKS), model=model, caller=caller), parameters=parameters
    )


def read_timeout(text: str | None) -> float | None:
    """Seconds of the header X-Request-Timeout; None without one."""
    if text is None:
        return None
    seconds = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise _wrong(
            f"the header {TIMEOUT} is {quoted(text)}: it is a number of seconds above 0, of at most "
            f"{LONGEST_TIMEOUT:g}"
        )
    return seconds


def _tasks(text: str | None, *, model: PhotoModel, caller: Caller) -> tuple[TaskSpec, ...]:
    contract = model.contract
    if text is None:
        every = contract.select(None)
        return tuple(task for task in every if caller.tasks is None or task.name in caller.tasks)
    names = text.split(",")
    if len(set(names)) < len(names):
        raise _wrong("the query's tasks have a name twice: name each once")
    try:
        return contract.select(names)
    except UnknownTask:
        wrong = next(name for name in names if name not in contract.names)
        raise _wrong(
            f"the query's tasks have {quoted(wrong)}, which is not served: {', '.join(contract.names)} are"
        ) from None
    except UnknownKind as error:
        raise _wrong(str(error)) from None


def _value(name: str, text: str, parameter: Parameter) -> int | float:
    """A parameter's text as a number that the model takes."""
    if parameter.type == "integer":
        value: int | float | None = int(text) if _INTEGER.fullmatch(text) else None
    else:
        value = float(text) if _NUMBER.fullmatch(text) else None
    if not parameter.takes(value):
        raise _wrong(f"the query's {name} is {quoted(text)}: it is {parameter.range_text}")
    assert value is not None
    return value


def _wrong(sentence: str) -> Refusal:
    return invalid(sentence, reason="parameter")

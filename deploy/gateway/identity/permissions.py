"""What a request asks for, by task, and whether its caller may have it.

What answers a task is known by the contract that a served model carries: a task's outputs begin with its name
and an underscore; an engine's head has just its name, or is T_error of a task T that states an error. Nothing
here knows a model or a task by name.
"""

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.identity.callers import Caller
from deploy.gateway.refusals import Refusal

_CONTRACT = "contract"  # the parameter with the contract, and the output with its hash
_GENERATIONS = 3  # that are kept: during a swap requests for two of them come in turns


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Answers:
    """What a model answers, by task."""

    task_of: Mapping[str, str]  # of the outputs that answer one, or from which its answer is computed
    tasks: frozenset[str]  # of all outputs
    open: bool  # to callers whose tasks are restricted
    withheld: frozenset[str] = frozenset()  # outputs that nobody gets: an engine's heads of unserved tasks


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Tasks:
    """The tasks of a contract."""

    names: tuple[str, ...]
    task_of_head: Mapping[str, str]  # by the name of an engine's output


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Generation:
    served: ServedModels
    models: Mapping[str, _Answers]


_NONE: frozenset[str] = frozenset()
_CLOSED = _Answers(task_of={}, tasks=_NONE, open=False)
_FINDING = _Answers(task_of={}, tasks=_NONE, open=True)
_generations: dict[int, _Generation] = {}


def tasks_of(*, model: str, outputs: Collection[str], served: ServedModels) -> frozenset[str]:
    """The tasks that a request asks for, of an engine and of other steps inside models too.

    outputs  those that the request names; none: all of the model's
    """
    answers = _answers_of(model, served)
    return _NONE if answers is None else _asked(outputs, answers)


def permit(caller: Caller, *, model: str, outputs: Collection[str], served: ServedModels) -> None:
    """Refusal (PERMISSION_DENIED) if the caller may not have all that a request asks for.

    outputs  those that the request names; none: all of the model's
    A model that is not served passes: who forwards the request finds that out.
    """
    answers = _answers_of(model, served)
    if answers is None:
        return
    if answers.withheld and (not outputs or not answers.withheld.isdisjoint(outputs)):
        raise _withheld(model, answers)
    if caller.tasks is None:
        return
    if not answers.open:
        raise _denied(
            caller,
            f"which can't use model {model!r}, a step inside others: use a model that answers these tasks",
        )
    asked = _asked(outputs, answers)
    if not asked <= caller.tasks:
        wrong = ", ".join(sorted(asked - caller.tasks))
        named = "name the outputs of its own tasks" if not outputs else "leave these outputs out"
        raise _denied(caller, f"and this request to {model!r} asks for {wrong}: {named}")


def _asked(outputs: Collection[str], answers: _Answers) -> frozenset[str]:
    if not outputs:
        return answers.tasks
    task_of = answers.task_of
    return frozenset(task_of[output] for output in outputs if output in task_of)


def _answers_of(model: str, served: ServedModels) -> _Answers | None:
    generation = _generations.get(served.generation)
    if generation is None or generation.served is not served:
        generation = _remember(served)
    return generation.models.get(model)


def _withheld(model: str, answers: _Answers) -> Refusal:
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        f"what {model!r} computes beyond the tasks that are served here ({', '.join(sorted(answers.tasks))}) "
        "is not given away: name the outputs of these tasks",
        reason="permission",
    )


def _denied(caller: Caller, sentence: str) -> Refusal:
    may = ", ".join(sorted(caller.tasks or ()))
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        f"the API key {caller.name!r} may ask for {may}, {sentence}",
        reason="permission",
    )


def _remember(served: ServedModels) -> _Generation:
    generation = _Generation(served=served, models=_read(served.configs))
    _generations[served.generation] = generation
    while len(_generations) > _GENERATIONS:
        del _generations[next(iter(_generations))]
    return generation


def _read(configs: Mapping[str, bytes]) -> dict[str, _Answers]:
    contracts: dict[str, _Tasks | None] = {}  # by their text: most models carry the same
    answering: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}  # outputs and tasks
    others: dict[str, tuple[str, ...]] = {}  # outputs of models without a contract
    read: dict[str, _Answers] = {}
    for name, message in configs.items():
        config = v2.ModelConfigResponse.FromString(message).config
        outputs = tuple(output.name for output in config.output)
        if _CONTRACT not in config.parameters:
            others[name] = outputs
            continue
        text = config.parameters[_CONTRACT].string_value
        if text not in contracts:
            contracts[text] = _tasks_in(text)
        tasks = contracts[text]
        if tasks is None:
            read[name] = _CLOSED
        elif _CONTRACT not in outputs:  # an engine, or a part of an answer
            read[name] = _step(outputs, tasks)
        else:
            answering[name] = outputs, tasks.names
    read |= {name: _answers(outputs, tasks) for name, (outputs, tasks) in answering.items()}
    # Finding faces answers no task, and the models that do answer tasks give its outputs to everybody.
    every_task = tuple(task for tasks in contracts.values() if tasks is not None for task in tasks.names)
    given = {
        output
        for outputs, _ in answering.values()
        for output in outputs
        if output not in _answers(outputs, every_task).task_of
    }
    for name, outputs in others.items():
        read[name] = _FINDING if outputs and given.issuperset(outputs) else _CLOSED
    return read


def _step(outputs: Collection[str], tasks: _Tasks) -> _Answers:
    """Of a step inside other models, which no restricted caller gets: what it gives away of which task."""
    # T_error alone is no sign of an engine: it is a tensor of answers too.
    is_engine = not set(tasks.names).isdisjoint(outputs)
    of_head = tasks.task_of_head
    heads = {output: of_head[output] for output in outputs if output in of_head} if is_engine else {}
    task_of = heads or _answers(outputs, tasks.names).task_of
    withheld = frozenset(outputs) - heads.keys() if heads else _NONE
    return _Answers(task_of=task_of, tasks=frozenset(task_of.values()), open=False, withheld=withheld)


def _answers(outputs: Iterable[str], tasks: tuple[str, ...]) -> _Answers:
    # The longest first, as a task's name may begin with another's.
    longest_first = sorted(tasks, key=len, reverse=True)
    task_of: dict[str, str] = {}
    for output in outputs:
        for task in longest_first:
            if output.startswith(f"{task}_"):
                task_of[output] = task
                break
    return _Answers(task_of=task_of, tasks=frozenset(task_of.values()), open=True)


def _tasks_in(text: str) -> _Tasks | None:
    """The tasks of a contract's JSON; None for one that can't be read, which opens nothing."""
    try:
        content: Any = json.loads(text)
        states_error = {str(task["name"]): task.get("error") is not None for task in content["tasks"]}
        errors = {f"{name}_error": name for name, has_error in states_error.items() if has_error}
        return _Tasks(names=tuple(states_error), task_of_head=errors | {name: name for name in states_error})
    except (ValueError, KeyError, TypeError):
        return None

"""The sentence about a request that a recording has no answer to."""

from collections.abc import Iterable

from .._exchange.steps import Infer, ReadModel
from ..errors import NotRecorded
from .index import Index, parameters_text
from .lines import request_to_json


def not_recorded(index: Index, step: ReadModel | Infer) -> NotRecorded:
    """What a request lacks in the recording, in a sentence."""
    again = "record it again with FaceClient(url, record=...)"
    if isinstance(step, ReadModel):
        return NotRecorded(f"{index.path} has nothing of the model {step.model!r}: {again}")
    same = index.entries(step)
    inputs = request_to_json(step)["inputs"]
    picture = ", ".join(
        f"{name} of {tensor.nbytes:,} bytes, sha256 {inputs[name]['sha256'][:12]}"
        for name, tensor in step.inputs.items()
    )
    if not same:
        count = index.recorded_requests(step.model)
        return NotRecorded(
            f"{index.path} has no answer of {step.model!r} to this input ({picture}; it has answers to "
            f"{count} others): {again}, or check that the picture is the recorded one, byte for byte"
        )
    wanted = parameters_text(step.parameters)
    if not any(entry.parameters == wanted for entry in same):
        recorded = "; ".join(sorted({entry.parameters for entry in same}))
        return NotRecorded(
            f"{index.path} has no answer of {step.model!r} to this input ({picture}) with the parameters "
            f"{wanted}, only with {recorded}: {again}"
        )
    recorded_outputs = {output for entry in same if entry.parameters == wanted for output in entry.outputs}
    tasks = _tasks(index, step.model, step.outputs), _tasks(index, step.model, recorded_outputs)
    return NotRecorded(
        f"{index.path} has no answer of {step.model!r} to this input ({picture}) for "
        f"{', '.join(tasks[0])} in one request, only for {', '.join(tasks[1])}: {again}"
    )


def _tasks(index: Index, model: str, outputs: Iterable[str]) -> list[str]:
    """The tasks that have some of these outputs; where the recording does not know them, the outputs."""
    info = index.last_model(model)
    if info is None or info.contract is None:
        return sorted(outputs)
    return [
        task.name
        for task in info.contract.tasks
        if task.readable and any(output in outputs for output in task.outputs)
    ]

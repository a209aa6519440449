"""The steps before and after the engine: preprocessing of faces and crops, postprocessing of heads.

What a task answers on request only comes from a step of its own, <task>_runs_postprocess, as an ensemble
requests from each step everything that it could answer, and leaves out a step of which nothing is requested.
"""

from collections.abc import Mapping, Sequence

from build.onnx_interface import Head
from build.serving import tensors
from build.serving.batches import MAX_BATCH
from build.serving.pbtxt import Batching, Instances, Model, Tensor
from runtime.contract import ALIGNED, Contract, TaskEntry

# Requests that may wait for the first step of an ensemble before further ones are turned away: some
# seconds of work for a CPU.
_MAX_QUEUE = 256


def face_preprocess(contract: Contract) -> Model:
    """A photo and where the face is -> the engine's pixels."""
    return Model(
        name="face_preprocess",
        inputs=tensors.FACE_INPUTS,
        outputs=_crop_outputs(contract),
        max_batch_size=MAX_BATCH,
        batching=Batching(max_queue_size=_MAX_QUEUE),
        instances=Instances(count=2),
        parameters=_crop_parameters(contract),
    )


def crop_preprocess(contract: Contract) -> Model:
    """A crop -> the engine's pixels."""
    return Model(
        name="crop_preprocess",
        inputs=tensors.CROP_INPUTS,
        outputs=_crop_outputs(contract),
        max_batch_size=MAX_BATCH,
        batching=Batching(max_queue_size=_MAX_QUEUE),
        parameters=_crop_parameters(contract),
    )


def postprocess(
    name: str,
    entries: Sequence[TaskEntry],
    contract: Contract,
    heads: Mapping[str, Head],
    *,
    on_request: bool = False,
) -> Model:
    """The heads of these tasks -> their answers; `on_request`: those that are made on request only."""
    answers = tensors.answers(entries, on_request=on_request)
    return Model(
        name=name,
        inputs=tensors.head_tensors(entries, heads) + tensors.about_photo(entries),
        outputs=answers if on_request else (*answers, tensors.CONTRACT_HASH),
        max_batch_size=MAX_BATCH,
        batching=Batching(),
        parameters=tensors.contract_parameter(contract),
    )


def answers_on_request(entry: TaskEntry) -> bool:
    """Whether a part of this task's answer is made on request only."""
    return bool(tensors.answers([entry], on_request=True))


def on_request_step(entry: TaskEntry) -> str:
    """The model that answers what a task answers on request only."""
    return f"{entry.name}_runs_postprocess"


def _crop_outputs(contract: Contract) -> tuple[Tensor, ...]:
    size = tuple(
        tensor for tensor in tensors.about_photo(contract.tasks) if tensor is not tensors.CROP_TO_PHOTO
    )
    return (tensors.pixels(contract), tensors.CROP_TO_PHOTO, *size)


def _crop_parameters(contract: Contract) -> dict[str, str]:
    crop = {} if contract.crop == ALIGNED else {"crop": contract.crop}
    return {"input_size": str(contract.input_size)} | crop

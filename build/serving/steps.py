"""The steps before and after the engine: preprocessing of faces and crops, postprocessing of heads.

A tensor that is answered on request only comes from a step of its own, <tensor>_postprocess, as an ensemble
requests from each step everything that it could answer, and leaves out a step of which nothing is requested.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from build.onnx_interface import Head
from build.serving import tensors
from build.serving.host_settings import FirstStepSettings, HostSettings, StepSettings
from build.serving.pbtxt import Batching, Instances, Model, Tensor
from runtime.contract import ALIGNED, Contract, TaskEntry


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnRequest:
    """A tensor of a task's answer that is answered on request only."""

    entry: TaskEntry
    tensor: Tensor

    @property
    def model(self) -> str:
        """The step that answers it."""
        return f"{self.tensor.name}_postprocess"


def face_preprocess(contract: Contract, host: HostSettings, *, warp_model: str | None = None) -> Model:
    """A photo and where the face is -> the engine's pixels, with the help of `warp_model` on a GPU."""
    warps = {} if warp_model is None else {"warp_model": warp_model}
    return Model(
        name="face_preprocess",
        inputs=tensors.FACE_INPUTS,
        outputs=_crop_outputs(contract),
        max_batch_size=host.max_batch,
        batching=_first_batching(host.face_preprocess),
        instances=Instances(count=host.face_preprocess.instances),
        parameters=_crop_parameters(contract) | warps,
    )


def crop_preprocess(contract: Contract, host: HostSettings) -> Model:
    """A crop -> the engine's pixels."""
    return Model(
        name="crop_preprocess",
        inputs=tensors.CROP_INPUTS,
        outputs=_crop_outputs(contract),
        max_batch_size=host.max_batch,
        batching=_first_batching(host.crop_preprocess),
        instances=Instances(count=host.crop_preprocess.instances),
        parameters=_crop_parameters(contract),
    )


def postprocess(
    name: str,
    entries: Sequence[TaskEntry],
    contract: Contract,
    heads: Mapping[str, Head],
    host: HostSettings,
) -> Model:
    """The heads of these tasks -> their answers, but for what is answered on request only."""
    outputs = (*tensors.answers(entries, on_request=False), tensors.CONTRACT_HASH)
    settings = host.face_postprocess if name == "face_postprocess" else host.task_postprocess
    return _postprocess(name, entries, contract, heads, host.max_batch, settings, outputs=outputs)


def postprocess_on_request(
    request: OnRequest, contract: Contract, heads: Mapping[str, Head], host: HostSettings
) -> Model:
    """The head of a task -> one tensor of its answer."""
    return _postprocess(
        request.model,
        [request.entry],
        contract,
        heads,
        host.max_batch,
        host.task_postprocess,
        outputs=(request.tensor,),
    )


def on_request(entries: Sequence[TaskEntry]) -> tuple[OnRequest, ...]:
    """Every tensor of these tasks that is answered on request only."""
    return tuple(
        OnRequest(entry=entry, tensor=tensor)
        for entry in entries
        for tensor in tensors.answers([entry], on_request=True)
    )


def _postprocess(
    name: str,
    entries: Sequence[TaskEntry],
    contract: Contract,
    heads: Mapping[str, Head],
    max_batch: int,
    settings: StepSettings,
    *,
    outputs: tuple[Tensor, ...],
) -> Model:
    return Model(
        name=name,
        inputs=tensors.head_tensors(entries, heads) + tensors.about_photo(entries),
        outputs=outputs,
        max_batch_size=max_batch,
        batching=Batching(max_queue_delay_us=settings.queue_delay_us),
        instances=Instances(count=settings.instances),
        parameters=tensors.contract_parameter(contract),
    )


def _first_batching(settings: FirstStepSettings) -> Batching:
    return Batching(
        max_queue_delay_us=settings.queue_delay_us,
        max_queue_size=settings.max_queued,
        most_together=settings.most_together,
    )


def _crop_outputs(contract: Contract) -> tuple[Tensor, ...]:
    size = tuple(
        tensor for tensor in tensors.about_photo(contract.tasks) if tensor is not tensors.CROP_TO_PHOTO
    )
    return (tensors.pixels(contract), tensors.CROP_TO_PHOTO, *size)


def _crop_parameters(contract: Contract) -> dict[str, str]:
    crop = {} if contract.crop == ALIGNED else {"crop": contract.crop}
    return {"input_size": str(contract.input_size)} | crop

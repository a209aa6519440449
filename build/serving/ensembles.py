"""The ensembles: preprocessing, engine and postprocessing in a row, for one task or for all."""

from collections.abc import Mapping, Sequence

from build.onnx_interface import PIXELS
from build.serving import tensors
from build.serving.host_settings import HostSettings
from build.serving.pbtxt import Ensemble, Step
from build.serving.steps import OnRequest, on_request
from runtime.contract import Contract, TaskEntry


def ensemble(
    name: str, preprocess: str, entries: Sequence[TaskEntry], contract: Contract, host: HostSettings
) -> Ensemble:
    """The ensemble of these tasks behind a preprocessing step."""
    inputs = {"face_preprocess": tensors.FACE_INPUTS, "crop_preprocess": tensors.CROP_INPUTS}[preprocess]
    always = tensors.answers(entries, on_request=False)
    outputs = (*tensors.answers(entries), tensors.CONTRACT_HASH)
    about_photo = [tensor.name for tensor in tensors.about_photo(entries)]
    # A head is mapped only where it is used: Triton requests every output that is mapped from the engine.
    # Inside an ensemble a head is called T_head, so that no tensor of it is named like the ensemble.
    inner = {head: f"{head}_head" for head in tensors.head_names(entries)}
    of_task = [name] == [entry.name for entry in entries]
    postprocess = f"{name}_postprocess" if of_task else "face_postprocess"
    return Ensemble(
        name=name,
        inputs=inputs,
        outputs=outputs,
        max_batch_size=host.max_batch,
        steps=(
            Step(
                model=preprocess,
                inputs={tensor.name: tensor.name for tensor in inputs},
                outputs={tensor: tensor for tensor in [PIXELS, *about_photo]},
            ),
            Step(model="face_engine", inputs={PIXELS: PIXELS}, outputs=inner),
            Step(
                model=postprocess,
                inputs=inner | {tensor: tensor for tensor in about_photo},
                outputs={tensor.name: tensor.name for tensor in (*always, tensors.CONTRACT_HASH)},
            ),
            *(_on_request_step(request, inner) for request in on_request(entries)),
        ),
        parameters=tensors.contract_parameter(contract),
    )


def _on_request_step(request: OnRequest, inner: Mapping[str, str]) -> Step:
    heads = {head: inner[head] for head in tensors.head_names([request.entry])}
    about_photo = tensors.about_photo([request.entry])
    return Step(
        model=request.model,
        inputs=heads | {tensor.name: tensor.name for tensor in about_photo},
        outputs={request.tensor.name: request.tensor.name},
    )

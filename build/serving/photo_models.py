"""The models that take a whole photo; each has a detector of its own."""

import dataclasses
from collections.abc import Mapping

from build.precisions import FULL_PRECISION, Precision, format_of
from build.serving import tensors
from build.serving.engine_settings import EngineSettings
from build.serving.host_settings import HostSettings, PhotoSettings
from build.serving.pbtxt import Batching, Instances, Model
from runtime.answering.quality import quality_parameters
from runtime.contract import Contract
from runtime.detect.search import SearchLimits
from runtime.parameters import REQUEST_PARAMETERS, Parameter, to_text

DETECTOR_FILE = "detector.tflite"
# It finds as many faces as fp32, for half the time; where the processor has no bf16 it is fp32.
_LOWER_PRECISION: Precision = "bf16"


def face_detect(engine: EngineSettings, *, limits: SearchLimits, host: HostSettings) -> Model:
    """A photo -> where its faces are."""
    return Model(
        name="face_detect",
        inputs=tensors.PHOTO_INPUTS,
        outputs=tensors.DETECTIONS,
        max_batch_size=0,
        # Without a batch to put together: it is what bounds the queue.
        batching=Batching(max_queue_size=host.face_detect.max_queued),
        instances=Instances(count=host.face_detect.instances),
        parameters=_request_parameters(limits.parameters()) | _detector(engine, host.face_detect),
    )


def photo_analysis(
    contract: Contract, engine: EngineSettings, *, engine_model: str, limits: SearchLimits, host: HostSettings
) -> Model:
    """A photo -> where its faces are, and the answers about each, which `engine_model` computes."""
    own = {} if engine_model == "face_engine" else {"engine": engine_model}
    per_face = tuple(
        dataclasses.replace(tensor, dims=(-1, *tensor.dims)) for tensor in tensors.answers(contract.tasks)
    )
    below = () if contract.quality is None else (tensors.FACES_BELOW_QUALITY,)
    return Model(
        name="photo_analysis",
        inputs=tensors.PHOTO_INPUTS,
        outputs=(*tensors.DETECTIONS, *below, *per_face, tensors.CONTRACT_HASH),
        max_batch_size=0,
        batching=Batching(max_queue_size=host.photo_analysis.max_queued),
        # An instance answers one request at a time: several, so that the faces of several photos share
        # the engine's batches.
        instances=Instances(count=host.photo_analysis.instances),
        parameters=tensors.contract_parameter(contract)
        | _request_parameters(limits.parameters() | quality_parameters(contract))
        | _detector(engine, host.photo_analysis)
        | {"max_batch": str(host.max_batch)}
        | own,
    )


def _detector(engine: EngineSettings, settings: PhotoSettings) -> dict[str, str]:
    """The detector of a model. Beside a network in fp32 it has fp32: answers depend on no processor."""
    full = format_of(engine.precision).full
    return {
        "detector": DETECTOR_FILE,
        "detector_precision": FULL_PRECISION if full else _LOWER_PRECISION,
        "detector_threads": str(settings.detector_threads),
    }


def _request_parameters(parameters: Mapping[str, Parameter]) -> dict[str, str]:
    return {REQUEST_PARAMETERS: to_text(parameters)}

"""The models that take a whole photo, and the detector behind them."""

import dataclasses

from build.serving import tensors
from build.serving.batching_and_queues import MAX_BATCH
from build.serving.engine_settings import EngineSettings
from build.serving.host_settings import HostSettings
from build.serving.pbtxt import Batching, Instances, Model, Tensor
from runtime.contract import Contract
from runtime.detect.blazeface import GRID, LOGITS, REGRESSORS, TILE_SIZE, TILES
from runtime.detect.search import SearchLimits
from runtime.parameters import REQUEST_PARAMETERS, to_text

DETECTOR_FILE = "detector.tflite"


def face_detector(engine: EngineSettings, host: HostSettings) -> Model:
    """Tiles of photos -> the detector's raw answers."""
    settings = host.detector.with_threads(engine.threads)
    return Model(
        name="face_detector",
        inputs=(Tensor(name=TILES, datatype="UINT8", dims=(TILE_SIZE, TILE_SIZE, 3)),),
        outputs=(
            Tensor(name=REGRESSORS, datatype="FP32", dims=(GRID * GRID, 16)),
            Tensor(name=LOGITS, datatype="FP32", dims=(GRID * GRID, 1)),
        ),
        max_batch_size=MAX_BATCH,
        batching=Batching(
            max_queue_delay_us=settings.queue_delay_us, max_queue_size=host.detector.max_queued
        ),
        instances=Instances(count=settings.instances),
        # In bf16 boxes move by pixels, and the detector is a small part of the work: always fp32.
        parameters={
            "file": DETECTOR_FILE,
            "precision": "fp32",
            "threads": str(settings.threads),
            "streams": str(settings.streams),
        },
    )


def face_detect(limits: SearchLimits, host: HostSettings) -> Model:
    """A photo -> where its faces are."""
    return Model(
        name="face_detect",
        inputs=tensors.PHOTO_INPUTS,
        outputs=tensors.DETECTIONS,
        max_batch_size=0,
        # Without a batch to put together: it is what bounds the queue.
        batching=Batching(max_queue_size=host.face_detect.max_queued),
        instances=Instances(count=host.face_detect.instances),
        parameters=_request_parameters(limits),
    )


def photo_analysis(contract: Contract, *, engine: str, limits: SearchLimits, host: HostSettings) -> Model:
    """A photo -> where its faces are, and the answers about each."""
    own = {} if engine == "face_engine" else {"engine": engine}
    per_face = tuple(
        dataclasses.replace(tensor, dims=(-1, *tensor.dims)) for tensor in tensors.answers(contract.tasks)
    )
    return Model(
        name="photo_analysis",
        inputs=tensors.PHOTO_INPUTS,
        outputs=(*tensors.DETECTIONS, *per_face, tensors.CONTRACT_HASH),
        max_batch_size=0,
        batching=Batching(max_queue_size=host.photo_analysis.max_queued),
        # An asynchronous model still answers one request at a time and instance: several, so that the
        # faces of several photos share the engine's batches.
        instances=Instances(count=host.photo_analysis.instances),
        parameters=tensors.contract_parameter(contract)
        | _request_parameters(limits)
        | {"max_batch": str(host.max_batch)}
        | own,
    )


def _request_parameters(limits: SearchLimits) -> dict[str, str]:
    return {REQUEST_PARAMETERS: to_text(limits.parameters())}

"""face_warp, the model that decodes and warps faces, as a GPU and as a CPU serves it."""

from collections.abc import Sequence
from pathlib import Path

from build.preprocessing.dali_pipeline import IMAGE, MATRIX, WINDOW
from build.serving import tensors
from build.serving.host_settings import HostSettings
from build.serving.pbtxt import Batching, Instances, Model, Tensor
from runtime.contract import Contract
from runtime.image.stored_crop import WINDOW_ROWS
from runtime.parameters import INTERNAL

FACE_WARP = "face_warp"
PIPELINE_FILE = "model.dali"
# What a CPU serves in the pipeline's place.
PROGRAM = Path(__file__).with_name("cpu_model.py")


def face_warp(contract: Contract, host: HostSettings, *, gpus: Sequence[int] = ()) -> Model:
    """Encoded pictures, windows and matrices -> crops, on each of these GPUs (empty: on every one)."""
    settings = host.face_warp
    return _model(
        contract,
        host,
        backend="dali",
        filename=PIPELINE_FILE,
        instances=Instances(count=settings.instances, kind="KIND_GPU", gpus=tuple(gpus)),
        parameters={"num_threads": str(settings.threads)},
    )


def face_warp_on_cpu(contract: Contract, host: HostSettings) -> Model:
    """The same by OpenCV, so that the repository loads without a GPU."""
    return _model(contract, host, backend="python", filename="model.py", instances=Instances(), parameters={})


def _model(
    contract: Contract,
    host: HostSettings,
    *,
    backend: str,
    filename: str,
    instances: Instances,
    parameters: dict[str, str],
) -> Model:
    return Model(
        name=FACE_WARP,
        inputs=(
            Tensor(name=IMAGE, datatype="UINT8", dims=(-1,), ragged=True),
            Tensor(name=WINDOW, datatype="INT32", dims=(WINDOW_ROWS, 2)),
            Tensor(name=MATRIX, datatype="FP32", dims=(2, 3)),
        ),
        outputs=(tensors.pixels(contract),),
        max_batch_size=host.max_batch,
        batching=Batching(max_queue_delay_us=host.face_warp.queue_delay_us),
        backend=backend,
        filename=filename,
        instances=instances,
        parameters={INTERNAL: "true", **parameters},
    )

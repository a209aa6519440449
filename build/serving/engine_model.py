"""face_engine: the network itself, configured by what runs it."""

from collections.abc import Mapping

from build.onnx_interface import Head
from build.serving import tensors
from build.serving.engine_settings import EngineSettings
from build.serving.host_settings import HostSettings
from build.serving.pbtxt import Batching, Instances, Model
from runtime.contract import Contract


def face_engine(
    contract: Contract, heads: Mapping[str, Head], engine: EngineSettings, host: HostSettings
) -> Model:
    """The engine's pixels -> every head of the network."""
    config = engine.config(host)
    settings = host.engine_on(engine.backend.device)
    return Model(
        name="face_engine",
        inputs=(tensors.pixels(contract),),
        # All of the network's, whichever tasks are served: Triton loads a plan only if every output of it is
        # declared. What is not requested stays inside.
        outputs=tuple(tensors.head_tensor(name, head) for name, head in heads.items()),
        max_batch_size=host.max_batch,
        batching=Batching(max_queue_delay_us=settings.queue_delay_us),
        backend=config.backend,
        platform=config.platform,
        filename=config.filename,
        instances=Instances(count=config.instances, kind=config.instance_kind, gpus=config.gpus),
        warmup=config.warmup,
        cuda_graphs=config.cuda_graphs,
        parameters={
            **tensors.contract_parameter(contract),
            "precision": engine.precision,
            **config.parameters,
        },
    )

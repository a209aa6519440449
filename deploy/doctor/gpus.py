"""The GPUs: seen, of a kind that the image supports, with a driver for its CUDA, and with memory."""

from collections.abc import Iterator

from build.backends.tensorrt_tools.gpus import gpu_versions
from deploy.doctor.findings import Finding, Host, Level
from deploy.host.cuda import OLDEST_CAPABILITY, driver_fault, needed_cuda
from deploy.host.nvidia_smi import GpuState, NvidiaSmiError, read_gpus

_LITTLE = 2 << 30  # bytes of a GPU's memory: CUDA's context, TensorRT's and DALI's buffers, a batch
_MEBIBYTE = 1 << 20
_REMEDY = (
    "install NVIDIA's driver and container toolkit, and give the container its GPUs (`docker run --gpus "
    "all`, `nvidia.com/gpu` in Kubernetes)"
)


def gpus(host: Host) -> Iterator[Finding]:
    """What nvidia-smi shows, held against what the repository needs."""
    wrong: Level = "stops" if host.needs_gpu else "note"
    try:
        found = read_gpus()
    except NvidiaSmiError as error:
        yield _none(str(error), needed=host.needs_gpu)
        return
    if not found:
        yield _none("nvidia-smi shows none", needed=host.needs_gpu)
    for gpu in found:
        yield from _about(gpu, wrong=wrong)


def _none(why: str, *, needed: bool) -> Finding:
    if needed:
        sentence = f"the repository's engine is for a GPU, and there is none here ({why}): {_REMEDY}"
        return Finding(check="gpu", level="stops", sentence=sentence)
    sentence = f"there is no GPU here ({why}): the service runs on the CPU, which is the default"
    return Finding(check="gpu", level="ok", sentence=sentence)


def _about(gpu: GpuState, *, wrong: Level) -> Iterator[Finding]:
    cuda = needed_cuda()
    if fault := driver_fault(gpu.driver, needed=cuda, library=gpu_versions().get("cuda")):
        yield Finding(check="driver", level=wrong, sentence=fault)
    else:
        yield Finding(check="driver", level="ok", sentence=f"the driver {gpu.driver} runs CUDA {cuda}")
    oldest = ".".join(map(str, OLDEST_CAPABILITY))
    capability = gpu.compute_capability
    written = "unknown" if capability is None else ".".join(map(str, capability))
    if capability is not None and capability < OLDEST_CAPABILITY:
        yield Finding(
            check="gpu",
            level=wrong,
            sentence=f"{gpu} has compute capability {written}, and the image supports {oldest} (Turing) and "
            "newer: serve on another GPU, or on the CPU",
        )
    else:
        divided = ", divided by MIG" if gpu.divided else ""
        yield Finding(check="gpu", level="ok", sentence=f"{gpu} has compute capability {written}{divided}")
    if gpu.free is not None and gpu.free < _LITTLE:
        yield Finding(
            check="gpu memory",
            level="note",
            sentence=f"{gpu} has {gpu.free // _MEBIBYTE} MiB free: a Triton and its engine want some "
            f"{_LITTLE // _MEBIBYTE} MiB, and as much again for a swap or a standby: end what else uses it",
        )

"""Which GPUs this process may use, for reports: whatever was built or measured holds there only."""

import ctypes
import dataclasses
from typing import Any

# CUdevice_attribute's numbers of the two parts of the compute capability.
_MAJOR, _MINOR = 75, 76


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU as the driver describes it."""

    name: str  # "NVIDIA L4"
    compute_capability: str  # "8.9"

    def __str__(self) -> str:
        return f"{self.name} ({self.compute_capability})"


def visible_gpus() -> tuple[Gpu, ...]:
    """The GPUs by their CUDA number, which is Triton's too; () without a driver or a GPU.

    They come from the driver itself, so CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER hold as they do for
    TensorRT. Not run on a GPU yet.
    """
    cuda, count = driver(), ctypes.c_int()
    if cuda is None or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    gpus = []
    for number in range(count.value):
        gpu = _gpu(cuda, number)
        if gpu is None:  # left out, it would shift the numbers of the others
            return ()
        gpus.append(gpu)
    return tuple(gpus)


def gpu_versions() -> dict[str, str]:
    """`gpu` and `compute_capability` of the first visible GPU, on which engines are built, all of them in
    `gpus`, and `cuda` (the newest that the driver knows); {} without a GPU. Not run on a GPU yet.
    """
    gpus = visible_gpus()
    if not gpus:
        return {}
    return {
        "gpu": gpus[0].name,
        "compute_capability": gpus[0].compute_capability,
        "gpus": ", ".join(map(str, gpus)),
    } | _cuda()


def driver() -> Any:
    """libcuda, the driver's library, initialised; None where it is missing or finds no GPU."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        return None if cuda.cuInit(0) else cuda
    except (OSError, AttributeError):
        return None


def _gpu(cuda: Any, number: int) -> Gpu | None:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    if cuda.cuDeviceGet(ctypes.byref(device), number) or cuda.cuDeviceGetName(name, len(name), device):
        return None
    parts = []
    for attribute in (_MAJOR, _MINOR):
        part = ctypes.c_int()
        if cuda.cuDeviceGetAttribute(ctypes.byref(part), attribute, device):
            return None
        parts.append(str(part.value))
    return Gpu(name=name.value.decode(errors="replace"), compute_capability=".".join(parts))


def _cuda() -> dict[str, str]:
    cuda, version = driver(), ctypes.c_int()
    if cuda is None or cuda.cuDriverGetVersion(ctypes.byref(version)):
        return {}
    # 12040 is CUDA 12.4.
    return {"cuda": f"{version.value // 1000}.{version.value % 1000 // 10}"}

"""Which GPU and driver this machine has, for reports: whatever was built or measured holds there only."""

import ctypes
import subprocess


def gpu_versions() -> dict[str, str]:
    """`gpu`, `compute_capability`, `driver` and `cuda` (the newest that the driver knows); {} without a GPU.

    Of several GPUs the first one that this process may use. Not run on a GPU yet.
    """
    command = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return {}
    return read_query(done.stdout) | _cuda()


def read_query(answer: str) -> dict[str, str]:
    """What nvidia-smi's first line says of the GPU; {} where it says nothing of use."""
    first = answer.strip().splitlines()[0] if answer.strip() else ""
    parts = [part.strip() for part in first.split(",")]
    return dict(zip(("gpu", "compute_capability", "driver"), parts, strict=True)) if len(parts) == 3 else {}


def _cuda() -> dict[str, str]:
    version = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return {}
    # 12040 is CUDA 12.4.
    return {} if failed else {"cuda": f"{version.value // 1000}.{version.value % 1000 // 10}"}

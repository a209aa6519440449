"""The machine that an engine was built and measured on: an engine is portable to its like only."""

import math
import os
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Processor, cores this process may use, and the NVIDIA GPUs and driver where there are any."""
    found: dict[str, Any] = {"processor": processor(), "cores": usable_cores()}
    gpus = [
        line.partition(":")[2].strip()
        for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in path.read_text().splitlines()
        if line.startswith("Model:")
    ]
    if gpus:
        found["gpus"] = gpus
        found["driver"] = _driver()
    return found


def usable_cores() -> int:
    """The cores that this process may use: those it is bound to, and no more than its control group has."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(cores, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or "max"
        return cores


def has_gpu() -> bool:
    """Whether an NVIDIA driver shows a GPU to this process."""
    return Path("/dev/nvidiactl").exists() and any(Path("/dev").glob("nvidia[0-9]*"))


def processor() -> str:
    """The processor's name and what of its abilities decides which kernels run."""
    name, flags = _cpuinfo()
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(wide)})" if wide else name


def instructions() -> frozenset[str]:
    """The processor's abilities, as Linux spells them (avx512_bf16)."""
    return _cpuinfo()[1]


def _cpuinfo() -> tuple[str, frozenset[str]]:
    """The first processor's name and abilities."""
    name, flags = "unknown", frozenset[str]()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() == "flags":
            flags = frozenset(value.split())
            break
    return name, flags


def _driver() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return "unknown"

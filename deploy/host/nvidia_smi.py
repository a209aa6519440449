"""The GPUs as nvidia-smi reports them: it comes with the driver, and with it into every GPU container."""

import csv
import dataclasses
import re
import subprocess

PROGRAM = "nvidia-smi"
_FIELDS = (
    *("index", "name", "compute_cap", "driver_version"),
    *("memory.total", "memory.used", "memory.free", "mig.mode.current"),
)
_SECONDS = 30
_MEBIBYTE = 1 << 20


class NvidiaSmiError(RuntimeError):
    """nvidia-smi is missing or failed; the message is the end of a sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GpuState:
    """A GPU as it is now; None: not reported, as the memory of one that is divided by MIG may be."""

    index: int
    name: str  # "NVIDIA L4"
    compute_capability: tuple[int, int] | None
    driver: str  # "580.65.06"
    total: int | None  # bytes of memory
    used: int | None
    free: int | None
    divided: bool  # by MIG

    def __str__(self) -> str:
        return f"GPU {self.index}, {self.name}"


def read_gpus() -> tuple[GpuState, ...]:
    """Every GPU that this process is shown. NvidiaSmiError where they can't be read."""
    command = [PROGRAM, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except OSError as error:
        raise NvidiaSmiError(f"{PROGRAM} can't be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise NvidiaSmiError(f"{PROGRAM} does not answer within {_SECONDS} seconds") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise NvidiaSmiError(f"{PROGRAM} fails: {lines[0] if lines else f'status {done.returncode}'}")
    return tuple(_parsed(row) for row in csv.reader(done.stdout.splitlines()) if row)


def _parsed(row: list[str]) -> GpuState:
    values = dict(zip(_FIELDS, map(str.strip, row), strict=False))
    try:
        index = int(values["index"])
    except (KeyError, ValueError):
        raise NvidiaSmiError(f"{PROGRAM} prints what can't be read: {', '.join(row)}") from None
    capability = re.fullmatch(r"(\d+)\.(\d+)", values.get("compute_cap", ""))
    return GpuState(
        index=index,
        name=values.get("name", ""),
        compute_capability=(int(capability[1]), int(capability[2])) if capability is not None else None,
        driver=values.get("driver_version", ""),
        total=_bytes(values.get("memory.total", "")),
        used=_bytes(values.get("memory.used", "")),
        free=_bytes(values.get("memory.free", "")),
        divided=values.get("mig.mode.current", "") == "Enabled",
    )


def _bytes(mebibytes: str) -> int | None:
    return int(mebibytes) * _MEBIBYTE if mebibytes.isdecimal() else None

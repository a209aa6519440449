"""A host with a simulated GPU: its nvidia-smi, and a builder whose plans are copies of their networks.

`python -m tests.helpers.simulated_gpu WORDS` is `python -m deploy.prepare WORDS` on such a host, where the
environment says more: SIMULATED_CAPABILITY (8.9), SIMULATED_BUILD_UNTIL names a file that a build waits for.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from build import machine
from build.backends import backend
from build.backends.base import BuildOptions, Engine, Layer, Log, LoweredNetwork, LoweringRequest
from build.backends.tensorrt_tools.gpus import Gpu
from build.lowering.gpu_rounding import rounded
from build.precisions import Precision
from deploy.prepare.__main__ import main

TARGET = "tensorrt"
PLAN = "model.plan"


def capability() -> str:
    return os.environ.get("SIMULATED_CAPABILITY", "8.9")


def nvidia_smi(folder: Path, *rows: str, status: int = 0, message: str = "") -> Path:
    """A program nvidia-smi in a folder, which prints these rows of its --query-gpu and ends with a status."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvidia-smi"
    lines = "\n".join(rows) if not status else message
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\nexit {status}\n")
    program.chmod(0o755)
    return program


def row(
    *, name: str = "NVIDIA L4", capability: str = "8.9", driver: str = "580.65.06", **changes: str
) -> str:
    """A line of nvidia-smi about GPU 0, of 24 GB."""
    values = {"total": "23034", "used": "300", "free": "22734", "mig": "Disabled", **changes}
    return ", ".join(("0", name, capability, driver, *values.values()))


def simulate(replace: Callable[[object, str, Any], None] = setattr) -> None:
    """Puts the simulated GPU into this process; `replace` sets an attribute, as pytest's monkeypatch does."""
    from build.backends.tensorrt_tools import plan_check

    target: Any = backend(TARGET)
    gpu = Gpu(name="NVIDIA Simulated", compute_capability=capability())
    replace(machine, "has_gpu", lambda: True)
    replace(plan_check, "visible_gpus", lambda: (gpu,))
    replace(target, "machine_key", lambda: {"gpu": capability(), TARGET: "11.3.0.99"})
    replace(target, "lower", _lower)
    replace(target, "build", _build)


def _lower(request: LoweringRequest) -> LoweredNetwork:
    return request.unchanged()


def _build(
    lowered: LoweredNetwork, *, precision: Precision, directory: Path, options: BuildOptions, log: Log
) -> Engine:
    path = directory / PLAN
    shutil.copyfile(lowered.network, path)
    log("  the simulated builder is at work")
    until, deadline = os.environ.get("SIMULATED_BUILD_UNTIL"), time.monotonic() + 300
    while until and not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return Engine(
        files={PLAN: path},
        layers=(Layer(name="head", kind="MatMul", precision=precision),),
        layers_from="engine inspector",
        versions={TARGET: "11.3.0.99", "gpu": "NVIDIA Simulated", "compute_capability": capability()},
        settings=_SETTINGS,
        infer=rounded(lowered.network),
    )


_SETTINGS: Mapping[str, Any] = {"profile": {"min": 1, "opt": 8, "max": 32}}


def run(words: Sequence[str]) -> int:
    """`deploy.prepare` with these words on the simulated host."""
    simulate()
    return main(words)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

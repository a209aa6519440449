"""TensorRT's engine for the GPU that it is built on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from build.backends.tensorrt_tools.module import tensorrt_module
from build.backends.tensorrt_tools.plan_backend import PlanBackend
from build.backends.tensorrt_tools.plan_check import check_plan
from build.backends.tensorrt_tools.plan_settings import PLAN_FILE
from build.errors import BuildError

OLDEST = (10, 12)  # has what strong typing needs, and nothing that version 11 took away


class TensorRt(PlanBackend):
    """TensorRT. A plan runs on the kind of GPU that it was built on, with the version that built it."""

    name = "tensorrt"
    title = "TensorRT on the GPU"
    needs_gpu = True
    is_default = True
    caches_timings = True

    def load_module(self) -> Any:
        """TensorRT's module."""
        try:
            trt = tensorrt_module()
        except (ImportError, OSError) as error:  # OSError: a library of its own is missing
            raise BuildError(
                f"TensorRT can't be loaded ({error}), and nothing else was built: build inside the serving "
                "container (deploy/container), or run `pip install tensorrt` where a GPU is"
            ) from None
        version = tuple(int(part) for part in str(trt.__version__).split(".")[:2])
        if version < OLDEST:
            raise BuildError(
                f"TensorRT {trt.__version__} is too old: install {'.'.join(map(str, OLDEST))} or newer "
                "(a newer serving container has it)"
            )
        return trt

    def check_gpus(self, versions: Mapping[str, str]) -> None:
        """The plan's GPU must be known, so that it can be checked where the plan is served."""
        if not versions:
            raise BuildError(
                "the driver does not show which GPU this process may use, so where the plan runs could not "
                "be checked later: see that CUDA_VISIBLE_DEVICES names one and that nvidia-smi works here"
            )

    def unopened(self, path: Path, reason: str) -> NoReturn:
        """A fault: it was built here."""
        raise BuildError(f"TensorRT can't open the engine that it built ({reason})")

    def check_machine(self, directory: Path, manifest: Mapping[str, Any], *, gpus: Sequence[int]) -> None:
        """Whether the plan fits these GPUs and the installed TensorRT."""
        check_plan(directory / PLAN_FILE, manifest, gpus=gpus)


BACKEND = TensorRt()

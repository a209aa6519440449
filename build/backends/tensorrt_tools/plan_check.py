"""Whether a plan can run on this machine: a plan fits one TensorRT and one kind of GPU."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from build.backends.tensorrt_tools.gpus import Gpu, visible_gpus
from build.backends.tensorrt_tools.module import tensorrt_version
from build.errors import BuildError

_AGAIN = "build it again on this machine with `--target tensorrt`"


def check_plan(plan: Path, manifest: Mapping[str, Any], *, gpus: Sequence[int] = ()) -> None:
    """Raises BuildError where a plan can't run here: a plan fits one TensorRT and one kind of GPU.

    `manifest` is the engine's, with what it was built with in `versions`; `gpus` are the numbers of
    those that will serve it (empty: every one). The installed TensorRT is compared where there is one;
    the server's own, in its container, can't be seen from outside.
    """
    versions = manifest.get("versions", {})
    if missing := [key for key in ("tensorrt", "gpu", "compute_capability") if not versions.get(key)]:
        raise BuildError(f"nothing says for which {' and '.join(missing)} {plan} was built: {_AGAIN}")
    built = f"{plan} was built by TensorRT {versions['tensorrt']} for {versions['gpu']}"
    visible = visible_gpus()
    if not visible:
        raise BuildError(
            f"{built}, and this process sees no GPU: see that nvidia-smi works here (a container wants "
            "`--gpus all`), or serve a repository for the CPU"
        )
    if gone := [number for number in gpus if number >= len(visible)]:
        raise BuildError(f"there is no GPU {gone[0]} here: choose from {_numbered(enumerate(visible))}")
    capability = versions["compute_capability"]
    able = {number: gpu for number, gpu in enumerate(visible) if gpu.compute_capability == capability}
    others = {n: gpu for n, gpu in enumerate(visible) if n not in able and (n in gpus or not gpus)}
    if others:
        choose = f", or serve it with `--gpus {','.join(map(str, able))}`" if able else ""
        raise BuildError(
            f"{built} (compute capability {capability}), and it would run on {_numbered(others.items())}: "
            f"{_AGAIN}{choose}"
        )
    installed = tensorrt_version(versions["tensorrt"])
    if installed not in (None, versions["tensorrt"]):
        raise BuildError(f"{built}, and here is TensorRT {installed}: {_AGAIN}")


def _numbered(gpus: Iterable[tuple[int, Gpu]]) -> str:
    return ", ".join(f"GPU {number}, {gpu}" for number, gpu in gpus)

"""A plan is refused where another TensorRT or another GPU would run it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from build.backends.tensorrt_tools import plan_check
from build.backends.tensorrt_tools.gpus import Gpu
from build.errors import BuildError

PLAN = Path("model.plan")
BUILT = {"versions": {"tensorrt": "10.13.2", "gpu": "NVIDIA L4", "compute_capability": "8.9"}}


def gpus(*told: str) -> tuple[Gpu, ...]:
    """GPUs from "name capability"."""
    return tuple(Gpu(name=text.rpartition(" ")[0], compute_capability=text.split()[-1]) for text in told)


@pytest.mark.parametrize(
    ("here", "installed", "chosen", "sentence"),
    [
        (
            [],
            None,
            (),
            "model.plan was built by TensorRT 10.13.2 for NVIDIA L4, and this process sees no",
        ),
        (
            ["NVIDIA T4 7.5"],
            "10.13.2",
            (),
            r"\(compute capability 8.9\), and it would run on GPU 0, NVIDIA T4 \(7.5\): build [^,]+$",
        ),
        (["NVIDIA L4 8.9"], "11.0", (), "here is TensorRT 11.0: build it again"),
        (["NVIDIA L40 8.9"], "10.13.2", (), None),
        (["NVIDIA L4 8.9"], None, (), None),
        (
            ["NVIDIA L4 8.9", "NVIDIA T4 7.5", "NVIDIA L4 8.9"],
            None,
            (),
            r"it would run on GPU 1, NVIDIA T4 \(7.5\): build .*, or serve it with `--gpus 0,2`",
        ),
        (["NVIDIA L4 8.9", "NVIDIA T4 7.5"], None, (1,), r"run on GPU 1, NVIDIA T4 \(7.5\)"),
        (["NVIDIA T4 7.5", "NVIDIA L4 8.9"], None, (1,), None),
        (["NVIDIA L4 8.9"], None, (0, 1), r"there is no GPU 1 here: choose from GPU 0, NVIDIA L4 \(8.9\)"),
    ],
)
def test_a_plan_of_another_tensorrt_or_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    here: list[str],
    installed: str | None,
    chosen: tuple[int, ...],
    sentence: str | None,
) -> None:
    def module(name: str) -> Any:
        if installed is None:
            raise ImportError(name)
        return SimpleNamespace(__version__=installed)

    monkeypatch.setattr(plan_check, "visible_gpus", lambda: gpus(*here))
    monkeypatch.setattr("importlib.import_module", module)
    if sentence is None:
        plan_check.check_plan(PLAN, BUILT, gpus=chosen)
        return
    with pytest.raises(BuildError, match=sentence):
        plan_check.check_plan(PLAN, BUILT, gpus=chosen)


@pytest.mark.parametrize(
    ("report", "missing"),
    [
        ({"versions": {"tensorrt": "10.13.2"}}, "gpu and compute_capability"),
        ({"versions": {"gpu": "NVIDIA L4", "compute_capability": "8.9"}}, "tensorrt"),
        ({}, "tensorrt and gpu and compute_capability"),
    ],
)
def test_a_plan_of_which_nobody_knows_where_it_was_built_is_refused(
    monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], missing: str
) -> None:
    monkeypatch.setattr(plan_check, "visible_gpus", lambda: gpus("NVIDIA L4 8.9"))
    with pytest.raises(
        BuildError, match=f"nothing says for which {missing} model.plan was built: build it again"
    ):
        plan_check.check_plan(PLAN, report)

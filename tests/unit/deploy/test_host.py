"""What nvidia-smi prints is read as it is, and a driver is held to the image's CUDA."""

import os
from pathlib import Path

import pytest

from deploy.host.cuda import driver_fault, needed_cuda
from deploy.host.nvidia_smi import NvidiaSmiError, read_gpus
from tests.helpers.simulated_gpu import nvidia_smi, row

MEBIBYTE = 1 << 20


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_each_gpu_is_read_with_its_memory(programs: Path) -> None:
    nvidia_smi(programs, row(), row(name="NVIDIA A100-SXM4-80GB", capability="8.0").replace("0", "1", 1))
    first, second = read_gpus()
    assert (first.name, first.compute_capability, first.driver) == ("NVIDIA L4", (8, 9), "580.65.06")
    assert (first.total, first.used, first.free) == (
        23034 * MEBIBYTE,
        300 * MEBIBYTE,
        22734 * MEBIBYTE,
    )
    assert str(second) == "GPU 1, NVIDIA A100-SXM4-80GB"
    assert not first.divided


def test_what_a_gpu_divided_by_mig_does_not_report_is_not_known(programs: Path) -> None:
    unknown = "[Insufficient Permissions]"
    nvidia_smi(programs, row(total=unknown, used=unknown, free=unknown, mig="Enabled", capability="[N/A]"))
    (gpu,) = read_gpus()
    assert (gpu.total, gpu.used, gpu.free, gpu.compute_capability) == (None, None, None, None)
    assert gpu.divided


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (9, "No devices were found", "nvidia-smi fails: No devices were found"),
        (2, "", "nvidia-smi fails: status 2"),
        (0, "something else", "prints what can't be read: something else"),
    ],
)
def test_a_failing_nvidia_smi_is_named_by_its_own_words(
    programs: Path, status: int, message: str, words: str
) -> None:
    nvidia_smi(programs, *([message] if not status else []), status=status, message=message)
    with pytest.raises(NvidiaSmiError, match=words):
        read_gpus()


@pytest.mark.parametrize(
    ("driver", "needed", "library", "fits"),
    [
        ("580.65.06", 13, "13.0", True),
        ("615.61", 13, None, True),
        ("570.86.15", 13, "12.8", False),
        ("570.86.15", 13, None, False),
        ("550.54.15", 13, "13.1", True),  # by the forward-compatibility package
        ("570.86.15", 12, "12.8", True),  # of no known CUDA: nothing is known against it
        ("", 13, None, True),
    ],
)
def test_a_driver_runs_the_cuda_of_its_branch(
    driver: str, needed: int, library: str | None, fits: bool
) -> None:
    fault = driver_fault(driver, needed=needed, library=library)
    assert (fault is None) is fits
    assert fits or f"is {driver}, and CUDA {needed} needs 580 or newer" in str(fault)


def test_the_cuda_is_the_image_s_else_that_of_the_image_that_is_deployed() -> None:
    assert needed_cuda({"CUDA_VERSION": "12.8.1"}) == 12
    assert needed_cuda({}) == 13

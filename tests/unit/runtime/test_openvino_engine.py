"""The engine runs at the precision that was asked for, on whichever cores are free."""

import subprocess
import sys
from pathlib import Path

import pytest

from build.files import ROOT
from runtime.engines.openvino import OpenVinoEngine
from tests.helpers.networks import standin_network as standin


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return standin.write(tmp_path / "x.onnx", standin.contract_of("age"))


def test_the_engine_is_pinned_to_no_core(network: Path) -> None:
    """Engine and detector are two processes: pinned, both would take the same cores."""
    engine = OpenVinoEngine(network, precision="fp32")
    assert engine._compiled.get_property("ENABLE_CPU_PINNING") is False


def test_an_unknown_precision_and_a_missing_file_are_told(network: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'f8' is not known; use one of fp32"):
        OpenVinoEngine(network, precision="f8")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"gone\.onnx; build or copy it"):
        OpenVinoEngine(tmp_path / "gone.onnx", precision="fp32")


_CTRL_C = """
import signal, sys, threading
from runtime.engines.openvino import OpenVinoEngine

engines = [OpenVinoEngine(sys.argv[1], precision="fp32")]
thread = threading.Thread(target=engines.clear)
thread.start()
thread.join()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_no_crash_after_another_thread_dropped_the_last_engine(network: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CTRL_C, str(network)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr

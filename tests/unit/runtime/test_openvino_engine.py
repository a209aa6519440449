"""The engine runs at the precision that was asked for, on whichever cores are free."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from build.files import ROOT
from runtime.engines import openvino
from runtime.engines.openvino import BATCHES, OpenVinoEngine, batch_parts, batches_for
from tests.helpers.networks import standin_network as standin


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return standin.write(tmp_path / "x.onnx", standin.contract_of("age"))


def test_the_engine_is_pinned_to_no_core(network: Path) -> None:
    """Engine and detector are two processes: pinned, both would take the same cores."""
    engine = OpenVinoEngine(network, precision="fp32")
    assert engine._compiled_for(1).get_property("ENABLE_CPU_PINNING") is False


def test_an_unknown_precision_and_a_missing_file_are_told(network: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'f8' is not known; use one of fp32"):
        OpenVinoEngine(network, precision="f8")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"gone\.onnx; build or copy it"):
        OpenVinoEngine(tmp_path / "gone.onnx", precision="fp32")


_CTRL_C = """
import signal, sys, threading
from runtime.engines import openvino
from runtime.engines.openvino import BATCHES, OpenVinoEngine, batch_parts, batches_for

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


@pytest.mark.parametrize("streams", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 13, 32])
def test_a_batch_that_is_cut_into_parts_gets_the_answers_of_its_rows_in_order(
    network: Path, rows: int, streams: int
) -> None:
    random = np.random.default_rng(rows)
    pixels = random.integers(0, 256, (rows, standin.SIZE, standin.SIZE, 3), dtype=np.uint8)
    whole = OpenVinoEngine(network, precision="fp32").infer({"pixels": pixels})
    cut = OpenVinoEngine(network, precision="fp32", streams=streams, batches=(1, 2, 4))
    answers = cut.infer({"pixels": pixels})
    for name, values in whole.items():
        np.testing.assert_allclose(answers[name], values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("streams", "batches"), [(1, ()), (2, (1, 2))])
def test_answers_stay_what_they_were_while_later_and_concurrent_calls_compute(
    network: Path, streams: int, batches: tuple[int, ...]
) -> None:
    """Calls share the inference requests, and with them the memory of their answers."""
    engine = OpenVinoEngine(network, precision="fp32", streams=streams, batches=batches)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (3, standin.SIZE, standin.SIZE, 3), np.uint8) for _ in range(24)]
    expected = OpenVinoEngine(network, precision="fp32").infer({"pixels": np.concatenate(pictures)})
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda pixels: engine.infer({"pixels": pixels}), pictures))
    for name, values in expected.items():
        np.testing.assert_allclose(np.concatenate([answer[name] for answer in answers]), values, rtol=1e-5)


def test_a_call_that_fails_is_followed_by_ones_that_do_not(network: Path) -> None:
    engine = OpenVinoEngine(network, precision="fp32", batches=(1, 2))
    pixels = np.zeros((3, standin.SIZE, standin.SIZE, 3), np.uint8)
    before = engine.infer({"pixels": pixels})
    with pytest.raises(RuntimeError):
        engine.infer({"pixels": pixels}, outputs=["none"])
    with pytest.raises(RuntimeError):
        engine.infer({"pixels": pixels[:, 1:]})
    after = engine.infer({"pixels": pixels})
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("rows", "streams", "parts"),
    [
        (1, 1, [1]),
        (7, 1, [4, 2, 1]),
        (32, 1, [8, 8, 8, 8]),
        (8, 2, [4, 4]),
        (5, 2, [2, 2, 1]),
        (1, 4, [1]),
        (3, 4, [1, 1, 1]),
        (32, 4, [8, 8, 8, 8]),
    ],
)
def test_the_parts_of_a_batch_are_as_large_as_keeps_every_stream_busy(
    rows: int, streams: int, parts: list[int]
) -> None:
    assert batch_parts(rows, streams=streams, sizes=BATCHES) == parts


@pytest.mark.parametrize(
    ("rows", "streams", "parts"), [(5, 1, [5]), (5, 2, [2, 3]), (1, 2, [1]), (6, 3, [2, 2, 2])]
)
def test_without_sizes_a_batch_is_divided_evenly(rows: int, streams: int, parts: list[int]) -> None:
    assert sorted(batch_parts(rows, streams=streams, sizes=())) == parts


def test_sizes_that_can_t_make_up_every_batch_are_refused(network: Path) -> None:
    with pytest.raises(ValueError, match="Batches of 2 and more can't make up every batch; add 1"):
        OpenVinoEngine(network, precision="fp32", batches=(4, 2))


def test_a_large_network_is_compiled_once(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size would have a copy of its weights."""
    assert batches_for(network) == BATCHES
    monkeypatch.setattr(openvino, "LARGEST_FILE", 1)
    assert batches_for(network) == ()

"""`make faults` in short, with faults that no other test does: nothing is lost, and all gets whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.benchmark.faults.__main__ import all_faults, chosen
from deploy.benchmark.faults.fault import Fault
from deploy.benchmark.faults.stage import Stage
from deploy.benchmark.faults.table import table
from deploy.benchmark.load import End
from tests.helpers.paths import ASTRONAUT

FAULTS = (
    "Triton's guard killed",
    pytest.param("supervisor frozen", marks=pytest.mark.heavy),
    pytest.param("engine corrupted while it is served, Triton killed, rolled back", marks=pytest.mark.heavy),
    pytest.param("Ctrl-C three times", marks=pytest.mark.heavy),
)


@pytest.fixture(scope="module")
def stage(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    log = tmp_path_factory.mktemp("stage") / "gateway.log"
    with (
        log.open("w") as sink,
        Stage(small.resolve(), photo=ASTRONAUT.read_bytes(), log=sink, quick=True) as stage,
    ):
        yield stage


def test_a_lost_request_is_a_bad_row(stage: Stage) -> None:
    """First, as it leaves its gateway to the next fault, and the last fault leaves none."""
    row = stage.run(Fault("a request is lost", lambda scene: scene.count(End.LOST, code="UNKNOWN")))
    assert row.bad
    assert row.summary.lost == 1


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_nobody_an_answer(stage: Stage, small: Path, name: str) -> None:
    (fault,) = chosen(all_faults(small, quick=True), [name])
    row = stage.run(fault)
    print(table([row]))
    assert not row.bad, (row.remark, row.summary)
    assert row.summary.sent

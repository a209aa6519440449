"""What `deploy.benchmark.bulk` makes of its passes, and whose processor time it counts."""

import os
import subprocess
import sys

import pytest

from deploy.benchmark.bulk.__main__ import main, summary
from deploy.benchmark.bulk.spent import Spent
from deploy.benchmark.bulk.ways import LOOP, WAYS, Pass


def test_the_start_is_no_part_of_the_rate_of_what_runs() -> None:
    """Ten seconds until it runs, then ten photos a second at 50 core-ms each."""
    halves = [Pass(seconds=10 + 5, core_seconds=4 + 2.5, photos=50)]
    wholes = [Pass(seconds=10 + 10, core_seconds=4 + 5.0, photos=100)]
    found = summary(halves, wholes)
    assert found["photos_per_second"] == pytest.approx(5)
    assert found["running_photos_per_second"] == pytest.approx(10)
    assert found["running_core_ms_a_photo"] == pytest.approx(50)
    assert found["core_ms_a_photo"] == pytest.approx(90)
    assert found["seconds_until_it_runs"] == pytest.approx(10)


def test_time_of_processes_that_ended_is_counted() -> None:
    busy = "import time\nwhile time.process_time() < 0.6: pass"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL)
    with Spent(process.pid) as spent:
        process.wait()
    assert spent.seconds > 0
    assert os.getpid() not in spent.by_process
    assert len(spent.by_process) == 2


def test_everything_is_compared_with_a_way_that_there_is() -> None:
    assert LOOP in WAYS


def test_an_unknown_way_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--ways", "by hand"])
    assert "by hand" in capsys.readouterr().err

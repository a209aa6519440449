"""`qface bench` against a server with canned answers: what it states, also when it ends early."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from qface_client.cli import main
from qface_client.cli.bench.rounds import Call, Round, figures
from tests.helpers.described_server import DescribedServer
from tests.helpers.fake_v2_server import FakeServer, refuse, running

Capsys = pytest.CaptureFixture[str]
SPLIT = "total;dur=0.25, queue;dur=0.05, triton;dur=0.2"


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8 no server here looks at it")
    return str(path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qface_client.cli.bench.rounds.WARM_SECONDS", 0.0)
    monkeypatch.delenv("QFACE_URL", raising=False)


def bench(fake: FakeServer, *arguments: str) -> int:
    with running(fake) as url:
        return main(["bench", "--url", url, "--seconds", "0.1", *arguments])


def measured(capsys: Capsys) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_overhead_is_what_the_servers_own_time_leaves() -> None:
    calls = [Call(ms=3.0, timings={"total": 2.0}), Call(ms=5.0, timings={"total": 3.5})]
    one = Round(clients=1, seconds=2.0, core_seconds=0.004, calls=calls)
    assert one.overheads == [1.0, 1.5]
    assert (one.rate, one.core_ms) == (1.0, 2.0)


def test_times_that_not_every_answer_states_are_none() -> None:
    calls = [Call(ms=3.0, timings={"total": 2.0}), Call(ms=5.0, timings={})]
    one = Round(clients=1, seconds=1.0, core_seconds=0.0, calls=calls)
    assert one.timings == {}
    assert one.overheads == []


def test_a_percentile_of_few_calls_is_not_firm() -> None:
    assert [figure.firm for figure in figures(list(range(50))).values()] == [True, True, False]
    assert all(figure.firm for figure in figures(list(range(500))).values())


def test_a_report_for_programs(capsys: Capsys, photo: str) -> None:
    assert bench(DescribedServer(timings=SPLIT), photo, photo, "--clients", "1,3", "--json") == 0
    found = measured(capsys)
    one, three = found["rounds"]
    assert (one["clients"], three["clients"]) == (1, 3)
    assert one["calls"] >= 1
    assert one["server_ms"]["total"]["p50"] == 0.25
    assert one["overhead_ms"]["p50"] == pytest.approx(one["call_ms"]["p50"] - 0.25, abs=1e-3)
    assert found["server"] == "triton 2.99.0"
    assert found["contract"]
    assert [each["faces"] for each in found["photos"]] == [1, 1]
    assert found["empty_ms"]["p50"] > 0
    assert found["ended_early"] is None


def test_a_report_for_people(capsys: Capsys, photo: str) -> None:
    assert bench(DescribedServer(timings=SPLIT), photo, "--clients", "2") == 0
    text = capsys.readouterr().out
    assert "client overhead" in text
    assert "core-ms a call" in text
    assert "callers at once" in text


def test_a_server_without_timings_gives_its_counted_mean(capsys: Capsys, photo: str) -> None:
    assert bench(DescribedServer(), photo, "--clients", "1") == 0
    text = capsys.readouterr().out
    assert "mean that its model counted is 10.0 ms" in text
    assert "client overhead" not in text


def test_a_server_that_states_nothing_leaves_the_overhead_unknown(
    capsys: Capsys, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: DescribedServer, request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "the key may not do this")

    monkeypatch.setattr(DescribedServer, "ModelStatistics", refused)
    assert bench(DescribedServer(), photo, "--clients", "1") == 0
    assert "share of it is unknown" in capsys.readouterr().out


def test_a_photo_without_a_face_is_noted(capsys: Capsys, photo: str) -> None:
    fake = DescribedServer(timings=SPLIT)
    fake.faces = 0
    assert bench(fake, photo, "--clients", "1") == 0
    assert "no face in any of them" in capsys.readouterr().out


def test_what_was_measured_before_a_failure_is_printed(capsys: Capsys, photo: str) -> None:
    fake = DescribedServer(timings=SPLIT)
    admit = fake.before_infer

    def fail_later(number: int, context: grpc.ServicerContext) -> None:
        if number > 8:
            context.abort(grpc.StatusCode.INTERNAL, "the engine is out of order")
        admit(number, context)

    fake.before_infer = fail_later
    assert bench(fake, photo, "--clients", "2", "--json") == 1
    found = measured(capsys)
    assert "the engine is out of order" in found["ended_early"]
    assert not found["rounds"][-1]["ended"]


def test_a_server_that_fails_at_once_is_an_error(capsys: Capsys, photo: str) -> None:
    fake = DescribedServer()
    fake.before_infer = refuse(99, grpc.StatusCode.INTERNAL, "the engine is out of order")
    assert bench(fake, photo) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "the engine is out of order" in captured.err


def test_ctrl_c_prints_what_was_measured_and_leaves_no_caller(capsys: Capsys, photo: str) -> None:
    fake = DescribedServer(timings=SPLIT)
    admit = fake.before_infer

    def interrupt(number: int, context: grpc.ServicerContext) -> None:
        if number == 40:
            os.kill(os.getpid(), signal.SIGINT)  # as a terminal: of the process, not of a thread
        admit(number, context)

    fake.before_infer = interrupt
    before = set(threading.enumerate())
    with running(fake) as url:
        assert main(["bench", photo, "--url", url, "--seconds", "60", "--clients", "1", "--json"]) == 130
        callers = [each for each in set(threading.enumerate()) - before if each.name[-1].isdigit()]
        for each in callers:
            if not each.name.startswith("ThreadPool"):
                each.join(5)
                assert not each.is_alive()
    found = measured(capsys)
    assert found["ended_early"] == "interrupted"
    assert found["rounds"][0]["calls"] > 20
    assert not found["rounds"][0]["ended"]


@pytest.mark.parametrize("clients", ["0", "1000", "four", ""])
def test_a_number_of_callers_that_is_none(capsys: Capsys, photo: str, clients: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", photo, "--clients", clients])
    assert ended.value.code == 2
    assert "numbers of callers from 1 to 256" in capsys.readouterr().err


def test_a_photo_that_can_not_be_read(capsys: Capsys) -> None:
    assert main(["bench", "/none.jpg"]) == 2
    assert "/none.jpg: can't be read" in capsys.readouterr().err

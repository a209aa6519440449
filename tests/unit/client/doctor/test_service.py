"""What a server answers over gRPC: readiness, keys, contracts, and where the time of a picture went."""

from pathlib import Path

import grpc
import pytest

from qface_client.cli.doctor import service
from tests.helpers.client_doctor import doctor
from tests.helpers.described_server import DescribedServer, health
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, refuse, running

Capsys = pytest.CaptureFixture[str]
SPLIT = "total;dur=0.6, queue;dur=0.1, triton;dur=0.5"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QFACE_API_KEY", "QFACE_API_KEY_FILE", "QFACE_TLS", "QFACE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_all_is_well(capsys: Capsys) -> None:
    with running(DescribedServer(timings=SPLIT), health=health()) as url:
        report = doctor(capsys, url)
    assert report.status == 0
    assert {each["mark"] for each in report.findings} == {"ok"}
    assert report.of("server")["sentence"] == "triton 2.99.0"
    assert "a plain picture, 5 times, 1 face" in report.of("canary")["sentence"]
    assert "queue 0.1, compute 0.5" in report.of("canary")["sentence"]


def test_a_server_that_is_not_ready_gets_no_pictures(capsys: Capsys) -> None:
    fake = DescribedServer()
    with running(fake, health=health(serving=False)) as url:
        report = doctor(capsys, url)
    assert report.wrong == ["ready"]
    assert report.of("contract")["mark"] == "ok"
    assert report.of("canary") == {
        "check": "canary", "mark": "skipped", "sentence": "ready is wrong", "advice": "", "server": "",
    }  # fmt: skip
    assert fake.infers == 0


def test_a_server_without_health_protocol_is_noted(capsys: Capsys) -> None:
    with running(DescribedServer()) as url:
        report = doctor(capsys, url)
    assert report.status == 0
    assert report.of("ready")["mark"] == "note"


def test_what_is_no_triton(capsys: Capsys) -> None:
    with running(FakeServer(contract_of(classes("mood", ["glad"]))), health=health()) as url:
        report = doctor(capsys, url)
    assert report.wrong == ["server"]
    assert "no Triton" in report.of("server")["sentence"]
    assert report.skipped == ["contract", "canary"]


def test_a_triton_of_other_models(capsys: Capsys) -> None:
    fake = DescribedServer()
    fake.before_read = refuse(9, grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'photo_analysis'")
    with running(fake, health=health()) as url:
        report = doctor(capsys, url)
    assert report.wrong == ["contract"]
    assert "is it a Q-Face repository" in report.of("contract")["sentence"]


def test_keys(capsys: Capsys, tmp_path: Path) -> None:
    file = tmp_path / "key"
    with running(DescribedServer(key="right-and-secret"), health=health()) as url:
        missing = doctor(capsys, url)
        file.write_text("wrong-and-secret")
        file.chmod(0o600)
        wrong = doctor(capsys, url, "--api-key-file", str(file))
        file.write_text("right-and-secret")
        file.chmod(0o644)
        right = doctor(capsys, url, "--api-key-file", str(file))
    assert missing.wrong == ["server"]
    assert "does not know who calls" in missing.of("server")["sentence"]
    assert "--api-key-file" in missing.of("server")["advice"]
    assert wrong.of("key")["mark"] == "ok"
    assert wrong.wrong == ["server"]
    assert "does not permit" in wrong.of("server")["sentence"]
    assert right.status == 0
    assert "chmod 600" in right.of("key")["advice"]
    assert "secret" not in str([missing, wrong, right])


def test_keys_that_can_not_be_sent(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = doctor(capsys, "localhost:1", "--api-key-file", str(tmp_path / "none"))
    assert report.wrong == ["key"]
    monkeypatch.setenv("QFACE_API_KEY", "very-secret")
    report = doctor(capsys, "faces.example:8001")
    assert report.wrong == ["key"]
    assert "unencrypted" in report.of("key")["sentence"]
    assert "very-secret" not in str(report)


def test_contracts_that_this_client_reads_in_part_or_not_at_all(capsys: Capsys) -> None:
    fake = DescribedServer(
        contract_of(classes("mood", ["glad"]), {**classes("aura", ["red"]), "kind": "glow"})
    )
    with running(fake, health=health()) as url:
        part = doctor(capsys, url)
        other = doctor(capsys, url, "--expect-contract", "0123456789abcdef")
        fake.config = {**fake.contract, "version": 99}
        newer = doctor(capsys, url)
    assert part.of("contract")["mark"] == "note"
    assert "aura" in part.of("contract")["sentence"]
    assert other.wrong == ["contract"]
    assert "not 0123456789abcdef" in other.of("contract")["sentence"]
    assert newer.wrong == ["contract"]
    assert "upgrade qface-client" in newer.of("contract")["sentence"]


def test_a_picture_that_is_not_answered(capsys: Capsys, tmp_path: Path) -> None:
    fake = DescribedServer()
    fake.before_infer = refuse(99, grpc.StatusCode.INTERNAL, "the engine is out of order")
    with running(fake, health=health()) as url:
        report = doctor(capsys, url)
        photo = doctor(capsys, url, "--photo", str(tmp_path / "none.jpg"))
    assert report.wrong == ["canary"]
    assert "the engine is out of order" in report.of("canary")["sentence"]
    assert "none.jpg can't be read" in photo.of("canary")["sentence"]


def test_a_key_that_may_ask_for_some_tasks_only(capsys: Capsys) -> None:
    fake = DescribedServer(contract_of(classes("mood", ["glad"]), classes("size", ["large"])))

    def permit(number: int, context: grpc.ServicerContext) -> None:
        if any(name.startswith("size") for name in fake.asked):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "the key may not ask for size")

    fake.before_infer = permit
    with running(fake, health=health()) as url:
        every = doctor(capsys, url)
        some = doctor(capsys, url, "--tasks", "mood")
        refused = doctor(capsys, url, "--tasks", "mood,size")
    assert every.wrong == refused.wrong == ["canary"]
    assert "--tasks A,B" in every.of("canary")["advice"]
    assert "--tasks" not in refused.of("canary")["advice"]
    assert some.status == 0


def test_where_the_time_goes_is_said_where_it_is_remarkable(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = DescribedServer(timings="total;dur=60000, queue;dur=59000")
    with running(fake, health=health()) as url:
        busy = doctor(capsys, url).of("canary")
        fake.timings = ""
        bare = doctor(capsys, url).of("canary")
        monkeypatch.setattr(service, "_LONG_MS", 0.0)
        far = doctor(capsys, url).of("canary")
        monkeypatch.setattr(service, "_LONG_MS", 1e6)
        monkeypatch.setattr(service, "_SLOW_MS", 0.0)
        slow = doctor(capsys, url).of("canary")
    assert busy["mark"] == "note"
    assert "requests wait for others" in busy["advice"]
    assert "does not state its time" in bare["sentence"]
    assert "the way there and back is long" in far["advice"]
    assert slow["mark"] == "note"
    assert "that is slow" in slow["advice"]


def test_each_of_several_servers_is_looked_at(capsys: Capsys) -> None:
    other = contract_of(classes("mood", ["sad", "glad"]))
    with (
        running(DescribedServer(), health=health()) as one,
        running(DescribedServer(other), health=health(serving=False)) as two,
    ):
        report = doctor(capsys, f"{one},{two}")
    assert report.status == 1
    assert report.of("ready", server=one)["mark"] == "ok"
    assert report.of("ready", server=two)["mark"] == "wrong"
    assert "by different ones" in report.of("contract")["sentence"]

"""The client's log: silent until it is configured, a line for what an operator wants, and nothing private."""

import asyncio
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest

from qface_client import AsyncFaceClient, ConnectError, FaceClient, InvalidInput, ServerBusy
from qface_client._exchange.outage import QUIET_SECONDS, Outage
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, refuse, running
from tests.helpers.paths import ROOT

MOOD = classes("mood", ["gladdest", "saddest"])
KEY = "a-secret-key-of-a-shop"
PIXELS = np.frombuffer(b"these-pixels-spell-it-out-" * 24, np.uint8)[:600].reshape(10, 20, 3)
PHOTO = b"\xff\xd8\xffa-picture-of-somebody-in-particular"
BUSY = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(MOOD))


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == ("qface_client", level)
    ]


def test_a_retry_is_a_line_with_its_reason_and_its_pause_for_who_looks_closely(
    fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="qface_client")
    fake.before_infer = refuse(1, BUSY, "too many\r\nrequests\x1b[2J", pushback="1")
    with running(fake) as url, FaceClient(url) as client:
        client.analyze(PHOTO)
    contract, retry = lines(caplog, logging.DEBUG)
    assert contract == f"photo_analysis: its contract {fake.contract['hash']} was read"
    expected = r"photo_analysis: try 2 in \d\.\d\d s after ServerBusy: .*\(too many requests\?\[2J\).*"
    assert re.fullmatch(expected, retry)


def test_a_call_of_several_tries_is_one_line_with_its_method_model_and_file(
    fake: FakeServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, logger="qface_client")
    file = tmp_path / "of\nsomebody.jpg"
    file.write_bytes(PHOTO)
    fake.before_infer = refuse(2, BUSY, "too many requests", pushback="1")
    with running(fake) as url, FaceClient(url) as client:
        client.analyze(file)
        client.analyze(file)
        with file.open("rb") as opened:
            fake.before_infer = refuse(fake.infers + 1, BUSY, "too many requests", pushback="1")
            client.analyze(opened)
        fake.before_infer = refuse(fake.infers + 1, BUSY, "too many requests", pushback="1")
        client.analyze_crop(PIXELS)  # which uses another method
    several, opened_file, crop = lines(caplog, logging.INFO)
    named = re.escape(f"{tmp_path}/of somebody.jpg")
    answered = r"answered after {} tries in \d\.\d\d s"
    assert re.fullmatch(rf"analyze of {named}: photo_analysis {answered.format(3)}", several)
    assert re.fullmatch(rf"analyze of {named}: photo_analysis {answered.format(2)}", opened_file)
    assert re.fullmatch(rf"analyze_crop: crop_analysis {answered.format(2)}", crop)


def test_a_call_that_gives_up_after_several_tries_is_one_line_with_its_error(
    fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="qface_client")
    fake.before_infer = refuse(99, BUSY, "too many requests", pushback="1")

    async def once(url: str) -> None:
        async with AsyncFaceClient(url, timeout=0.4) as client:
            with pytest.raises(ServerBusy):
                await client.analyze(PHOTO)

    with running(fake) as url:
        asyncio.run(once(url))
    (line,) = lines(caplog, logging.INFO)
    assert re.fullmatch(
        r"analyze: photo_analysis failed after \d+ tries in 0\.\d\d s, ServerBusy: .*too many requests.*",
        line,
    )


def test_a_server_that_is_lost_and_comes_back_has_a_line_each_and_no_more_of_them_than_one_can_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 100.0
    outage = Outage("faces:8001", clock=lambda: now)
    for _ in range(3):
        outage.answered()
        for _ in range(5):
            outage.lost(ConnectError("nothing\nanswers"))
        now += 2.0
    outage.answered()
    now += QUIET_SECONDS
    outage.lost(ConnectError("it broke"))
    assert lines(caplog, logging.WARNING) == [
        "faces:8001 is lost: ConnectError: nothing answers",
        "faces:8001 answers again, after 2.0 s",
        "faces:8001 is lost: ConnectError: it broke",
    ]


def test_calls_see_that_a_server_is_lost_and_back(fake: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    with running(fake) as url, FaceClient(url) as client:
        client.analyze(PHOTO)
        assert not lines(caplog, logging.WARNING)
        fake.before_infer = refuse(fake.infers + 2, grpc.StatusCode.UNAVAILABLE, "Socket closed")
        client.analyze(PHOTO)
    lost, back = lines(caplog, logging.WARNING)
    assert lost.startswith(f"{url} is lost: ConnectError: the connection to {url} broke")
    assert re.fullmatch(rf"{url} answers again, after \d\.\d s", back)


def test_a_change_of_the_contract_is_a_line(fake: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="qface_client")
    before = fake.contract["hash"]
    with running(fake) as url, FaceClient(url) as client:
        client.analyze(PHOTO)
        assert not caplog.records
        fake.contract = contract_of(MOOD, classes("size", ["large", "small"]))
        client.analyze(PHOTO)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"photo_analysis: its contract is {fake.contract['hash']} now, it was {before}"
    )


def test_no_key_no_picture_and_no_answer_is_logged_by_anybody(
    fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.before_infer = refuse(2, BUSY, "too many requests", pushback="1")
    with running(fake) as url, FaceClient(url, api_key=KEY) as client:
        client.analyze(PHOTO)
        client.analyze_crops([PIXELS])
        list(client.analyze_many([PHOTO, PIXELS, b"no picture at all"]))
        fake.before_infer = refuse(99, grpc.StatusCode.INVALID_ARGUMENT, "this is no picture")
        with pytest.raises(InvalidInput):
            client.analyze(PHOTO)
    assert caplog.records  # of the refusals
    logged = "\n".join(
        f"{record.getMessage()} {record.args!r} {record.exc_info!r}" for record in caplog.records
    )
    for private in (KEY, "somebody", "spell", "these", "gladdest", "no picture at all"):
        assert private not in logged


QUIET = """
import grpc
from qface_client import FaceClient, ServerBusy
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, refuse, running

fake = FakeServer(contract_of(classes("mood", ["glad", "sad"])))
fake.before_infer = refuse(99, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", pushback="1")
with running(fake) as url, FaceClient(url, timeout=0.5) as client:
    try:
        client.analyze(b"photo")
    except ServerBusy:
        pass
"""


def test_a_program_that_configures_no_logging_sees_nothing() -> None:
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "client"), str(ROOT)))}
    ended = subprocess.run(
        [sys.executable, "-c", QUIET], check=True, capture_output=True, timeout=60, env=paths
    )
    assert (ended.stdout, ended.stderr) == (b"", b"")


def test_errors_that_are_raised_are_not_logged_too(
    fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="qface_client")
    fake.before_infer = refuse(99, BUSY, "too many requests")
    with running(fake) as url, FaceClient(url, retries=False) as client, pytest.raises(ServerBusy):
        client.analyze(PHOTO)
    assert [record.getMessage() for record in caplog.records] == [
        f"photo_analysis: its contract {fake.contract['hash']} was read"
    ]


HANDSHAKE = """
from qface_client import ConnectError, FaceClient
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, running

with running(FakeServer(contract_of(classes("mood", ["glad", "sad"])))) as url:
    with FaceClient(url, tls=True, retries=False) as client:
        try:
            client.analyze(b"photo")
        except ConnectError:
            pass
"""


@pytest.mark.parametrize("verbosity", [None, "NONE"])
def test_what_grpc_writes_past_logging_is_switched_off_as_documented(verbosity: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT / "client"), str(ROOT)))
    if verbosity is not None:
        environment["GRPC_VERBOSITY"] = verbosity
    ended = subprocess.run(
        [sys.executable, "-c", HANDSHAKE], check=True, capture_output=True, timeout=60, env=environment
    )
    assert (b"Handshake failed" in ended.stderr) is (verbosity is None)
    assert ended.stderr == b"" or verbosity is None
    assert "GRPC_VERBOSITY=NONE" in (ROOT / "docs" / "client" / "observability.md").read_text()

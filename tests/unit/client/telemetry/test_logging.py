"""The client's log: silent until it is configured, a line for what an operator wants, and nothing private."""

import logging
import os
import re
import subprocess
import sys

import grpc
import numpy as np
import pytest

from qface_client import FaceClient, InvalidInput, ServerBusy
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


def test_a_retry_is_a_line_with_its_reason_and_its_pause(
    fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="qface_client")
    fake.before_infer = refuse(1, BUSY, "too many\r\nrequests", pushback="1")
    with running(fake) as url, FaceClient(url) as client:
        client.analyze(PHOTO)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("qface_client", logging.INFO)
    expected = r"photo_analysis: try 2 in \d\.\d\d s after ServerBusy: .*\(too many requests\).*"
    assert re.fullmatch(expected, record.getMessage())


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
    lines = "\n".join(
        f"{record.getMessage()} {record.args!r} {record.exc_info!r}" for record in caplog.records
    )
    for private in (KEY, "somebody", "spell", "these", "gladdest", "no picture at all"):
        assert private not in lines


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
    assert not caplog.records

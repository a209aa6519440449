"""What is tried again, when, and for how long: by a clock that the test moves, and against a real server."""

import asyncio
import concurrent.futures
import math
import threading
import time
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import (
    AsyncFaceClient,
    ConnectError,
    FaceClient,
    InvalidInput,
    NotAuthorized,
    NotServed,
    QFaceError,
    RequestTimeout,
    ServerBusy,
    ServerError,
)
from qface_client._exchange.retries import FIRST_CONTACT, LONGEST_PAUSE, Retries
from qface_client._exchange.steps import Infer, Pause, ReadModel
from tests.helpers.fake_v2_server import (
    FakeServer,
    closed_port,
    late,
    refuse,
    running,
)

PHOTO = np.zeros((80, 100, 3), np.uint8)
BUSY = ServerBusy("full", retry_after=0.0)
REFUSED = ConnectError("refused", retry_after=0.0)


class Conversation:
    """Runs one step of `Retries` by a clock of its own, in which only pauses and answers take time."""

    def __init__(self, *, enabled: bool = True, connect: float = 10.0, jitter: float = 1.0) -> None:
        self.now = 100.0
        self.pauses: list[float] = []
        self.sent: list[float] = []  # what each try was given as its timeout
        self.retries = Retries(
            enabled=enabled, connect=connect, clock=lambda: self.now, jitter=lambda: jitter
        )

    def run(self, *outcomes: Any, timeout: float = 60.0, seconds: float = 0.0) -> Any:
        """The result; the last outcome stands for all further ones. Each answer takes `seconds`."""
        steps = self.retries.send(ReadModel(model="m", timeout=timeout))
        waiting = list(outcomes)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                    step = steps.send(None)
                    continue
                assert isinstance(step, ReadModel | Infer)
                self.sent.append(step.timeout)
                outcome = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                self.now += step.timeout if isinstance(outcome, RequestTimeout) else seconds
                step = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
        except StopIteration as end:
            return end.value


def test_a_busy_server_is_asked_until_the_deadline_and_no_longer() -> None:
    talk = Conversation()
    with pytest.raises(ServerBusy, match=r"full \(\d+ tries in 59\.\d s\)"):
        talk.run(BUSY)
    assert 159 < talk.now <= 160
    assert all(0 < timeout <= 60 for timeout in talk.sent)


def test_pauses_double_up_to_a_bound_with_full_jitter() -> None:
    longest = Conversation(jitter=1.0)
    assert longest.run(*[BUSY] * 8, "answer") == "answer"
    assert longest.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, *[LONGEST_PAUSE] * 3])
    half = Conversation(jitter=0.5)
    half.run(*[BUSY] * 8, "answer")
    assert half.pauses == pytest.approx([pause / 2 for pause in longest.pauses])


def test_the_servers_pushback_is_the_least_pause() -> None:
    for jitter in (0.0, 1.0):
        talk = Conversation(jitter=jitter)
        talk.run(ServerBusy("starting", retry_after=3.0), BUSY, "answer")
        assert talk.pauses == pytest.approx([3.0 + 0.1 * jitter, 0.2 * jitter])


@pytest.mark.parametrize("wanted", [60.0, math.inf])
def test_a_pushback_past_the_deadline_is_not_waited_for(wanted: float) -> None:
    talk = Conversation()
    with pytest.raises(ServerBusy, match="starting") as caught:
        talk.run(ServerBusy("starting", retry_after=wanted))
    assert (talk.pauses, caught.value.retry_after) == ([], wanted)


def test_a_long_pause_does_not_give_away_the_last_seconds() -> None:
    talk = Conversation()
    with pytest.raises(ServerBusy):
        talk.run(BUSY, timeout=3.0)
    assert sum(talk.pauses) > 2.9


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("no picture"),
        NotAuthorized("no key"),
        NotServed("no model"),
        ServerError("boom"),
        ConnectError("no gRPC"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_another_try_cannot_mend_is_raised_as_it_is(error: QFaceError) -> None:
    talk = Conversation()
    with pytest.raises(type(error)) as caught:
        talk.run(error)
    assert caught.value is error
    assert len(talk.sent) == 1


def test_without_retries_each_step_is_sent_once() -> None:
    for error in (BUSY, REFUSED):
        talk = Conversation(enabled=False)
        with pytest.raises(type(error)) as caught:
            talk.run(error)
        assert caught.value is error
        assert len(talk.sent) == 1


def test_a_server_that_never_answered_is_given_up_early() -> None:
    talk = Conversation()
    with pytest.raises(ConnectError, match=r"refused \(\d+ tries"):
        talk.run(REFUSED)
    assert 0.5 < talk.now - 100 <= FIRST_CONTACT


def test_a_server_that_has_answered_is_looked_for_until_the_deadline() -> None:
    for first in ("answer", BUSY, InvalidInput("no picture")):
        talk = Conversation()
        if isinstance(first, InvalidInput):
            with pytest.raises(InvalidInput):
                talk.run(first)
        else:
            talk.run(first, "answer")
        assert talk.run(*[REFUSED] * 20, "answer") == "answer"
        assert talk.now > 100 + 20


def test_a_refusal_counts_as_an_answer_within_one_step() -> None:
    talk = Conversation()
    assert talk.run(BUSY, *[REFUSED] * 20, "answer") == "answer"


def test_a_silent_address_is_given_up_at_the_connect_timeout() -> None:
    talk = Conversation(connect=4.0)
    with pytest.raises(ConnectError, match="within 4 s"):
        talk.run(RequestTimeout("late"))
    assert talk.sent == [4.0]


def test_what_is_left_of_the_deadline_bounds_each_try() -> None:
    talk = Conversation(jitter=0.0, connect=1000.0)
    talk.run(BUSY, BUSY, "answer", seconds=5.0)
    assert talk.sent == [60.0, 55.0, 50.0]


def test_the_last_refusal_is_raised_rather_than_the_last_timeout() -> None:
    talk = Conversation()
    with pytest.raises(ServerBusy, match=r"full \(2 tries in 60\.0 s; the last one was not answered\)"):
        talk.run(BUSY, RequestTimeout("late"))
    alone = Conversation(connect=1000.0)
    with pytest.raises(RequestTimeout):
        alone.run(RequestTimeout("late"))


def ask(url: str, *, twin: bool, **arguments: Any) -> str:
    """The mood of a photo's face, by either client."""
    if not twin:
        with FaceClient(url, **arguments) as client:
            return str(client.analyze(PHOTO)[0].mood.label)

    async def talk() -> str:
        async with AsyncFaceClient(url, **arguments) as client:
            return str((await client.analyze(PHOTO))[0].mood.label)

    return asyncio.run(talk())


both = pytest.mark.parametrize("twin", [False, True], ids=["blocking", "asyncio"])


@both
@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])
def test_a_servers_refusals_are_waited_out(
    fake: FakeServer, url: str, code: grpc.StatusCode, twin: bool
) -> None:
    fake.before_read = refuse(2, code, "the server is starting", pushback="20")
    fake.before_infer = refuse(4, code, "too many requests wait", pushback="20")
    assert ask(url, twin=twin) == "glad"
    assert (fake.reads, fake.infers) == (3, 5)


@both
@pytest.mark.parametrize(
    ("sent", "seconds"), [("90000", 90.0), ("-1", math.inf), ("soon", math.inf), ("", math.inf)]
)
def test_the_pushback_is_read_from_the_trailing_metadata(
    fake: FakeServer, url: str, sent: str, seconds: float, twin: bool
) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.UNAVAILABLE, "the server repairs itself", pushback=sent)
    with pytest.raises(ServerBusy, match="repairs itself") as caught:
        ask(url, twin=twin)
    assert (caught.value.retry_after, fake.infers) == (seconds, 1)


@both
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size"),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'x' has no available versions"),
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
    ],
)
def test_what_triton_itself_turns_away_is_known_without_a_pushback(
    fake: FakeServer, url: str, code: grpc.StatusCode, words: str, twin: bool
) -> None:
    fake.before_infer = refuse(2, code, words)
    assert ask(url, twin=twin) == "glad"
    assert fake.infers == 3


@both
def test_the_deadline_ends_in_the_servers_refusal(fake: FakeServer, url: str, twin: bool) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait", pushback="50")
    with pytest.raises(ServerBusy, match=r"too many wait.* tries in \d\.\d s"):
        ask(url, twin=twin, timeout=0.6)
    assert fake.infers > 1


@both
def test_a_server_that_starts_again_is_found_again(fake: FakeServer, twin: bool) -> None:
    port = closed_port()
    stopped, again, gone = threading.Event(), threading.Event(), threading.Event()

    def run() -> None:
        with running(fake, port=port):
            stopped.wait(60)
        time.sleep(1.5)  # longer than a first contact is looked for
        with running(fake, port=port):
            again.set()
            gone.wait(60)

    def stop(number: int, context: grpc.ServicerContext) -> None:
        if not again.is_set():
            stopped.set()
            late(60)(number, context)

    fake.before_infer = stop
    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ask(f"127.0.0.1:{port}", twin=twin) == "glad"
    finally:
        stopped.set()
        gone.set()
        thread.join()


@both
def test_a_request_is_sent_again_whole(fake: FakeServer, url: str, twin: bool) -> None:
    fake.before_infer = refuse(2, grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", pushback="10")
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)

    async def talk() -> None:
        async with AsyncFaceClient(url) as client:
            await client.analyze(pixels)

    if twin:
        asyncio.run(talk())
    else:
        with FaceClient(url) as client:
            client.analyze(pixels)
    assert fake.inputs["image"].tobytes().endswith(pixels.tobytes())
    assert fake.infers == 3


def test_closing_a_client_ends_its_calls(fake: FakeServer, url: str) -> None:
    begun = threading.Event()

    def wait(number: int, context: grpc.ServicerContext) -> None:
        begun.set()
        late(60)(number, context)

    fake.before_infer = wait
    client = FaceClient(url)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.analyze, PHOTO)
        assert begun.wait(60)
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            call.result(20)


def test_closing_a_client_ends_its_pauses(fake: FakeServer, url: str) -> None:
    refused = threading.Event()
    turn_away = refuse(99, grpc.StatusCode.UNAVAILABLE, "repairs itself", pushback="50000")

    def note(number: int, context: grpc.ServicerContext) -> None:
        refused.set()
        turn_away(number, context)

    fake.before_infer = note
    client = FaceClient(url)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.analyze, PHOTO)
        assert refused.wait(60)
        time.sleep(0.2)
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            call.result(20)  # and not after the 50 s that the server wants

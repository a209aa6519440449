"""The load's clients: every request has one end, and who leaves does so while the request is in flight."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest

from deploy.benchmark.load import End, Load, Outcome, Summary, http2, leaving
from deploy.benchmark.load.clients import Reply, alike, end_of
from deploy.benchmark.load.outcomes import SLACK, end_of_error

Handler = Callable[[bytes, grpc.ServicerContext], bytes]


class Server:
    """Answers the first calls at once and holds all others until their client is gone."""

    def __init__(self, *, answers: int) -> None:
        self.bodies: list[bytes] = []
        self.left = 0
        self._answers = answers
        self._lock = threading.Lock()

    def __call__(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self.bodies.append(request)
            if len(self.bodies) <= self._answers:
                return b"answer"
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(60)
        with self._lock:
            self.left += 1
        return b"late"


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], str]]:
    server = grpc.server(futures.ThreadPoolExecutor(100))

    def start(handler: Handler) -> str:
        method = grpc.unary_unary_rpc_method_handler(handler)
        service, _, name = http2.METHOD.strip("/").partition("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return f"127.0.0.1:{port}"

    yield start
    server.stop(0).wait()


def eventually(holds: Callable[[], bool], *, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def test_killed_clients_leave_whole_requests_in_flight(serve: Callable[[Handler], str]) -> None:
    server = Server(answers=2)
    message = bytes(range(256)) * 100  # of several frames
    address = serve(server)

    def killed_in_flight() -> bool:
        # What had arrived, and was in no handler yet, the server drops: that depends on how fast it is.
        assert leaving.kill_clients(address, message, clients=40, each=25) >= 40
        return eventually(lambda: server.left >= 1, seconds=10.0)

    assert any(killed_in_flight() for _ in range(5)), (len(server.bodies), server.left)
    assert set(server.bodies) == {message}


@pytest.mark.parametrize(
    ("leave", "code"), [(leaving.expire, "DEADLINE_EXCEEDED"), (leaving.cancel, "CANCELLED")]
)
def test_clients_that_give_up_do_so_as_often_as_wanted(
    serve: Callable[[Handler], str], leave: Callable[..., Counter[str]], code: str
) -> None:
    server = Server(answers=24)
    ends = leave(serve(server), [b"one", b"two"], times=20)
    assert ends.keys() <= {code, "OK"}
    assert ends[code] >= 20
    assert set(server.bodies) <= {b"one", b"two"}


def test_a_message_beyond_the_first_window_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller picture"):
        http2.call(bytes(http2.LARGEST + 1), authority="x")


@pytest.mark.parametrize(
    ("code", "details", "seconds", "end"),
    [
        ("UNAVAILABLE", "the server stops", 0.1, End.REFUSED),
        ("INVALID_ARGUMENT", "no such input", 0.1, End.REFUSED),
        ("RESOURCE_EXHAUSTED", "too much", 10 + 2 * SLACK, End.LOST),  # typed, and too late
        ("DEADLINE_EXCEEDED", "", 10, End.LOST),
        ("UNKNOWN", "Stream removed", 0.1, End.LOST),
        ("INTERNAL", "Received RST_STREAM with error code 2", 0.1, End.LOST),
    ],
)
def test_an_error_is_a_refusal_only_if_the_server_sent_it_in_time(
    code: str, details: str, seconds: float, end: End
) -> None:
    assert end_of_error(code, details, seconds=seconds, deadline=10) is end


@pytest.mark.parametrize(
    ("reply", "end"),
    [
        (Reply(left=True, code="DEADLINE_EXCEEDED"), End.ABANDONED),
        (Reply(right=False), End.WRONG),
        (Reply(code="INVALID_ARGUMENT"), End.REFUSED),
        (Reply(right=False, code="INVALID_ARGUMENT"), End.WRONG),  # there was nothing wrong with it
        (Reply(right=False, code="UNKNOWN"), End.LOST),
    ],
)
def test_who_leaves_on_purpose_loses_nothing_and_a_refusal_may_be_wrong(reply: Reply, end: End) -> None:
    assert end_of(reply, seconds=0.1, deadline=10) is end


class Scripted:
    """A sender whose replies are given."""

    model = "scripted"

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.sent = 0

    def send(self, deadline: float) -> Reply:
        self.sent += 1
        return self._replies.pop(0) if self._replies else Reply()

    def close(self) -> None: ...


def test_each_request_has_one_outcome_and_the_summary_counts_them() -> None:
    sender = Scripted(Reply(), Reply(right=False), Reply(code="UNAVAILABLE"), Reply(code="UNKNOWN"))
    with Load([lambda: sender], pause=0.01) as load:
        load.wait_for(3)
    assert len(load.outcomes) == sender.sent
    summary = load.summary
    assert (summary.ends[End.WRONG], summary.ends[End.REFUSED], summary.lost) == (1, 1, 1)
    assert summary.ends[End.ANSWERED] == summary.sent - 3
    assert "1 refused (1 UNAVAILABLE), 0 abandoned, 1 wrong, 1 lost" in str(summary)


def test_a_refused_client_waits_as_long_as_it_is_asked_to() -> None:
    with Load([lambda: Scripted(Reply(code="RESOURCE_EXHAUSTED", pushback=0.3))]) as load:
        load.wait_for(1)
    first, second = load.outcomes[:2]
    assert second.began - first.ended >= 0.3


def test_what_fails_within_a_client_is_raised() -> None:
    class Broken(Scripted):
        def send(self, deadline: float) -> Reply:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Load([Broken]):
        pass


def test_a_summary_of_nothing_has_no_times() -> None:
    assert Summary.of([]).sent == 0
    assert Summary.of([]).median != Summary.of([]).median
    outcome = Outcome(client="a", model="b", began=0, seconds=2, end=End.ANSWERED)
    assert (Summary.of([outcome]).p99, Summary.of([outcome]).slowest) == (2, 2)


def test_answers_are_alike_up_to_the_tolerance() -> None:
    one = {"a": [1.0, {"b": "x"}], "c": 1000.0}
    assert alike(one, {"a": [1.0005, {"b": "x"}], "c": 1000.5}, tolerance=1e-3)
    assert not alike(one, {"a": [1.1, {"b": "x"}], "c": 1000.0}, tolerance=1e-3)
    assert not alike(one, {"a": [1.0, {"b": "y"}], "c": 1000.0}, tolerance=1e-3)
    assert not alike(one, {"a": [1.0], "c": 1000.0}, tolerance=1e-3)

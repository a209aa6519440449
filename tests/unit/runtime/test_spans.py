"""Spans on their way to the process that exports them: never in the way of what they are about."""

import contextlib
import socket
from pathlib import Path

import pytest

from runtime import spans
from runtime.spans import Context, Span, SpanSender, read_header, read_line, sender_of_environment

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
A_SPAN = Span(TRACE, SPAN, "", "decode", spans.INTERNAL, 17, 42, "", {"rows": 3, "name": "x", "all": True})


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-ff", True),  # flags that are not known yet
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
    ],
)
def test_a_traceparent_names_a_span_and_whether_it_is_recorded(header: str, sampled: bool) -> None:
    assert read_header(header) == (Context(TRACE, SPAN), sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE[:-1]}é-{SPAN}-01",
    ],
)
def test_what_is_no_traceparent_names_nothing(header: str) -> None:
    assert read_header(header) is None


def test_a_context_s_header_is_read_as_itself() -> None:
    child = Context(TRACE, SPAN).child()
    assert read_header(child.header()) == (child, True)
    assert child.trace == TRACE
    assert child.span != SPAN


def test_a_span_is_read_as_it_was_written() -> None:
    assert read_line(A_SPAN.line()) == A_SPAN
    assert read_line(b"3\n") == 3


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[1]", b"[" * 100, b"[" * 100_000, b'["a","b"]', b'"3"', b"\xff"]
)
def test_a_line_that_is_no_span_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="neither a span nor a number"):
        read_line(line)


def test_without_a_socket_in_the_environment_nothing_is_sent() -> None:
    assert sender_of_environment({}) is None
    assert sender_of_environment({spans.SOCKET: "/somewhere"}) is not None


def emptied(taking: socket.socket) -> bytes:
    """All that has arrived."""
    received = b""
    with contextlib.suppress(BlockingIOError):
        while data := taking.recv(1 << 20):
            received += data
    return received


def test_what_the_other_side_does_not_take_is_dropped_and_counted(tmp_path: Path) -> None:
    path = str(tmp_path / "spans")
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(path)
        listener.listen()
        sender = closing.enter_context(contextlib.closing(SpanSender(path)))
        sent = 10_000
        for _ in range(sent):  # far more than the kernel and the sender keep
            sender.send(A_SPAN)
        taking, _ = listener.accept()
        with taking:
            taking.setblocking(False)
            received = emptied(taking)
            for _ in range(3):
                sender.send(A_SPAN)  # there is room again, and what waited goes first
                received += emptied(taking)
        found = [read_line(line) for line in received.splitlines()]
        lost = sum(each for each in found if isinstance(each, int))
        whole = [each for each in found if isinstance(each, Span)]
        assert lost > 0
        assert set(map(Span.line, whole)) == {A_SPAN.line()}
        assert len(whole) + lost == sent + 3


def test_nobody_on_the_other_side_harms_nothing_and_who_comes_later_gets_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_RECONNECT_SECONDS", 0.0)
    path = tmp_path / "spans"
    with contextlib.closing(SpanSender(str(path))) as sender:
        sender.send(A_SPAN)
        for _ in range(2):  # the second is another process at the same place
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(str(path))
                listener.listen()
                sender.send(A_SPAN)  # after the first end this finds the connection closed
                sender.send(A_SPAN)
                taking, _ = listener.accept()
                with taking:
                    taking.settimeout(10)
                    assert A_SPAN.line() in taking.recv(1 << 16)
            path.unlink()

"""Errors of Triton's: those of a death, those that may be, and those of the request itself."""

import grpc
import pytest

from deploy.gateway.backends import loss


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: UNKNOWN: unix:/x"),
        (grpc.StatusCode.UNAVAILABLE, "recvmsg:Connection reset by peer"),
        (
            grpc.StatusCode.INTERNAL,
            "Failed to process the request(s), message: Stub process 'x_0_0' is not healthy.",
        ),
        (
            grpc.StatusCode.UNAVAILABLE,
            "Server is stopping, scheduler for model has stopped accepting new inference requests",
        ),
    ],
)
def test_errors_that_name_a_death(code: grpc.StatusCode, details: str) -> None:
    assert loss.names_a_death(code, details)
    assert loss.waits_for(code, details) == (0.0,)


def test_a_request_s_own_error_costs_no_look() -> None:
    for code in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ):
        assert not loss.names_a_death(code, "Socket closed")
        assert loss.waits_for(code, "Socket closed") == ()


def test_an_error_that_may_come_before_the_end_is_seen_waits_for_it_a_little() -> None:
    waits = loss.waits_for(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
    assert waits[0] == 0
    assert 0 < sum(waits) < 0.31
    assert sum(loss.waits_for(grpc.StatusCode.INTERNAL, "ValueError: no face")) < sum(waits)


def test_a_request_s_id_names_no_death() -> None:
    for words in ("socket closed", "x] server is stopping"):
        text = f"in ensemble 'x', [request id: {words}] Exceeds maximum queue size"
        assert not loss.names_a_death(grpc.StatusCode.UNAVAILABLE, text)
    text = "[request id: 1] Stub process 'x_0_0' is not healthy."
    assert loss.names_a_death(grpc.StatusCode.INTERNAL, text)


def test_a_model_s_own_exception_names_no_death() -> None:
    text = "Failed to process the request(s), message: FileNotFoundError: No such file or directory"
    assert not loss.names_a_death(grpc.StatusCode.INTERNAL, text)


def test_a_step_that_lacks_what_another_step_left_out_is_suspicious() -> None:
    """As a frozen engine's does when it goes on; a client's own lack of inputs is refused before."""
    code = grpc.StatusCode.INVALID_ARGUMENT
    details = (
        "in ensemble 'everything', [request id: <id_unknown>] expected 11 inputs but got 3 inputs for model "
        "'second_step'. Got input(s) ['a'], but missing required input(s) ['b']."
    )
    assert loss.is_suspicious(code, details)
    assert loss.waits_for(code, details)
    assert not loss.names_a_death(code, details)  # that is for the processes' states to show
    assert not loss.is_suspicious(code, "expected 2 inputs but got 1 inputs for model 'first'")
    assert not loss.is_suspicious(code, "in ensemble 'everything', the picture is cut short")

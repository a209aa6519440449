"""Refusal: a request that gets no answer of Triton's, with the status and the sentence that it gets."""

import grpc

# The reason of an error that is the model's own and is passed on as Triton gave it.
BY_MODEL = "model"

_CROWDED_SECONDS = 1.0  # until another try
_TRACEBACK = "\n\nAt:\n"  # the Python backend's, behind an exception's text
_FULL_RETRY_SECONDS = 1.0
_UNAVAILABLE_SECONDS = 1.0


class Refusal(Exception):
    """What the gateway answers in place of a model.

    code         the gRPC status
    reason       a short word for metrics and logs, of a fixed set: never anything that a client sent
    retry_after  seconds until another try makes sense (grpc-retry-pushback-ms); None: another try can't help
    """

    def __init__(
        self, code: grpc.StatusCode, sentence: str, *, reason: str, retry_after: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.reason = reason
        self.retry_after = retry_after


def invalid(sentence: str, *, reason: str = "invalid") -> Refusal:
    """INVALID_ARGUMENT: what was sent can't be used, and another try can't help."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, sentence, reason=reason)


def too_large(size: int, limit: int) -> Refusal:
    """INVALID_ARGUMENT: a request of more bytes than one may have."""
    return invalid(
        f"the request has {size} bytes, and may have {limit}: send a smaller picture, or fewer of them in "
        "one request",
        reason="request_bytes",
    )


def of_model(code: grpc.StatusCode, details: str) -> Refusal:
    """Triton's own error about this request, without the places in this machine's files that a model adds.

    UNAVAILABLE, as of a model without memory, gets a pushback: another try may succeed.
    """
    retry_after = _UNAVAILABLE_SECONDS if code is grpc.StatusCode.UNAVAILABLE else None
    return Refusal(code, details.partition(_TRACEBACK)[0], reason=BY_MODEL, retry_after=retry_after)


def no_shared_memory() -> Refusal:
    """RESOURCE_EXHAUSTED: Triton or a model had no room for this request's tensors or its answer's."""
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "this server has no shared memory left for this request: send it again in a moment, or a smaller "
        "picture",
        reason="shared_memory",
        retry_after=_FULL_RETRY_SECONDS,
    )


def blamed() -> Refusal:
    """INTERNAL: two Tritons died while they had this request."""
    return Refusal(
        grpc.StatusCode.INTERNAL,
        "two servers died while they answered this request, so it is not tried again for a while: send "
        "another picture, and report this one",
        reason="blamed",
    )


def crowded(limit: int) -> Refusal:
    """RESOURCE_EXHAUSTED: as many calls as may be are under way."""
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"{limit} calls are under way already, as many as this server takes: send it again",
        reason="connections",
        retry_after=_CROWDED_SECONDS,
    )


def unavailable(sentence: str, *, reason: str, retry_after: float) -> Refusal:
    """UNAVAILABLE: the service can't answer now and will again."""
    return Refusal(grpc.StatusCode.UNAVAILABLE, sentence, reason=reason, retry_after=retry_after)


def again(refusal: Refusal) -> Refusal:
    """A copy, to raise: an exception that is raised over and over collects tracebacks."""
    return Refusal(refusal.code, refusal.sentence, reason=refusal.reason, retry_after=refusal.retry_after)

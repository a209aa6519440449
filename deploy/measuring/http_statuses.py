"""HTTP statuses as the gRPC ones that they stand for: ends of requests have one set of names."""

from collections.abc import Mapping

_CODES: Mapping[int, str] = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def code_of(status: int) -> str:
    """The gRPC status by its name; "HTTP 418" and the like where there is none."""
    return _CODES.get(status, f"HTTP {status}")

"""Everything that a call can raise.

    QFaceError
    ├── InvalidInput         the photo, the box or the landmarks can't be used (`.file`, where known)
    ├── UnknownTask          a task that the server does not have (`.available` lists what it has)
    ├── UnknownModel         a network that the server does not have (`.available` lists what it has)
    ├── NotAuthorized        the server does not let this caller do this
    │   ├── NotAuthenticated the API key or the certificate is missing or unknown
    │   └── NotPermitted     this caller may not use the model, or ask for one of the tasks
    ├── ConnectError         nothing answers at the address (`.retry_after`)
    ├── RequestTimeout       the deadline passed
    ├── ServerBusy           the server turned the request away for now: it has too much to do, or it starts,
    │                        stops, repairs itself or reloads (`.retry_after`)
    ├── ServerError          the server failed, or its answer is not what it promised
    │   └── NotServed        the server has no such model: it is another repository, or it was changed
    ├── ContractError        what the server says of itself can't be used
    │   ├── ContractMismatch the contract is not the one of `expect_contract`
    │   └── UnknownKind      a task answers in a kind that this client is too old for
    └── NotRecorded          a recording (`qface_client.recorded`) has no answer to this request

Each has `.retryable` (whether another try makes sense), `.server_message` (the server's own words), `.status`
(gRPC's, where the server gave one) and `.call` (what was asked for). All can be pickled and copied.

ConnectError and ServerBusy have been tried again already, until the call's deadline, when they are raised.
"""

import copy
import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar

__all__ = [
    "Call",
    "ConnectError",
    "ContractError",
    "ContractMismatch",
    "InvalidInput",
    "NotAuthenticated",
    "NotAuthorized",
    "NotPermitted",
    "NotRecorded",
    "NotServed",
    "QFaceError",
    "RequestTimeout",
    "ServerBusy",
    "ServerError",
    "UnknownKind",
    "UnknownModel",
    "UnknownTask",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """What was asked for when an error was raised. Neither the picture nor a key is in it."""

    method: str = ""  # of the client: "analyze"
    url: str = ""  # "": the calls are carried by a transport of the caller's
    model: str | None = None  # the network named by `model=`
    tasks: tuple[str, ...] | None = None  # None: all, or none were named
    file: str | None = None  # that the picture came from
    bytes: int | None = None  # of the picture as it is sent; None: it was not read, or there is none


class QFaceError(Exception):
    """Root of all errors of this package. `str(error)` is one sentence for people.

    `retryable`: whether the same call may succeed later. `server_message`: the server's own words, None where
    it sent none. `status`: gRPC's name of the status by which the server refused, such as
    "RESOURCE_EXHAUSTED" (it has too much to do, or this key sends too much) or "UNAVAILABLE" (it starts,
    stops or repairs itself); None where no server did: the connection broke, or the deadline passed here.
    `call`: what was asked for; None where no method of a client was under way.
    """

    retryable: bool = False
    server_message: str | None = None
    status: str | None = None
    call: Call | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[QFaceError], args: tuple[Any, ...], attributes: dict[str, Any]) -> QFaceError:
    """A pickled error, past its constructor, which may take other arguments than the sentence."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class InvalidInput(QFaceError):
    """The client or the server could not use what was sent; another try can't help."""

    def __init__(self, message: str, *, file: str | None = None) -> None:
        super().__init__(message if file is None else f"{file}: {message}")
        self.file = file

    def name_file(self, file: str) -> None:
        """Begin the sentence with the file that it is about."""
        self.args = (f"{file}: {self}",)
        self.file = file


class UnknownTask(QFaceError):
    """A task was asked for that the server does not have."""

    def __init__(self, names: Sequence[str], *, available: Sequence[str]) -> None:
        super().__init__(f"unknown task {', '.join(names)}: this server has {', '.join(available)}")
        self.names = tuple(names)
        self.available = tuple(available)


class UnknownModel(QFaceError):
    """A network was asked for that the server does not have."""

    def __init__(self, name: str, *, available: Sequence[str]) -> None:
        offer = f"this server has {', '.join(available)}" if available else "this server names none"
        super().__init__(f"unknown model {name}: {offer}")
        self.name = name
        self.available = tuple(available)


class NotAuthorized(QFaceError):
    """The server does not let this caller do this; another try can't help."""


class NotAuthenticated(NotAuthorized):
    """The API key or the client's certificate is missing, or the server does not know it."""


class NotPermitted(NotAuthorized):
    """The server knows the caller, who may not use this model or one of these tasks."""


class ConnectError(QFaceError):
    """Nothing answers at the address.

    `retry_after`: seconds before which another try makes no sense; None: the same call can't succeed.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.retryable = retry_after is not None


class RequestTimeout(QFaceError):
    """The deadline passed before the whole answer was there."""

    retryable = True


class ServerBusy(QFaceError):
    """The server can't take the request now: it has too much to do, or it starts, stops or reloads.

    `retry_after`: seconds before which the server wants no other try (infinite: none at all; 0.0: it names no
    time). `status` tells "RESOURCE_EXHAUSTED", overload or a rate, from "UNAVAILABLE", a start or a repair.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.retryable = retry_after < math.inf


class ServerError(QFaceError):
    """The server failed, or its answer is not what it promised."""


class NotServed(ServerError):
    """The server does not have the model that answers this."""


class ContractError(QFaceError):
    """What the server says of its tasks and labels can't be used.

    `retryable`: True where it changed while it was read.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class ContractMismatch(ContractError):
    """The server's contract is not the one that `expect_contract` names."""

    def __init__(self, *, expected: str, found: str) -> None:
        super().__init__(
            f"the server answers by contract {found}, not by {expected} as expect_contract asks: "
            f"its labels or their order may have changed; check them with `qface info`"
        )
        self.expected = expected
        self.found = found


class UnknownKind(ContractError):
    """A task answers in a kind that this version of the client can't read."""


class NotRecorded(QFaceError):
    """The recording that answers in a server's place has no answer to this request."""


# Triton's own words around a step's message, which mean nothing to the person who sent a photo.
_NOISE = re.compile(
    r"^(\[request id: [^\]]*\] |in ensemble '[^']*', |Failed to process the request\(s\) for model "
    r"(instance )?'[^']*', message: |TritonModelException: )+"
)
# UNAVAILABLE comes from the server itself in these words, and from the connection in all others.
_BUSY = ("maximum queue size", "timeout expired", "server is stopping", "server exiting", "exit in progress")
# gRPC's words where all servers report by the health protocol that they are not ready.
_UNHEALTHY = "backend unhealthy"
# Of a model that the server has, while it is being unloaded or loaded.
_RELOADING = ("no available versions", "not at ready state")
_UNREADY = ("unknown model", "not ready")
# Of a connection whose other end speaks no HTTP/2 (a web server, a proxy without its server), or that broke.
_NO_HTTP2 = ("failed parsing http/2", "http1.x")
_BROKEN = ("socket closed", "connection reset", "broken pipe", "ping timeout", "too many pings", "goaway")
# What gRPC itself, on this side, writes where it ends a call.
_OWN_WORDS = ("deadline exceeded", "cancelled", "client: ")

E = TypeVar("E", bound=QFaceError)


def from_grpc(
    status: str, details: str, *, url: str, model: str, pushback: float | None = None, hint: str = ""
) -> QFaceError:
    """The error for a gRPC status: `status` as tritonclient spells it ("StatusCode.UNAVAILABLE").

    `pushback`: seconds that the server wants before another try, where it names any: the mark of a server
    that turns a request away for now, whatever its words. `hint` ends the sentence where nothing answers
    at the address.
    """
    text = _NOISE.sub("", details).strip()
    code = status.rpartition(".")[2]
    error = _from_status(code, text, url=url, model=model, pushback=pushback, hint=hint)
    of_connection = isinstance(error, ConnectError) or text.lower().startswith(_OWN_WORDS)
    if not of_connection and _UNHEALTHY not in text.lower():
        error.status = code
        error.server_message = text or None
    return error


def with_end(error: E, end: str) -> E:
    """The same error, whose sentence has a further end."""
    copied = copy.copy(error)
    copied.args = (f"{error} ({end})",)
    return copied


def _from_status(
    code: str, text: str, *, url: str, model: str, pushback: float | None, hint: str
) -> QFaceError:
    if code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED") and pushback is not None:
        return _busy(text, url=url, retry_after=pushback)
    if code == "INVALID_ARGUMENT":
        return InvalidInput(text)
    if code == "RESOURCE_EXHAUSTED":
        return _exhausted(text, url=url, model=model)
    if code == "UNAUTHENTICATED":
        return NotAuthenticated(
            f"the server at {url} does not know who calls ({text}): give a key that it knows by api_key=, by "
            "QFACE_API_KEY, or in a file that QFACE_API_KEY_FILE (--api-key-file) names"
        )
    if code == "PERMISSION_DENIED":
        return NotPermitted(
            f"the server at {url} does not permit this ({text}): name by tasks= those that this key may "
            "use (without it all are requested), or ask who runs the server for a key that may"
        )
    if code == "DEADLINE_EXCEEDED":
        return RequestTimeout(
            f"the server at {url} did not answer {model!r} in time: give it a longer timeout"
        )
    if code == "CANCELLED":  # by the server: who cancels a call of this package gets no error of it
        return _busy(f"it ended the call: {text}", url=url, retry_after=0.0)
    if code == "INTERNAL" and "rst_stream" in text.lower():  # in mid answer: a proxy, say, whose server died
        return _unavailable("UNAVAILABLE", f"connection reset: {text}", url=url, model=model, hint=hint)
    if code in ("UNAVAILABLE", "NOT_FOUND"):
        return _unavailable(code, text, url=url, model=model, hint=hint)
    if code == "UNIMPLEMENTED":
        return _other_protocol(text, url=url, hint=hint, retry_after=None)
    return _failed(f"{code}: {text}", url=url, model=model)


def _unavailable(code: str, text: str, *, url: str, model: str, hint: str) -> QFaceError:
    """Of a server that names no pushback (Triton itself does not), or of a connection: known by the words."""
    lowered = text.lower()
    if code == "UNAVAILABLE" and any(phrase in lowered for phrase in _BUSY):
        return _busy(text, url=url, retry_after=0.0)
    if _UNHEALTHY in lowered:
        return _busy("none of them is ready", url=url, retry_after=0.0)
    if any(phrase in lowered for phrase in _RELOADING):
        return ServerBusy(
            f"the server at {url} is stopping or reloading {model!r} ({text}): try again later, or look "
            "at its log if it stays so",
            retry_after=0.0,
        )
    if code == "NOT_FOUND" or any(phrase in lowered for phrase in _UNREADY):
        return NotServed(f"the server at {url} does not serve {model!r} ({text}): is it a Q-Face repository?")
    if "handshake" in lowered:
        return ConnectError(
            f"no encrypted connection to {url} comes about ({_handshake_reason(text)}): does the server "
            f"speak TLS, and do the root certificates (QFACE_TLS_CA, --tls-ca) know its certificate?{hint}",
            retry_after=0.0,
        )
    if any(phrase in lowered for phrase in _NO_HTTP2):
        return _other_protocol(_reason(text), url=url, hint=hint, retry_after=0.0)
    if any(phrase in lowered for phrase in _BROKEN):
        return ConnectError(
            f"the connection to {url} broke ({_reason(text)}): the server has stopped, or it wants an "
            f"encrypted connection (QFACE_TLS=1, --tls) or the caller's certificate{hint}",
            retry_after=0.0,
        )
    return ConnectError(
        f"no server answers at {url} ({_reason(text)}): check the address, and that its server runs "
        f"(`make serve` starts one on this machine){hint}",
        retry_after=0.0,
    )


def _other_protocol(reason: str, *, url: str, hint: str, retry_after: float | None) -> ConnectError:
    return ConnectError(
        f"what answers at {url} is not a Triton server's gRPC ({reason}): is it the HTTP port, or a proxy?"
        f"{hint}",
        retry_after=retry_after,
    )


def _exhausted(text: str, *, url: str, model: str) -> QFaceError:
    """RESOURCE_EXHAUSTED is gRPC's for a message too large, in these words, and a server's for overload."""
    lowered = text.lower()
    if "larger than max" not in lowered:
        return _busy(text, url=url, retry_after=0.0)
    if lowered.startswith(("client: received", "server: sent")):
        return _failed(f"its answer is too large: {text}", url=url, model=model)
    return InvalidInput(
        f"what was sent is too large for the server at {url} ({text}): send smaller or fewer pictures at once"
    )


def _busy(text: str, *, url: str, retry_after: float) -> ServerBusy:
    advice = "" if "again" in text.lower() else ": try again later"  # many a server gives its own
    return ServerBusy(
        f"the server at {url} can't take the request now ({text.rstrip('.')}){advice}",
        retry_after=retry_after,
    )


def _failed(reason: str, *, url: str, model: str) -> ServerError:
    return ServerError(f"the server at {url} failed on {model!r} ({reason}): look at its log")


def _reason(details: str) -> str:
    """The last cause of gRPC's chain of causes: "Connection refused (111)"."""
    return details.splitlines()[0].rpartition(": ")[2].rstrip("]") if details else "unavailable"


def _handshake_reason(details: str) -> str:
    """What the TLS library found: "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate"."""
    return details.rpartition("OPENSSL_internal:")[2].removesuffix(": OK")

"""Everything that a call can raise.

    QFaceError
    ├── InvalidInput         the photo, the box or the landmarks can't be used (`.file`, where known)
    ├── UnknownTask          a task that the server does not have (`.available` lists what it has)
    ├── UnknownModel         a network that the server does not have (`.available` lists what it has)
    ├── ConnectError         nothing answers at the address
    ├── RequestTimeout       the deadline passed
    ├── ServerBusy           the server turned the request away: its queue is full, or it stops or reloads
    ├── ServerError          the server failed, or its answer is not what it promised
    │   └── NotServed        the server has no such model: it is another repository, or it was changed
    └── ContractError        what the server says of itself can't be used
        ├── ContractMismatch the contract is not the one of `expect_contract`
        └── UnknownKind      a task answers in a kind that this client is too old for

Only ConnectError, RequestTimeout and ServerBusy are worth another try; the first and the last of them
have been tried again already when they are raised.
"""

import re
from collections.abc import Sequence


class QFaceError(Exception):
    """Root of all errors of this package. `str(error)` is one sentence for people."""


class InvalidInput(QFaceError):
    """The client or the server could not use what was sent; another try can't help."""

    def __init__(self, message: str, *, file: str | None = None) -> None:
        super().__init__(message if file is None else f"{file}: {message}")
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


class ConnectError(QFaceError):
    """Nothing answers at the address."""


class RequestTimeout(QFaceError):
    """The deadline passed before the whole answer was there."""


class ServerBusy(QFaceError):
    """The server can't take the request now: its queue is full, or it is stopping or reloading."""


class ServerError(QFaceError):
    """The server failed, or its answer is not what it promised."""


class NotServed(ServerError):
    """The server does not have the model that answers this."""


class ContractError(QFaceError):
    """What the server says of its tasks and labels can't be used."""


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


# Triton's own words around a step's message, which mean nothing to the person who sent a photo.
_NOISE = re.compile(
    r"^(\[request id: [^\]]*\] |in ensemble '[^']*', |Failed to process the request\(s\) for model "
    r"(instance )?'[^']*', message: |TritonModelException: )+"
)
# UNAVAILABLE comes from the server itself in these words, and from the connection in all others.
_BUSY = ("maximum queue size", "timeout expired", "server is stopping", "server exiting", "exit in progress")
# Of a model that the server has, while it is being unloaded or loaded.
_RELOADING = ("no available versions", "not at ready state")
_UNREADY = ("unknown model", "not ready")


def from_grpc(status: str, details: str, *, url: str, model: str, hint: str = "") -> QFaceError:
    """The error for a gRPC status: `status` as tritonclient spells it ("StatusCode.UNAVAILABLE").

    `hint` ends the sentence where nothing answers at the address.
    """
    code = status.rpartition(".")[2]
    lowered = details.lower()
    text = _NOISE.sub("", details).strip()
    if code == "INVALID_ARGUMENT":
        return InvalidInput(text)
    if code == "DEADLINE_EXCEEDED":
        return RequestTimeout(
            f"the server at {url} did not answer {model!r} in time: give it a longer timeout"
        )
    if code == "UNAVAILABLE" and any(phrase in lowered for phrase in _BUSY):
        return ServerBusy(f"the server at {url} can't take the request now ({text}): try again later")
    if code in ("UNAVAILABLE", "NOT_FOUND") and any(phrase in lowered for phrase in _RELOADING):
        return ServerBusy(
            f"the server at {url} is stopping or reloading {model!r} ({text}): try again later, or look "
            "at its log if it stays so"
        )
    if code == "NOT_FOUND" or (code == "UNAVAILABLE" and any(phrase in lowered for phrase in _UNREADY)):
        return NotServed(f"the server at {url} does not serve {model!r} ({text}): is it a Q-Face repository?")
    if code == "UNAVAILABLE":
        return ConnectError(
            f"no server answers at {url} ({_reason(text)}): start one with `make serve`, or give its address"
            f"{hint}"
        )
    if code == "UNIMPLEMENTED":
        return ConnectError(
            f"what answers at {url} is not a Triton server's gRPC ({text}): is it the HTTP port, or a proxy?"
            f"{hint}"
        )
    return ServerError(f"the server at {url} failed on {model!r} ({code}: {text}): look at its log")


def _reason(details: str) -> str:
    """The last cause of gRPC's chain of causes: "Connection refused (111)"."""
    return details.splitlines()[0].rpartition(": ")[2].rstrip("]") if details else "unavailable"

"""What a way of asking a server is made of."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from deploy.loadtest.work.question import Question

# What becomes of a request beside the gRPC statuses, which REST's statuses are named as.
OK = "OK"
WRONG = "WRONG"  # an answer that is not this request's
NO_DESCRIPTORS = "NO_DESCRIPTORS"  # the generator itself could not open a connection
BROKEN = "BROKEN"  # neither an answer nor a status came: reset, closed, garbage
REFUSED = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})  # the server had no place: it may be asked again


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reply:
    """How a request ended.

    code        OK, a gRPC status by its name, or one of this module's words
    details     the sentence of an error
    faces       of an answer; 0 where there is none
    pushback    seconds that the server asks to wait
    """

    code: str = OK
    details: str = ""
    faces: int = 0
    pushback: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """A whole answer.

    tensors     by name; of a protocol whose answers are no tensors those that it has, by the V2 names
    size        bytes of it, without what the protocol puts around
    """

    tensors: Mapping[str, NDArray[Any]]
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A server, and with what it is called; it goes to the generator's processes as it is.

    address             "HOST:PORT"
    metadata            sent with each request, as headers over HTTP: keys and the like; never in a report
    authorities         PEM file that the server's certificate is checked by; None with `secure`: the system's
    certificate,
    private_key         PEM files of this client
    """

    protocol: str
    address: str
    secure: bool = False
    metadata: tuple[tuple[str, str], ...] = ()
    authorities: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None


class Connection(Protocol):
    """One sender's connection, used by many requests at a time; its calls run in one event loop."""

    async def ask(self, message: Any, *, deadline: float) -> Reply:
        """Sends what `Door.message` made and waits for its end; it raises nothing but for a mistake here."""

    async def close(self) -> None: ...


class Door(Protocol):
    """A protocol."""

    name: str

    def message(self, question: Question) -> Any:
        """The question as it is sent, made once; ValueError where this protocol can't send it."""

    def connect(self, target: Target) -> Connection:
        """Called in the event loop of the calls. It connects with the first request."""

    def describe(self, target: Target, *, timeout: float, models: Sequence[str] = ()) -> Mapping[str, Any]:
        """What the server returns about itself, as plain data within `timeout` seconds.

        `server` and `version` are texts. `models` has each ready model by its name, as
        `descriptions.from_config` makes it; of a server that lists none, those of the argument.
        ConnectionError with a sentence where it can't be had: nobody there, another protocol, TLS on one
        side only, no key.
        """

    def answer(self, target: Target, question: Question, *, timeout: float) -> Answer:
        """One whole answer, over a connection of its own, before a load.

        ValueError with the server's sentence where it does not take the question, ConnectionError where
        no answer came.
        """

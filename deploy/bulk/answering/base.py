"""What answers photos, and how it is named from one process to another."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from deploy.bulk.photo import Outcome
from deploy.bulk.settings import Description, Search


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of each photo."""

    tasks: tuple[str, ...]
    search: Search
    masks: bool = False  # whether masks are returned as pictures
    contract: str | None = None  # the hash of the only contract by which answers count; None: of any
    digest: str = ""  # of the files of the only network here that counts; "": of any


class Source(Protocol):
    """What is to answer, as it travels to the process that opens it."""

    @property
    def concurrency(self) -> int:
        """Photos that are answered at a time."""
        ...

    def open(self, request: Request) -> "Answering":
        """What answers, in this process; CannotAnswer where it can't be had."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """A network that answers in one of this machine's cores."""

    network: str  # an assembled repository, or an ONNX file
    model: str | None = None  # which of a repository's networks; None: the first

    concurrency = 1

    def open(self, request: Request) -> "Answering":
        from deploy.bulk.answering.engine import EngineAnswering

        return EngineAnswering(self, request)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Servers:
    """Servers that answer."""

    urls: tuple[str, ...]  # host:port of each
    concurrency: int = 8  # photos that a worker has under way at them
    timeout: float = 60.0  # seconds for one photo, with all tries
    model: str | None = None
    # FaceClient's arguments for key and TLS.
    access: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def open(self, request: Request) -> "Answering":
        from deploy.bulk.answering.servers import ServersAnswering

        return ServersAnswering(self, request)


class CannotAnswer(Exception):
    """Nothing can be answered, now or at all: one sentence. `refused`: another try can't help."""

    def __init__(self, sentence: str, *, refused: bool = False) -> None:
        super().__init__(sentence)
        self.refused = refused

    def __reduce__(self) -> tuple[Any, ...]:
        return _cannot_answer, (str(self), self.refused)


def _cannot_answer(sentence: str, refused: bool) -> CannotAnswer:
    return CannotAnswer(sentence, refused=refused)


class Answering(Protocol):
    """Answers photos. Thread-safe."""

    def describe(self) -> Description:
        """What answers; CannotAnswer where it can't be had."""
        ...

    def answer(self, data: bytes) -> Outcome:
        """What is answered about an encoded photo; CannotAnswer where no photo can be answered."""
        ...

    def close(self) -> None: ...

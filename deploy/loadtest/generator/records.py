"""How the end of a request is kept: 32 bytes of it, and each sentence of an error once."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.loadtest.protocols.base import Reply

# What the generator itself did to a request.
CANCELLED = "CANCELLED"  # an interruption came before its end
NOT_SENT = "NOT_SENT"  # too many were outstanding, or its deadline had passed before it could be sent

# due, sent, ended: time.monotonic(), one clock for all processes of a machine; kind: index of the question;
# code: index into the codes that go with the records.
RECORD = np.dtype(
    [
        ("due", np.float64),
        ("sent", np.float64),
        ("ended", np.float64),
        ("kind", np.uint16),
        ("code", np.uint16),
        ("faces", np.uint16),
    ],
    align=True,
)
Records = NDArray[Any]  # [n] of RECORD
_MOST_FACES = np.iinfo(np.uint16).max


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strain:
    """What a process measured of itself since its last batch.

    core_seconds    processor time that it has taken since it began the load
    late            seconds after it was due that each request went out [n], of an open loop
    lag             the longest time, in seconds, that its event loop did nothing it was to do
    """

    core_seconds: float
    late: NDArray[np.float32]
    lag: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """What became of requests since the process's last batch.

    until       all that ended before this time (time.monotonic) has been reported
    outstanding requests that were sent and have not ended
    codes       what the records' codes mean
    details     the first sentence of each code that is new
    """

    until: float
    outstanding: int
    records: Records
    codes: Sequence[str]
    details: dict[str, str]
    strain: Strain


class CodeTable:
    """Words as small numbers, in the order in which they came."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.details: dict[str, str] = {}  # the first sentence of each
        self._numbers: dict[str, int] = {}

    def number(self, word: str, details: str = "") -> int:
        found = self._numbers.get(word)
        if found is None:
            found = self._numbers[word] = len(self.words)
            self.words.append(word)
            self.details[word] = details
        return found

    def translated(self, batch: Batch) -> Records:
        """A batch's records with the numbers of this table."""
        numbers = [self.number(word, batch.details.get(word, "")) for word in batch.codes]
        records = batch.records.copy()
        if len(records):
            records["code"] = np.asarray(numbers, np.uint16)[records["code"]]
        return records


class RecordBuffer:
    """Ends of requests until the next batch takes them."""

    def __init__(self) -> None:
        self.table = CodeTable()
        self._rows: list[tuple[float, float, float, int, int, int]] = []
        self._reported = 0  # codes

    def add(self, *, due: float, sent: float, ended: float, kind: int, reply: Reply) -> None:
        code = self.table.number(reply.code, reply.details)
        self._rows.append((due, sent, ended, kind, code, min(reply.faces, _MOST_FACES)))

    def take(self) -> tuple[Records, dict[str, str]]:
        """The rows since the last time, and the sentences of codes that are new."""
        rows, self._rows = self._rows, []
        new = self.table.words[self._reported :]
        self._reported = len(self.table.words)
        return np.array(rows, RECORD), {word: self.table.details[word] for word in new}


def joined(parts: Iterable[Records]) -> Records:
    """All records in one array."""
    held = list(parts)
    return np.concatenate(held) if held else np.zeros(0, RECORD)


def ended_with(code: str, records: Records, codes: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the records, whose codes are numbers of these words, ended so [n]."""
    if code not in codes:
        return np.zeros(len(records), np.bool_)
    return np.asarray(records["code"] == codes.index(code), np.bool_)

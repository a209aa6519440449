"""What a run measured: rows with one number a round, the machine and the command, kept as JSON."""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.measuring.plain_data import write_json
from qface_client.measuring.percentiles import percentile
from qface_client.measuring.sample import Sample

FORMAT = 1

# Groups of rows.
BARE, SERVED, LOADED, IN_PROCESS, PEER = "bare engine", "served", "under load", "in process", "peer"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that was measured; a tuple has one number a round."""

    name: str
    group: str
    faces: int  # of one answer
    parts: Mapping[str, tuple[float, ...]]  # core-ms an answer, by process or step
    rate: tuple[float, ...]  # answers a second
    p50_ms: tuple[float, ...] = ()
    p99_ms: tuple[float, ...] = ()

    @property
    def core_ms(self) -> tuple[float, ...]:
        """Of an answer, all processes together."""
        return tuple(sum(numbers) for numbers in zip(*self.parts.values(), strict=True))

    @property
    def face_core_ms(self) -> tuple[float, ...]:
        """Of each face of an answer; of an answer without a face, of the answer."""
        return tuple(value / max(1, self.faces) for value in self.core_ms)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Rows, and what they were measured with."""

    rows: tuple[Row, ...]
    about: Mapping[str, Any]  # date, commit, command, machine, served, settings

    def denominator(self) -> Row:
        """The cheapest setting of the bare engine; ValueError where none was measured."""
        bare = [row for row in self.rows if row.group == BARE]
        if not bare:
            raise ValueError("the run has no row of the bare engine, so nothing is a multiple of it")
        return min(bare, key=lambda row: statistics.median(row.core_ms))

    def multiples(self, row: Row) -> tuple[float, ...]:
        """Core-ms a face over the bare engine's, round by round: what slows both cancels."""
        bare = self.denominator().face_core_ms
        return tuple(face / engine for face, engine in zip(row.face_core_ms, bare, strict=True))

    def rate_shares(self, row: Row) -> tuple[float, ...]:
        """Faces a second over those of the bare engine's fastest setting, round by round."""
        bare = max(
            (each for each in self.rows if each.group == BARE), key=lambda each: statistics.median(each.rate)
        )
        return tuple(row.faces * rate / engine for rate, engine in zip(row.rate, bare.rate, strict=True))

    def write(self, path: Path) -> None:
        """Keeps the run as JSON, each list of numbers in a line."""
        rows = [dataclasses.asdict(row) for row in self.rows]
        write_json({"format": FORMAT, **self.about, "rows": rows}, path)

    @classmethod
    def read(cls, path: Path) -> "Run":
        """A kept run; ValueError with a sentence for a file that is none."""
        try:
            content = json.loads(path.read_text())
            if content.pop("format") != FORMAT:
                raise ValueError("another format")
            rows = tuple(_row(each) for each in content.pop("rows"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is not a run of deploy.benchmark.answer_cost ({error}): "
                "give a file that --json wrote"
            ) from None
        return cls(rows=rows, about=content)


def row_of(name: str, *, group: str, faces: int, samples: Sequence[Sample]) -> Row:
    """A row of its rounds' samples; ValueError for a round without an answer."""
    core_ms = [sample.core_ms for sample in samples]
    parts = dict.fromkeys(part for each in core_ms for part in each)
    timed = bool(samples) and all(sample.latencies for sample in samples)
    return Row(
        name=name,
        group=group,
        faces=faces,
        parts={part: tuple(each.get(part, 0.0) for each in core_ms) for part in parts},
        rate=tuple(sample.rate for sample in samples),
        p50_ms=tuple(1e3 * percentile(sample.latencies, 0.5) for sample in samples) if timed else (),
        p99_ms=tuple(1e3 * percentile(sample.latencies, 0.99) for sample in samples) if timed else (),
    )


def _row(content: Mapping[str, Any]) -> Row:
    lists = {name: tuple(content[name]) for name in ("rate", "p50_ms", "p99_ms")}
    parts = {name: tuple(values) for name, values in content["parts"].items()}
    return Row(name=content["name"], group=content["group"], faces=content["faces"], parts=parts, **lists)

"""One row a fault: how the clients' requests ended meanwhile, and how long it took until all was whole."""

import dataclasses
import platform
from collections.abc import Sequence
from pathlib import Path

from deploy.benchmark.load import End, Summary

_HEADER = "| fault | answered | refused | whole after | p50 | p99 | wrong | lost | note |"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One fault."""

    fault: str
    whole: float | None  # seconds; None: nothing had to be made whole
    summary: Summary
    remark: str = ""  # what failed
    note: str = ""  # what else was measured

    @property
    def bad(self) -> bool:
        """Whether a request was lost or answered wrongly, or something else was not as it should be."""
        return bool(self.remark or self.summary.lost or self.summary.ends[End.WRONG])


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [_HEADER, "|---|---:|---|---:|---:|---:|---:|---:|---|"]
    for row in rows:
        summary = row.summary
        refused = ", ".join(f"{count} {code}" for code, count in summary.refusals.most_common()) or "0"
        whole = "" if row.whole is None else f"{row.whole:.1f} s"
        note = "; ".join(filter(None, (f"FAILED: {row.remark}" if row.remark else "", row.note)))
        lines.append(
            f"| {row.fault} | {summary.ends[End.ANSWERED]} | {refused} | {whole} "
            f"| {_milliseconds(summary.median)} | {_milliseconds(summary.p99)} "
            f"| {summary.ends[End.WRONG]} | {summary.lost} | {note.replace('|', '/')} |"
        )
    return "\n".join(lines)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds == seconds else ""


def machine() -> str:
    """This machine in words that name no place."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    return f"{cores} cores, {cpu}, {kilobytes / 2**20:.0f} GiB"

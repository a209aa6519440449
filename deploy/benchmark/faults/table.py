"""One row a fault: how the clients' requests ended meanwhile, and how long it took until all was whole."""

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.benchmark.load import End, Summary

_HEADER = "| fault | whole after | requests | answered | refused | wrong | lost | p99 | slowest |"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One fault."""

    fault: str
    whole: float | None  # seconds; None: nothing had to be made whole
    summary: Summary
    remark: str = ""  # what failed


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [_HEADER, "|---|---:|---:|---:|---|---:|---:|---:|---:|"]
    for row in rows:
        summary = row.summary
        refused = ", ".join(f"{count} {code}" for code, count in summary.refusals.most_common()) or "0"
        whole = "" if row.whole is None else f"{row.whole:.1f} s"
        fault = f"{row.fault} ({row.remark})" if row.remark else row.fault
        lines.append(
            f"| {fault} | {whole} | {summary.sent} | {summary.ends[End.ANSWERED]} | {refused} "
            f"| {summary.ends[End.WRONG]} | {summary.lost} | {_milliseconds(summary.p99)} "
            f"| {_milliseconds(summary.slowest)} |"
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


def memory_table(by_program: Mapping[str, int]) -> str:
    """Markdown; bytes that each program's processes have to themselves, or their share of what is shared."""
    lines = ["| program | memory |", "|---|---:|"]
    for name, size in sorted(by_program.items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {size / 2**20:.0f} MiB |")
    lines.append(f"| all | {sum(by_program.values()) / 2**20:.0f} MiB |")
    return "\n".join(lines)

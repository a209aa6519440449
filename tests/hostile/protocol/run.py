"""Sends the variants of the protocols to a server, and counts how each kind ended."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable

from tests.hostile.protocol.variant import Target, Variant


@dataclasses.dataclass(kw_only=True)
class Ends:
    """How the variants of one kind ended: the codes, and by the variant's name what was not right."""

    codes: Counter[str] = dataclasses.field(default_factory=Counter)
    wrong: dict[str, str] = dataclasses.field(default_factory=dict)
    crashed: dict[str, str] = dataclasses.field(default_factory=dict)


def run_protocol(variants: Iterable[Variant], target: Target, *, dead: Callable[[], str]) -> dict[str, Ends]:
    """Each variant once; `dead` names the processes that are gone since it was called last."""
    kinds: dict[str, Ends] = {}
    for variant in variants:
        ends = kinds.setdefault(variant.kind, Ends())
        end = variant.end(target)
        ends.codes[end.code if end.code.count(",") < 3 else "several"] += 1
        if flaw := variant.flaw(end):
            ends.wrong[variant.name] = flaw
        if gone := dead():
            ends.crashed[variant.name] = gone
    return kinds


def protocol_table(kinds: dict[str, Ends]) -> str:
    """Markdown: one line a kind."""
    lines = ["| requests | count | ended with | wrong | crashed |", "|---|---:|---|---:|---:|"]
    for kind, ends in kinds.items():
        codes = ", ".join(f"{count} {code}" for code, count in ends.codes.most_common())
        lines.append(f"| {kind} | {ends.codes.total()} | {codes} | {len(ends.wrong)} | {len(ends.crashed)} |")
    count = sum(ends.codes.total() for ends in kinds.values())
    wrong = sum(len(ends.wrong) for ends in kinds.values())
    crashed = sum(len(ends.crashed) for ends in kinds.values())
    return "\n".join([*lines, f"| **all** | {count} | | {wrong} | {crashed} |"])

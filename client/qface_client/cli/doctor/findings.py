"""What a check found, and the order of checks: one is left out where what it needs is wrong."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar

# fine; it works, but something is to be known; calls fail; not looked at.
Mark = Literal["ok", "note", "wrong", "skipped"]
Subject = TypeVar("Subject")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at: what is, and what to do about it."""

    check: str
    mark: Mark
    sentence: str
    advice: str = ""
    server: str = ""  # which of several; "": the only one, or all

    def to_json(self) -> dict[str, Any]:
        """As --json prints it."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check(Generic[Subject]):
    """A check by its name. `needs`: the checks without which it would only repeat what they found."""

    name: str
    look: Callable[[Subject], Iterator[Finding]]
    needs: tuple[str, ...] = ()


def examine(checks: Sequence[Check[Subject]], subject: Subject) -> Iterator[Finding]:
    """What the checks find, in their order; a finding names the check that gave it."""
    causes: dict[str, str] = {}  # each check that is wrong or left out, and the one that is the cause
    for check in checks:
        cause = next((causes[name] for name in check.needs if name in causes), None)
        if cause is not None:
            causes[check.name] = cause
            yield Finding(check=check.name, mark="skipped", sentence=f"{cause} is wrong")
            continue
        for finding in check.look(subject):
            if finding.mark == "wrong":
                causes.setdefault(check.name, check.name)
            yield finding

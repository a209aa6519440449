"""`qface doctor`, run in this process."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest

from qface_client.cli import main


@dataclasses.dataclass(frozen=True)
class Report:
    """What it found: its exit status and its findings."""

    status: int
    findings: Sequence[dict[str, Any]]

    def of(self, check: str, *, server: str = "") -> dict[str, Any]:
        """The first finding of a check."""
        return next(each for each in self.findings if (each["check"], each["server"]) == (check, server))

    @property
    def wrong(self) -> list[str]:
        """The checks that found something wrong."""
        return [each["check"] for each in self.findings if each["mark"] == "wrong"]

    @property
    def skipped(self) -> list[str]:
        """The checks that were left out."""
        return [each["check"] for each in self.findings if each["mark"] == "skipped"]


def doctor(capsys: pytest.CaptureFixture[str], url: str, *options: str) -> Report:
    """A run of it."""
    status = main(["doctor", "--url", url, "--json", *options])
    found = json.loads(capsys.readouterr().out)
    assert found["well"] == (status == 0)
    return Report(status, found["findings"])

"""What the doctor finds on this host, by check."""

import json
from pathlib import Path

import pytest

from deploy.doctor import __main__ as doctor

Found = dict[str, list[tuple[str, str]]]


def examined(repository: Path, *words: str, capsys: pytest.CaptureFixture[str], status: int) -> Found:
    """The levels and sentences of each check of a gateway with these options."""
    given = ("--repository", str(repository), "--grpc-port", "0", "--http-port", "0", "--rest-port", "0")
    capsys.readouterr()
    assert doctor.main([*given, *words, "--json"], environment={}) == status
    report = json.loads(capsys.readouterr().out)
    assert report["runs"] is (status == 0)
    found: Found = {}
    for finding in report["findings"]:
        found.setdefault(finding["check"], []).append((finding["level"], finding["sentence"]))
    return found


def stop_of(found: Found, check: str) -> str:
    """The sentence of the one thing that stops the service."""
    stops = {name: text for name, about in found.items() for level, text in about if level == "stops"}
    assert stops.keys() == {check}
    return stops[check]


def note_of(found: Found, check: str) -> str:
    (sentence,) = [text for level, text in found[check] if level == "note"]
    return sentence

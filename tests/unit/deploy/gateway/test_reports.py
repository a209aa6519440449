"""Reports between the gateway's processes: whole lines alone count, and errors arrive as what they were."""

import json
import os

import pytest

from deploy.embedded import errors
from deploy.gateway.operation.failure_reports import error_of, fields_of
from deploy.gateway.operation.reports import Reporter, ReportReader


def test_a_report_in_pieces_is_read_once_whole_and_nonsense_is_left_out() -> None:
    reader = ReportReader()
    assert reader.feed(b'{"report": "al') == []
    assert reader.feed(b'ive"}\nnonsense\n[]\n{"other": 1}\n{"report": "ready"}\n{') == [
        {"report": "alive"},
        {"report": "ready"},
    ]


def test_a_parent_that_is_gone_or_does_not_read_holds_nobody_up() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    for _ in range(10_000):
        Reporter(writes).send("alive")
    os.close(reads)
    Reporter(writes).send("alive")
    os.close(writes)
    Reporter(writes).send("alive")
    Reporter(None).send("alive")


@pytest.mark.parametrize(
    "error",
    [
        errors.PortTaken("port 1 is taken"),
        errors.ModelFailed("model 'x' failed", model="x", reason="why"),
        errors.ServerDied("it died", status=-9),
    ],
)
def test_an_error_arrives_as_what_it_was(error: errors.EmbeddedServerError) -> None:
    found = error_of(json.loads(json.dumps(fields_of(error))))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


def test_an_error_of_another_package_arrives_as_a_start_that_failed() -> None:
    class Exposed(errors.CannotStart):
        """Of the gateway's own."""

    for fields in (fields_of(Exposed("no keys")), {"error": "contextlib", "sentence": "no keys"}):
        found = error_of(fields)
        assert type(found) is errors.CannotStart
        assert str(found) == "no keys"

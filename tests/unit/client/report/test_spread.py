"""How quality and expected errors spread over the faces of a report, where a server states them."""

import dataclasses
import io
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any

from qface_client.cli.inputs import Picture
from qface_client.cli.outputs import Answered
from qface_client.cli.report.gathered import Gathered
from qface_client.cli.report.sections import sections
from qface_client.cli.report.spool import Spool
from qface_client.contract import Contract, QualityRule
from tests.helpers.random_answers import CONTRACT, photo_of, stating_errors, task_of
from tests.helpers.written_reports import pattern


def answers_of(contract: Contract) -> str:
    """The section of a report on a photo of three faces."""
    photo = io.BytesIO()
    pattern(0, (640, 480)).save(photo, "PNG")
    picture = Picture(name="a.png", photo=photo.getvalue(), place=PurePath("a.png"))
    analysis = photo_of(3, contract=contract)
    with Spool() as spool, Gathered(contract, contract.select(None), spool=spool, most=1) as gathered:
        gathered.take(Answered(index=0, picture=picture, analysis=analysis, error=None))
        gathered.finish()
    material: Any = SimpleNamespace(
        gathered=gathered, copies=SimpleNamespace(photos=(), faces=(), left_out=0)
    )
    (answers,) = (section for section in sections(material) if section.id == "answers")
    return "".join(answers.pieces(material))


def test_each_task_that_states_errors_has_a_histogram_of_them_and_quality_one_of_its_own() -> None:
    stating = stating_errors(CONTRACT)
    rated = task_of("multilabel")
    rule = QualityRule(task=rated.name, label=rated.labels[0], minimum=0.0)
    shown = answers_of(dataclasses.replace(stating, quality=rule))
    assert shown.count(">expected error: median") == sum(task.states_error for task in stating.tasks) > 0
    assert shown.count(">quality: median") == 1


def test_a_report_of_a_server_that_states_neither_has_neither() -> None:
    shown = answers_of(CONTRACT)
    assert "expected error" not in shown
    assert "quality: median" not in shown

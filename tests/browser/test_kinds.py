"""deploy/web/page/kinds: what the page makes of each kind of answer is what the client makes of it."""

from typing import Any

import pytest
from playwright.sync_api import Page

from qface_client.contract import Contract, ErrorBounds
from qface_client.kinds import rotation
from qface_client.results import Face
from qface_client.tables import columns, rows
from tests.helpers.browser.answers import STATING, TASKS, WITHIN, description, face, rated, stating
from tests.helpers.browser.page_server import PageServer

ANGLES = ([0, 0, 0], [20, -10, 5], [-75, 30, 170], [90, 90, -90])
SEEN = {  # which points can be seen is answered as a list, in the labels' order
    "name": "seen",
    "kind": "multilabel",
    "labels": ["upper", "lower", "pupil"],
    "unit": "probability",
    "threshold": 0.5,
    "visible_points": {"task": "corners", "indices": [0, 2, None]},
}
TABLE = """async ({tasks, face}) => {
    const {answersOf} = await import("/web/kinds/index.js");
    return answersOf(tasks, face).map(({task, kind, answer, error}) => ({
        columns: kind.columns(task), cells: kind.cells(task, answer, error),
    }));
}"""


@pytest.fixture
def kinds(page: Page, stand_in: PageServer) -> Page:
    """A page from which the modules can be imported."""
    page.goto(stand_in.blank)
    return page


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (description([*TASKS, SEEN]), face(seen=[0.9, 0.25, 0.75])),
        (stating([*STATING, SEEN]), rated(seen=[0.9, 0.25, 0.75])),
    ],
    ids=["answers", "errors too"],
)
def test_columns_and_cells_are_those_of_the_client(
    kinds: Page, content: dict[str, Any], shown: dict[str, Any]
) -> None:
    """A CSV of the page, one of `qface analyze --csv` and a data frame can be laid on top of each other."""
    table = kinds.evaluate(TABLE, {"tasks": content["tasks"], "face": shown})
    contract = Contract.from_dict(content)
    names = [column.name for column in columns(contract, [task.name for task in contract.tasks])]
    (row,) = rows(Face.from_dict(shown, contract))
    own = [name for task in table for name in task["columns"]]
    assert own == names[-len(own) :]
    assert {
        name: value for task in table for name, value in zip(task["columns"], task["cells"], strict=True)
    } == {
        name: pytest.approx(row[name], abs=1e-4) if isinstance(row[name], float) else row[name]
        for name in own
    }


def test_intervals_are_those_of_the_client(kinds: Page) -> None:
    bounds = ErrorBounds(unit="grams", within=tuple((share, factor) for share, factor in WITHIN))
    shares = [0.3, 0.5, 0.6, 0.8, 0.9, 0.95, 0.99]
    factors = kinds.evaluate(
        "async ([error, shares]) => { const {factorOf} = await import('/web/kinds/errors.js'); "
        "return shares.map((share) => factorOf({error}, share)); }",
        [{"unit": "grams", "within": WITHIN}, shares],
    )
    assert factors == pytest.approx([bounds.factor(share) for share in shares])


def test_axes_are_those_that_the_client_draws(kinds: Page) -> None:
    axes = kinds.evaluate(
        "async all => { const {axesOf} = await import('/web/kinds/rotation.js'); return all.map(axesOf); }",
        ANGLES,
    )
    for angles, found in zip(ANGLES, axes, strict=True):
        named = rotation.Rotation(angles=dict(zip(("yaw", "pitch", "roll"), angles, strict=True)))
        for ours, theirs in zip(found, rotation.axes_of(named), strict=True):
            assert ours == pytest.approx(theirs, abs=1e-9)


def test_points_that_cannot_be_seen_are_found_by_the_contract(kinds: Page) -> None:
    hidden: Any = kinds.evaluate(
        "async ({tasks, face}) => { const {hiddenPoints} = await import('/web/kinds/index.js'); "
        "return [...hiddenPoints(tasks, face)].map(([task, points]) => [task, [...points]]); }",
        {"tasks": [*TASKS, SEEN], "face": face(seen=[0.9, 0.25, 0.1])},
    )
    assert hidden == [["corners", [2]]]

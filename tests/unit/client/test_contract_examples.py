"""The client's parser and the server's accept and refuse the same contracts."""

from pathlib import Path

import pytest

from qface_client import ContractError
from qface_client.contract import parse_contract
from runtime.contract import Contract, InvalidContract

EXAMPLES = sorted((Path(__file__).parents[2] / "assets/contracts").glob("*.json"))

# What the client takes and the server refuses, and why. A client meets contracts of servers that are newer
# than itself, written and checked by `build`: it refuses only what it could not name an answer by.
LAXER_CLIENT = {
    "bad_changed_by_hand": "the client compares the stated hash with the one that comes with every answer",
    "bad_crop_number": "the crop is the server's business, the client only shows its name",
    "bad_default_text": "which tasks are served by default is decided before there is a server",
    "bad_input_size_zero": "the server resizes, the client only shows the size",
    "bad_kind_null": "any kind that the client does not know is a task that it can't read",
    "bad_label_number": "a label is shown as text",
    "bad_label_twice": "answers are in the order of the labels",
    "bad_name_empty": "names of tasks are the server's",
    "bad_task_twice": "names of tasks are the server's",
    "bad_threshold_above_one": "the server compares with the threshold, the client only shows it",
    "bad_version_text": "a version is read as a number",
    "bad_visible_points_negative": "an index is passed on as it came",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_both_parsers_accept_or_both_refuse(path: Path) -> None:
    text = path.read_text()
    if path.stem.startswith("good_"):
        contract, seen = Contract.parse(text), parse_contract(text)
        assert (seen.hash, seen.names) == (contract.hash, contract.names)
        assert (seen.input_size, seen.crop) == (contract.input_size, contract.crop)
        for task, entry in zip(seen.tasks, contract.tasks, strict=True):
            assert (task.kind, task.labels, task.unit) == (entry.kind, entry.labels, entry.unit)
            assert (task.threshold, task.by_default) == (entry.threshold, entry.served_by_default)
            points = entry.visible_points
            assert task.points_task == (points and points.task)
            assert task.points == (points.indices if points else ())
            assert (task.error and (task.error.unit, task.error.within)) == (
                entry.error and (entry.error.unit, entry.error.within)
            )
        rule, quality = seen.quality, contract.quality
        assert (rule and (rule.task, rule.label, rule.minimum)) == (
            quality and (quality.task, quality.label, quality.minimum)
        )
        return
    with pytest.raises(InvalidContract):
        Contract.parse(text)
    if path.stem in LAXER_CLIENT:
        parse_contract(text)
    else:
        with pytest.raises(ContractError):
            parse_contract(text)


def test_what_the_client_takes_alone_is_among_the_examples() -> None:
    assert set(LAXER_CLIENT) <= {path.stem for path in EXAMPLES}

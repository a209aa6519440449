"""A contract is read whole or refused with a sentence, and written as it was read."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import onnx
import pytest

from runtime.contract import Contract, InvalidContract, TaskEntry, VisiblePoints

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "tests/assets/contracts"
GOOD = sorted(EXAMPLES.glob("good_*.json"))
BAD = sorted(EXAMPLES.glob("bad_*.json"))
WEIGHTS = sorted((ROOT / "weights").glob("*.onnx"))
CONFIGS = sorted((ROOT / "model_repository").rglob("*.pbtxt"))

# What is wrong with each bad example, as the message puts it.
FAULTS = {
    "bad_changed_by_hand": r"does not match its own hash 63e1b490dfe57df3",
    "bad_crop_number": r"crop of the contract is 7 instead of a text",
    "bad_cut_short": r"is not JSON \(",
    "bad_default_text": r"default of task 'mood' of the contract is 'no' instead of true or false",
    "bad_empty_object": r"the contract lacks 'version'",
    "bad_error_falling_factors": r"within of an error must be increasing pairs",
    "bad_error_share_of_one": r"within of an error must be shares in 0..1 and factors above 0",
    "bad_error_within_empty": r"within of an error must be increasing pairs of numbers: \(\)",
    "bad_error_without_unit": r"error of task 'age' of the contract lacks 'unit'",
    "bad_input_size_text": r"input_size of the contract is 'large' instead of a whole number",
    "bad_input_size_zero": r"input_size of the contract is 0 instead of a whole number from 1 up",
    "bad_kind_null": r"kind of task 'mood' of the contract is None instead of a text",
    "bad_label_number": r"labels of task 'mood' of the contract must be texts",
    "bad_label_twice": r"task 'mood' of the contract has two labels of one name: glad, glad",
    "bad_labels_text": r"labels of task 'mood' of the contract is 'glad' instead of a list",
    "bad_list": r"the contract is \[\] instead of a JSON object",
    "bad_name_empty": r"name of task 0 of the contract is '' instead of a text",
    "bad_newer_version": r"version 2, and 1 is the newest that can be read: upgrade",
    "bad_no_json": r"the contract is not JSON \(",
    "bad_no_labels": r"task 'mood' of the contract has no labels",
    "bad_quality_minimum_above_one": r"minimum of quality is 30 instead of a number in 0..1",
    "bad_quality_of_another_task": r"quality of the contract is label 'usable' of task 'mood', which",
    "bad_task_text": r"task 0 of the contract is \"mood\" instead of a JSON object",
    "bad_task_twice": r"names a task twice: mood, mood",
    "bad_task_without_kind": r"task 'mood' of the contract lacks 'kind'",
    "bad_task_without_labels": r"task 'mood' of the contract lacks 'labels'",
    "bad_task_without_name": r"task 0 of the contract lacks 'name'",
    "bad_task_without_unit": r"task 'mood' of the contract lacks 'unit'",
    "bad_tasks_object": r"tasks of the contract is .* instead of a list",
    "bad_threshold_above_one": r"threshold of task 'marks' of the contract is 50 instead of a number in 0..1",
    "bad_threshold_text": r"threshold of task 'marks' of the contract is 'high' instead of a number",
    "bad_version_text": r"version of the contract is '1' instead of a whole number",
    "bad_visible_points_list": r"visible_points of task 'seen' of the contract is \[0, null\] instead of",
    "bad_visible_points_negative": r"indices in visible_points of task 'seen' .* or null: \[0, -1\]",
    "bad_visible_points_too_few": r"task 'seen' of the contract has 2 labels for 1 visible_points",
    "bad_visible_points_without_task": r"visible_points of task 'seen' of the contract lacks 'task'",
    "bad_without_hash": r"the contract lacks 'hash'",
    "bad_without_input_size": r"the contract lacks 'input_size'",
    "bad_without_tasks": r"the contract lacks 'tasks'",
    "bad_without_version": r"the contract lacks 'version'",
}


def example(name: str) -> dict[str, Any]:
    contract: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return contract


def compact(text: str) -> str:
    return json.dumps(json.loads(text), separators=(",", ":"))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_contract_is_written_as_it_was_read(path: Path) -> None:
    contract = Contract.parse(path.read_text())
    assert contract.to_text() == compact(path.read_text())
    assert contract.hash == example(path.stem)["hash"]
    assert Contract.parse(contract.to_text()) == contract == Contract.parse(path.read_bytes())
    assert Contract.parse(example(path.stem)) == contract


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.name)
def test_the_contract_of_shipped_weights_is_written_as_it_was_read(path: Path) -> None:
    metadata = {prop.key: prop.value for prop in onnx.load(str(path)).metadata_props}
    contract = Contract.parse(metadata["contract"])
    assert contract.to_text() == compact(metadata["contract"])
    assert json.dumps(contract.to_json()) == metadata["contract"]


def test_the_contracts_of_the_repository_are_written_byte_for_byte() -> None:
    texts = {
        json.loads(f'"{text}"')
        for path in CONFIGS
        for text in re.findall(r'key: "contract"\s+value \{\s+string_value: "(.*)"', path.read_text())
    }
    assert texts
    for text in texts:
        assert Contract.parse(text).to_text() == text


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_contract_is_refused_with_what_is_wrong_and_where(path: Path) -> None:
    with pytest.raises(InvalidContract, match=FAULTS[path.stem]):
        Contract.parse(path.read_text())


def test_every_bad_example_has_its_sentence() -> None:
    assert sorted(FAULTS) == [path.stem for path in BAD]


def test_keys_that_are_not_known_are_kept_and_count_in_the_hash() -> None:
    written = example("good_unknown_keys")
    contract = Contract.parse(written)
    assert contract.extra == {"family": "other", "note": ["a", 1.0, None]}
    assert list(contract.to_json()) == list(written)
    assert list(contract.to_json()["tasks"][0]) == list(written["tasks"][0])
    without = dataclasses.replace(contract, extra={})
    assert without.hash != contract.hash
    assert without != contract


def test_a_contract_made_in_code_has_the_hash_of_the_one_that_is_read() -> None:
    read = Contract.parse(example("good_every_kind"))
    made = Contract(
        version=1,
        input_size=128,
        tasks=tuple(
            TaskEntry(
                name=entry.name,
                kind=entry.kind,
                labels=entry.labels,
                unit=entry.unit,
                threshold=entry.threshold,
                visible_points=entry.visible_points,
                served_by_default=entry.served_by_default,
            )
            for entry in read.tasks
        ),
    )
    assert made == read
    assert made.to_text() == read.to_text()
    assert list(made.to_json()) == ["version", "input_size", "tasks", "hash"]
    assert made.entry("seen").visible_points == VisiblePoints(task="corners", indices=(0, None))


def test_a_crop_other_than_the_aligned_one_is_written_before_the_hash() -> None:
    task = TaskEntry(name="mood", kind="classes", labels=("glad", "sad"), unit="probability")
    contract = Contract(version=1, input_size=8, tasks=(task,), crop="box")
    assert list(contract.to_json()) == ["version", "input_size", "tasks", "crop", "hash"]


def test_a_selection_keeps_the_contract_s_order_and_has_its_own_hash() -> None:
    contract = Contract.parse(example("good_every_kind"))
    selected = contract.select(["head_pose", "mood"])
    assert selected.names == ("mood", "head_pose")
    assert selected.hash != contract.hash
    assert Contract.parse(selected.to_text()) == selected


def test_a_selection_of_nothing_in_particular_is_what_is_served_by_default() -> None:
    contract = Contract.parse(example("good_every_kind"))
    assert set(contract.names) - set(contract.select(None).names) == {"origin"}
    assert contract.select(["origin"]).names == ("origin",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mood", "smile"], "do not answer smile: choose from mood, marks"),
        ([], "no task is named: choose from mood"),
    ],
)
def test_a_selection_that_can_not_be_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Contract.parse(example("good_every_kind")).select(names)


def test_a_task_that_is_not_there_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no task 'smile': choose from mood"):
        Contract.parse(example("good_one_task")).entry("smile")

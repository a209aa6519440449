"""The task catalogue and the contract made of it."""

import dataclasses

import pytest

from training import tasks
from training.contract import make_contract
from training.tasks import CATALOGUE, Task


def test_q_face_has_the_papers_68_queries() -> None:
    assert sum(task.queries for task in tasks.select(tasks.QFACE_TASKS)) == 7 + 12 + 40 + 1 + 2 + 6


def test_all_ten_tasks_have_191_queries() -> None:
    assert len(tasks.TEN_TASKS) == 10
    assert sum(task.queries for task in tasks.select(tasks.TEN_TASKS)) == 191


def test_the_quality_of_a_face_is_one_query_that_no_named_network_has_and_every_server_answers() -> None:
    task = CATALOGUE["face_quality"]
    assert (task.labels, task.queries, task.name in tasks.TEN_TASKS) == (("usable",), 1, False)
    assert make_contract([task], input_size=112).entry(task.name).served_by_default


def test_mirroring_twice_gives_the_same_labels() -> None:
    for task in CATALOGUE.values():
        order = task.mirrored_order()
        assert [order[i] for i in order] == list(range(len(task.labels)))


def test_mirrored_landmarks_swap_the_corners_of_the_eyes_and_the_mouth() -> None:
    order = CATALOGUE["landmarks"].mirrored_order()
    assert (order[0], order[36], order[39], order[48], order[60], order[30]) == (16, 45, 42, 54, 64, 30)


def test_visibility_points_map_to_landmarks_on_the_same_side() -> None:
    task = CATALOGUE["visibility"]
    assert task.aligned_labels is not None
    assert list(task.aligned_labels) == list(task.labels)
    mirrored = CATALOGUE["landmarks"].mirrored_order()
    for left, right in task.mirror:
        a, b = task.aligned_labels[left], task.aligned_labels[right]
        assert (a is None and b is None) or (a is not None and mirrored[a] == b)


def test_the_hash_changes_with_order_unit_and_size_and_not_by_itself() -> None:
    selected = tasks.select(tasks.QFACE_TASKS)
    contract = make_contract(selected, input_size=112).to_json()
    assert contract["hash"] == make_contract(selected, input_size=112).to_json()["hash"]
    assert contract["hash"] != make_contract(selected, input_size=128).to_json()["hash"]
    first, *others = selected
    reordered = [dataclasses.replace(first, labels=first.labels[::-1]), *others]
    assert make_contract(reordered, input_size=112).hash != contract["hash"]


def test_labels_that_were_not_trained_are_not_promised() -> None:
    trained = {"action_units": ["AU1", "AU12"], "age": ["years"]}
    contract = make_contract(tasks.select(tasks.QFACE_TASKS), input_size=112, trained=trained).to_json()
    assert {entry["name"]: entry["labels"] for entry in contract["tasks"]} == trained


def test_a_class_task_that_misses_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="expression"):
        make_contract(
            tasks.select(["expression"]), input_size=112, trained={"expression": ["fear", "anger"]}
        ).to_json()


def test_unknown_and_repeated_names_are_named() -> None:
    with pytest.raises(ValueError, match="unknown task mood"):
        tasks.select(["age", "mood"])
    with pytest.raises(ValueError, match="twice"):
        tasks.select(["age", "age"])


def test_a_label_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Task(name="x", kind="classes", labels=("a", "a"), unit="", queries=2, loss="", metric="")


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tasks are called 'age'"):
        tasks.by_name((CATALOGUE["age"], CATALOGUE["gender"], CATALOGUE["age"]))

"""A kind of answer is one module: found by itself, with its head, its comparison and its tolerance."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import runtime.kinds
from runtime.contract import TaskEntry
from runtime.kinds import kind_of, kinds
from runtime.kinds.base import PhotoGeometry
from runtime.pose import rotation_from_angles
from runtime.postprocess import postprocess


def task(kind: str, *labels: str, **fields: Any) -> TaskEntry:
    return TaskEntry(name="t", kind=kind, labels=labels, unit="points", **fields)


def heads(kind: str) -> NDArray[Any]:
    """Two faces' heads of a task with two labels, each a possible answer."""
    pairs: dict[str, NDArray[Any]] = {
        "classes": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32),
        "multilabel": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32),
        "value": np.array([[31.0], [7.0]], np.float32),
        "rotation": np.stack([np.eye(3, dtype=np.float32)] * 2),
        "points": np.arange(8, dtype=np.float32).reshape(2, 2, 2),
        "mask": np.zeros((2, 5, 4), np.uint8),
    }
    return pairs[kind]


@pytest.fixture
def smell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of a further kind in the package."""
    (tmp_path / "smell.py").write_text(
        "from runtime.kinds.value import Value\nclass Smell(Value):\n    name = 'smell'\nKIND = Smell()\n"
    )
    monkeypatch.setattr(runtime.kinds, "__path__", [*runtime.kinds.__path__, str(tmp_path)])
    kinds.cache_clear()
    yield
    kinds.cache_clear()


def test_every_kind_is_called_as_its_module() -> None:
    assert list(kinds()) == ["classes", "mask", "multilabel", "points", "rotation", "value"]
    assert all(name == kind.name for name, kind in kinds().items())


@pytest.mark.usefixtures("smell")
def test_a_module_that_is_added_is_a_kind_that_is_known() -> None:
    assert kind_of("smell").name == "smell"
    assert set(postprocess(task("smell", "roses"), np.ones((1, 1), np.float32))) == {"t_value"}


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^unknown kind 'smell': known are classes, mask, "):
        kind_of("smell")
    with pytest.raises(ValueError, match="task 't' is of the unknown kind 'smell'"):
        kind_of(task("smell", "roses"))


@pytest.mark.parametrize("name", list(kinds()))
def test_a_head_is_recognised_by_its_type_and_shape(name: str) -> None:
    kind, values = kind_of(name), heads(name)
    datatype = {"float32": "FP32", "uint8": "UINT8"}[values.dtype.name]
    head = kind.head(2)
    assert head.matches(datatype, values.shape[1:])
    assert not head.matches("INT64", values.shape[1:])
    assert not head.matches(datatype, (*values.shape[1:], 1))
    assert not head.matches(datatype, (-1,))


@pytest.mark.parametrize("name", list(kinds()))
def test_a_kind_answers_the_tensors_that_it_names(name: str) -> None:
    entry = task(name, "a", "b", threshold=0.5)
    if name == "value":
        entry = dataclasses.replace(entry, labels=("a",))
    photo = PhotoGeometry(maps=np.stack([np.eye(2, 3, dtype=np.float32)] * 2), sizes=np.full((2, 2), 9))
    promised = {tensor.name for tensor in kind_of(entry).answer_tensors(entry) if not tensor.on_request}
    assert set(kind_of(entry).postprocess(entry, heads(name), photo)) == promised


@pytest.mark.parametrize("name", list(kinds()))
def test_the_same_heads_lie_nothing_apart(name: str) -> None:
    for in_units in (False, True):
        assert kind_of(name).difference(heads(name), heads(name), in_units=in_units) == 0


@pytest.mark.parametrize("name", sorted(set(kinds()) - {"mask"}))
@pytest.mark.parametrize("in_units", [False, True])
def test_a_head_that_is_no_number_is_infinitely_far(name: str, in_units: bool) -> None:
    broken = heads(name).copy()
    broken[1] = np.nan
    assert kind_of(name).difference(heads(name), broken, in_units=in_units) == math.inf


def test_rotations_are_compared_by_their_angle_or_entry_by_entry() -> None:
    straight, turned = (rotation_from_angles(np.array([[yaw, 0.0, 0.0]])) for yaw in (0.0, 3.0))
    kind = kind_of("rotation")
    assert kind.difference(straight, turned, in_units=True) == pytest.approx(3)
    assert kind.difference(straight, turned, in_units=False) == pytest.approx(math.sin(math.radians(3)))


def test_masks_are_compared_by_the_share_of_their_pixels() -> None:
    other = heads("mask").copy()
    other[0, 0] = 1
    assert kind_of("mask").difference(heads("mask"), other, in_units=False) == 4 / 40


def test_every_kind_has_a_tolerance_for_full_and_for_low_precision() -> None:
    assert {name: kind.tolerance("fp32") for name, kind in kinds().items()} == {
        "classes": 1e-4,
        "mask": 1e-3,
        "multilabel": 1e-4,
        "points": 1e-3,
        "rotation": 1e-4,
        "value": 1e-4,
    }
    low = {"classes": 0.02, "mask": 0.005, "multilabel": 0.02, "points": 0.5, "rotation": 0.5, "value": 0.5}
    for precision in ("bf16", "fp16", "int8", "fp8"):
        assert {name: kind.tolerance(precision) for name, kind in kinds().items()} == low


def test_differences_are_shown_in_the_unit_that_they_are_measured_in() -> None:
    assert kind_of("value").unit_text(task("value", "a")) == " points"
    assert kind_of("rotation").unit_text(task("rotation", "a")) == "°"
    assert kind_of("rotation").unit_text(task("rotation", "a"), in_units=False) == ""
    assert kind_of("classes").unit_text(task("classes", "a")) == ""


def test_labels_can_not_be_active_without_a_threshold() -> None:
    with pytest.raises(ValueError, match="task 't' has no threshold"):
        kind_of("multilabel").check(task("multilabel", "a"))
    kind_of("multilabel").check(task("multilabel", "a", threshold=0.5))

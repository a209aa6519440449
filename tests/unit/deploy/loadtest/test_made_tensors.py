"""Tensors that are made for a model of any server, by what it declares and what is given."""

from typing import Any

import numpy as np
import pytest

from deploy.loadtest.work.made_tensors import OPEN_SIZE, question_to
from deploy.loadtest.work.options import WorkOptions


def model(*inputs: tuple[str, str, list[int]], rows: int | None = 8, optional: str = "") -> dict[str, Any]:
    return {
        "max_batch_size": rows,
        "inputs": [
            {"name": name, "datatype": datatype, "shape": shape, "optional": name == optional}
            for name, datatype, shape in inputs
        ],
    }


PICTURE = model(("image", "FP32", [-1, 3, -1, -1]))


@pytest.mark.parametrize(
    ("datatype", "dtype", "values"),
    [
        ("UINT8", np.uint8, (0, 255)),
        ("INT64", np.int64, (0, 9)),
        ("INT8", np.int8, (0, 9)),
        ("UINT32", np.uint32, (0, 9)),
        ("FP16", np.float16, (0, 1)),
        ("FP32", np.float32, (0, 1)),
        ("FP64", np.float64, (0, 1)),
        ("BOOL", np.bool_, (0, 1)),
    ],
)
def test_elements_have_the_type_and_differ(
    datatype: str, dtype: type[Any], values: tuple[float, float]
) -> None:
    made = question_to("m", model(("x", datatype, [-1, 500])), WorkOptions(model="m")).inputs["x"]
    assert (made.dtype, made.shape) == (dtype, (1, 500))
    assert made.min() >= values[0]
    assert made.max() <= values[1]
    assert len(np.unique(made)) > 1


def test_texts_are_bytes() -> None:
    made = question_to("m", model(("x", "BYTES", [-1, -1])), WorkOptions(model="m")).inputs["x"]
    assert made.shape == (1, 1)
    assert isinstance(made[0, 0], bytes)


def test_the_same_request_is_made_again() -> None:
    first, second = (question_to("m", PICTURE, WorkOptions(model="m")) for _ in range(2))
    np.testing.assert_array_equal(first.inputs["image"], second.inputs["image"])


@pytest.mark.parametrize(
    ("rows", "shapes", "batch", "shape"),
    [
        (8, {}, 1, (1, 3, OPEN_SIZE, OPEN_SIZE)),
        (8, {"image": (3, 10, 20)}, 4, (4, 3, 10, 20)),
        (None, {"image": (3, 10, 20)}, 4, (4, 3, 10, 20)),  # a batch that only the metadata show
        (None, {"image": (2, 3, 10, 20)}, 1, (2, 3, 10, 20)),
        (0, {}, 1, (OPEN_SIZE, 3, OPEN_SIZE, OPEN_SIZE)),  # a first size that is no batch
    ],
)
def test_shapes_come_from_what_is_declared_and_given(
    rows: int | None, shapes: dict[str, tuple[int, ...]], batch: int, shape: tuple[int, ...]
) -> None:
    options = WorkOptions(model="m", shapes=shapes, batch=batch)
    question = question_to("m", PICTURE | {"max_batch_size": rows}, options)
    assert question.inputs["image"].shape == shape
    assert question.kind == ("m" if batch == 1 else f"m, batch {batch}")


@pytest.mark.parametrize(
    ("shapes", "batch", "wrong"),
    [
        ({"image": (3, 10)}, 1, r"--shape image:3,N,N"),
        ({"image": (4, 10, 10)}, 1, r"--shape image:3,N,N"),
        ({"photo": (3, 10, 10)}, 1, "no input photo: it has image"),
        ({}, 9, "batches of 8 at most"),
    ],
)
def test_what_the_model_can_not_take_is_refused(
    shapes: dict[str, tuple[int, ...]], batch: int, wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        question_to("m", PICTURE, WorkOptions(model="m", shapes=shapes, batch=batch))


def test_a_type_that_can_not_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match="is FANCY, which is not made"):
        question_to("m", model(("x", "FANCY", [-1, 2])), WorkOptions(model="m"))


def test_optional_inputs_are_sent_where_their_shape_is_given() -> None:
    described = model(("a", "FP32", [-1, 2]), ("b", "FP32", [-1, 2]), optional="b")
    assert list(question_to("m", described, WorkOptions(model="m")).inputs) == ["a"]
    given = WorkOptions(model="m", shapes={"b": (2,)})
    assert list(question_to("m", described, given).inputs) == ["a", "b"]

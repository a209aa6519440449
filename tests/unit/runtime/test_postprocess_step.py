"""The step behind the engine answers the faces of several requests at once, and each request its own."""

import importlib
from typing import Any

import numpy as np
import pytest

from runtime.contract import Contract
from tests.helpers.fake_backend import Request, initialize
from tests.helpers.networks import standin_network


@pytest.fixture
def postprocess_model(backend: Any) -> Any:
    served = importlib.import_module("runtime.serving.postprocess").Postprocess
    contract = Contract.parse(standin_network.contract_of("age", "expression"))
    return initialize(served(), inputs=["age", "expression"], contract=contract.to_text())


LABELS = Contract.parse(standin_network.contract_of("expression")).entry("expression").labels


def heads(*ages: int) -> dict[str, np.ndarray[Any, Any]]:
    """Heads of as many faces; the most probable label of each is that of its age's number."""
    return {
        "age": np.array(ages, np.float32)[:, None],
        "expression": np.eye(len(LABELS), dtype=np.float32)[list(ages)],
    }


def test_the_faces_of_several_requests_are_answered_at_once_and_each_gets_its_own(
    postprocess_model: Any,
) -> None:
    names = ["age_value", "expression_label", "contract"]
    requests = [
        Request(names, **heads(1, 2)),
        Request(["age_value"], **heads(3)),
        Request(names, **heads(0)),
    ]
    first, second, third = postprocess_model.execute(requests)
    assert first.tensors["age_value"].values.ravel().tolist() == [1, 2]
    assert first.tensors["expression_label"].values.tolist() == [[LABELS[i].encode()] for i in (1, 2)]
    assert first.tensors["contract"].values.shape == (2, 1)
    assert list(second.tensors) == ["age_value"]
    assert second.tensors["age_value"].values.tolist() == [[3]]
    assert third.tensors["expression_label"].values.tolist() == [[LABELS[0].encode()]]


def test_a_request_that_can_t_be_postprocessed_does_not_take_its_batch_along(postprocess_model: Any) -> None:
    names = ["age_value", "expression_label"]
    broken = Request(names, **{**heads(1), "expression": np.ones((1, 0), np.float32)})
    answered = postprocess_model.execute([Request(names, **heads(1)), broken, Request(names, **heads(2))])
    assert [response.has_error() for response in answered] == [False, True, False]
    assert answered[2].tensors["age_value"].values.tolist() == [[2]]

"""A model gets a canary where a picture is all it needs, and while nothing else shows that it answers."""

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.embedded.readiness import canary_inputs
from deploy.gateway.backends.canaries import CanaryRound, canaries_of
from deploy.gateway.front.served_models import ServedModels


def served(
    models: dict[str, dict[str, tuple[str, list[int]]]], *, ensembles: dict[str, list[str]]
) -> ServedModels:
    configs, metadata = {}, {}
    for model, inputs in models.items():
        config = v2.ModelConfigResponse()
        config.config.max_batch_size = 4
        for step in ensembles.get(model, ()):
            config.config.ensemble_scheduling.step.add(model_name=step)
        configs[model] = config
        about = v2.ModelMetadataResponse(name=model)
        for name, (datatype, shape) in inputs.items():
            about.inputs.add(name=name, datatype=datatype, shape=shape)
        metadata[model] = about
    return ServedModels.of(
        generation=1, server=v2.ServerMetadataResponse(), configs=configs, metadata=metadata
    )


def test_a_picture_is_grey_and_what_stands_beside_it_is_unknown() -> None:
    values = canary_inputs(
        {"image": ("UINT8", [-1, -1]), "box": ("FP32", [-1, 4]), "points": ("FP32", [-1, 5, 2])}, batched=True
    )
    assert values is not None
    assert values["image"].shape[0] == 1
    assert values["image"].tobytes().startswith(b"P6\n")
    assert values["box"].shape == (1, 4)
    assert values["points"].shape == (1, 5, 2)
    assert np.isnan(values["box"]).all()


def test_pixels_have_the_size_that_the_model_takes() -> None:
    fixed = canary_inputs({"pixels": ("UINT8", [-1, 112, 112, 3])}, batched=True)
    free = canary_inputs({"crop": ("UINT8", [-1, -1, 3])}, batched=False)
    assert fixed is not None
    assert fixed["pixels"].shape == (1, 112, 112, 3)
    assert free is not None
    assert free["crop"].shape == (64, 64, 3)


@pytest.mark.parametrize(
    "inputs",
    [
        {"logits": ("FP32", [7])},
        {"mask": ("UINT8", [112, 112])},
        {"image": ("UINT8", [-1]), "size": ("INT32", [2])},
        {"image": ("UINT8", [-1]), "scores": ("FP32", [-1])},
        {"one": ("UINT8", [-1]), "two": ("UINT8", [-1])},
        {"file": ("BYTES", [1])},
        {},
    ],
)
def test_a_model_that_needs_more_than_a_picture_gets_none(inputs: dict[str, Any]) -> None:
    assert canary_inputs(inputs, batched=False) is None


def test_the_canaries_of_a_repository_and_an_answer_that_counts_for_the_steps() -> None:
    models = {
        "whole": {"crop": ("UINT8", [-1, -1, -1, 3])},
        "first": {"crop": ("UINT8", [-1, -1, -1, 3])},
        "last": {"logits": ("FP32", [-1, 7])},
    }
    canaries = canaries_of(served(models, ensembles={"whole": ["first", "last"]}))
    assert set(canaries) == {"whole", "first"}
    [crop] = canaries["whole"].request.inputs
    assert list(crop.shape) == [1, 64, 64, 3]
    assert len(canaries["whole"].request.raw_input_contents[0]) == 64 * 64 * 3

    now = 0.0
    turn = CanaryRound(canaries, seconds=5.0, clock=lambda: now)
    assert turn.due() is None
    now = 5.0
    turn.answered("first")
    due = turn.due()
    assert due is not None
    assert due.model == "whole"
    turn.answered("whole")
    assert turn.due() is None
    now = 9.9
    assert turn.due() is None
    turn.answered("whole")  # a real request: its steps have answered too
    now = 10.0
    assert turn.due() is None


def test_what_is_not_served_is_no_answer_of_anything() -> None:
    CanaryRound({}, seconds=5.0).answered("unknown")


def test_canaries_take_a_fortieth_of_the_time_at_most() -> None:
    now = 0.0
    models = {name: {"crop": ("UINT8", [-1, -1, -1, 3])} for name in ("a", "b")}
    turn = CanaryRound(canaries_of(served(models, ensembles={})), seconds=5.0, clock=lambda: now)
    now = 6.0
    assert turn.due() is not None
    turn.answered("a")
    turn.took(1.0)
    now = 45.9
    assert turn.due() is None
    now = 46.1
    assert turn.due() is not None

"""What a request is expected to take: learned by model, size and the steps of its parameters."""

import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.admission.picture_cost import cost_of
from deploy.gateway.admission.weights import Weights
from deploy.gateway.front.request import read_request
from deploy.gateway.options import Limits
from deploy.gateway.work import Cost, Work
from runtime.parameters import STEP_FACTOR, Parameter, to_text
from tests.helpers.fake_authority import model, served_models
from tests.helpers.fronts import FP32

NEAR = Parameter(type="number", minimum=0, maximum=1, work_steps=(0.02, 0.01))
SERVED = served_models(
    model(
        "m",
        input=[{"name": "x", "data_type": FP32, "dims": [1]}],
        output=[],
        parameters={"request_parameters": {"string_value": to_text({"near": NEAR})}},
    )
)


def work(steps: int = 0) -> Work:
    return Work(model="m", cost=Cost(bytes=1, pixels=1_000_000, scan_pixels=1_000_000, steps=steps))


@pytest.mark.parametrize(("near", "steps"), [(None, 0), (0.5, 0), (0.02, 0), (0.015, 1), (0.001, 2), (0, 2)])
def test_a_request_s_parameters_say_how_many_steps_its_work_is_longer(near: float | None, steps: int) -> None:
    request = v2.ModelInferRequest(model_name="m", raw_input_contents=[bytes(4)])
    request.inputs.add(name="x", datatype="FP32", shape=[1])
    if near is not None:
        request.parameters["near"].double_param = near
    assert cost_of(read_request(request.SerializeToString()), SERVED, Limits()).steps == steps


def test_long_work_does_not_change_what_ordinary_work_of_the_same_model_weighs() -> None:
    weights = Weights()
    weights.learn(work(), 0.5)
    weights.learn(work(steps=2), 60.0)
    assert weights.of(work()) == pytest.approx(0.5)
    assert weights.of(work(steps=2)) == pytest.approx(60)


def test_what_was_never_measured_is_estimated_from_fewer_steps() -> None:
    weights = Weights()
    assert weights.of(work(steps=1)) == pytest.approx(STEP_FACTOR * weights.of(work()))
    weights.learn(work(), 0.5)
    assert work(steps=1) not in weights
    assert weights.of(work(steps=2)) == pytest.approx(0.5 * STEP_FACTOR**2)
    weights.learn(work(steps=1), 1.0)
    assert weights.of(work(steps=2)) == pytest.approx(STEP_FACTOR)

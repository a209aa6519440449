"""Request parameters of a model's own: its configuration says which it takes, the gateway takes no others."""

from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.request import read_request
from deploy.gateway.front.validation import validate
from deploy.gateway.refusals import Refusal
from runtime.parameters import Parameter, to_text
from tests.helpers.fake_authority import model, served_models
from tests.helpers.fronts import FP32

TEXT = [{"name": "x", "data_type": FP32, "dims": [1]}]
SHADE = Parameter(type="number", minimum=0.1, maximum=1.0, default=0.5)
STRIPES = Parameter(type="integer", minimum=1, maximum=9)


def described(name: str, text: str) -> Any:
    return model(name, input=TEXT, output=TEXT, parameters={"request_parameters": {"string_value": text}})


SERVED = served_models(
    described("zebra", to_text({"shade": SHADE, "stripes": STRIPES})),
    described("broken", '{"shade": 1}'),
    model("plain", input=TEXT, output=TEXT),
)


def request(to: str, **parameters: tuple[str, Any]) -> "v2.ModelInferRequest":
    made = v2.ModelInferRequest(model_name=to, raw_input_contents=[bytes(4)])
    made.inputs.add(name="x", datatype="FP32", shape=[1])
    for name, (kind, value) in parameters.items():
        setattr(made.parameters[name], kind, value)
    return made


def check(to: str, **parameters: tuple[str, Any]) -> None:
    validate(read_request(request(to, **parameters).SerializeToString()), SERVED)


@pytest.mark.parametrize(
    "shade", [("double_param", 0.1), ("double_param", 1.0), ("int64_param", 1), ("uint64_param", 1)]
)
def test_what_the_model_describes_is_taken(shade: tuple[str, Any]) -> None:
    check("zebra", shade=shade, stripes=("int64_param", 9), priority=("int64_param", 1))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("shade", ("double_param", 0.05), "it is a number of 0.1 to 1"),
        ("shade", ("double_param", float("nan")), "it is a number of 0.1 to 1"),
        ("shade", ("double_param", float("-inf")), "it is a number of 0.1 to 1"),
        ("shade", ("string_param", "0.5"), "it is a number of 0.1 to 1"),
        ("shade", ("bool_param", True), "it is a number of 0.1 to 1"),
        ("stripes", ("int64_param", 10), "it is an integer of 1 to 9"),
        ("stripes", ("double_param", 2.0), "it is an integer of 1 to 9"),
        ("stripes", ("uint64_param", (1 << 64) - 1), "it is an integer of 1 to 9"),
        ("shadow", ("double_param", 0.5), "leave it out; priority, shade, stripes, timeout"),
    ],
)
def test_what_it_does_not_take_is_refused_in_its_own_words(
    name: str, value: tuple[str, Any], words: str
) -> None:
    with pytest.raises(Refusal) as refused:
        check("zebra", **{name: value})
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "parameter")
    assert words in refused.value.sentence
    assert name in refused.value.sentence


@pytest.mark.parametrize("name", ["plain", "broken"])
def test_a_model_that_describes_none_takes_none(name: str) -> None:
    check(name)
    with pytest.raises(Refusal, match="is not taken"):
        check(name, shade=("double_param", 0.5))


def test_a_description_that_can_not_be_read_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    served = served_models(described("broken", '{"shade": 1}'), model("plain", input=TEXT, output=TEXT))
    for _ in range(2):  # requests
        assert not served.signatures["broken"].parameters
    (record,) = caplog.records
    assert "model broken takes no request parameters" in record.getMessage()

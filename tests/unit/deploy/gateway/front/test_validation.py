"""One rule a case: what Triton would not take, or would fall over, never reaches it."""

from collections.abc import Callable

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.request import MAX_STRINGS, read_request
from deploy.gateway.front.validation import rows_of, validate
from deploy.gateway.refusals import Refusal
from tests.helpers.fake_authority import model, served_models
from tests.helpers.fronts import FP32, STRING, UINT8, crops_request

FACES = model(
    "faces",
    max_batch_size=4,
    input=[
        {"name": "image", "data_type": UINT8, "dims": [-1]},
        {"name": "box", "data_type": FP32, "dims": [4]},
        {"name": "name", "data_type": STRING, "dims": [-1], "optional": True},
    ],
    output=[{"name": "answer", "data_type": FP32, "dims": [2]}],
)
WORDS = model(
    "words",
    input=[{"name": "text", "data_type": STRING, "dims": [-1]}],
    output=[{"name": "answer", "data_type": FP32, "dims": [2]}],
)
CROPS = model(
    "crops",
    max_batch_size=4,
    input=[{"name": "crop", "data_type": UINT8, "dims": [-1, -1, 3]}],
    output=[
        {"name": "answer", "data_type": FP32, "dims": [2]},
        {"name": "label", "data_type": STRING, "dims": [1]},
    ],
)
INTERNAL = model(
    "internal",
    input=[{"name": "crop", "data_type": UINT8, "dims": [-1, -1, 3]}],
    output=[{"name": "answer", "data_type": FP32, "dims": [2]}],
    parameters={"internal": {"string_value": "true"}},
)
SERVED = served_models(FACES, WORDS, CROPS, INTERNAL)

Change = Callable[["v2.ModelInferRequest"], object]


def faces_request() -> "v2.ModelInferRequest":
    request = v2.ModelInferRequest(model_name="faces")
    request.inputs.add(name="image", datatype="UINT8", shape=[2, 3])
    request.inputs.add(name="box", datatype="FP32", shape=[2, 4])
    request.raw_input_contents.extend([bytes(6), bytes(32)])
    return request


def words_request(raw: bytes, *, count: int) -> "v2.ModelInferRequest":
    request = v2.ModelInferRequest(model_name="words", raw_input_contents=[raw])
    request.inputs.add(name="text", datatype="BYTES", shape=[count])
    return request


def check(request: "v2.ModelInferRequest") -> None:
    validate(read_request(request.SerializeToString()), SERVED)


def refusal_of(request: "v2.ModelInferRequest") -> Refusal:
    with pytest.raises(Refusal) as caught:
        check(request)
    refusal = caught.value
    assert refusal.retry_after is None
    assert refusal.sentence.isprintable()
    assert len(refusal.sentence) < 500
    return refusal


@pytest.mark.parametrize("rows", [1, 4])
def test_what_a_model_takes_passes(rows: int) -> None:
    request = crops_request(rows, model_version="1", id="7")
    request.outputs.add(name="label")
    request.outputs.add(name="answer").parameters["binary_data"].bool_param = True
    check(request)
    assert rows_of(read_request(request.SerializeToString()), SERVED.signatures["crops"]) == rows


def test_inputs_may_come_in_any_order_and_optional_ones_may_be_missing() -> None:
    request = v2.ModelInferRequest(model_name="faces")
    request.inputs.add(name="box", datatype="FP32", shape=[1, 4])
    request.inputs.add(name="image", datatype="UINT8", shape=[1, 3])
    request.raw_input_contents.extend([bytes(16), bytes(3)])
    check(request)
    request.inputs.add(name="name", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(b"\2\0\0\0ab")
    check(request)


def test_a_tensor_without_elements_passes_as_the_model_answers_it() -> None:
    request = crops_request()
    request.inputs[0].shape[:] = [1, 0, 40, 3]
    request.raw_input_contents[0] = b""
    check(request)
    del request.raw_input_contents[:]
    check(request)


@pytest.mark.parametrize("name", ["priority", "timeout"])
@pytest.mark.parametrize("kind", ["int64_param", "uint64_param"])
@pytest.mark.parametrize("value", [0, 1])
def test_priority_and_timeout_are_taken_as_any_integer(name: str, kind: str, value: int) -> None:
    request = crops_request()
    setattr(request.parameters[name], kind, value)
    check(request)


def test_typed_contents_pass() -> None:
    request = crops_request()
    request.inputs[0].contents.uint_contents.extend(request.raw_input_contents[0])
    del request.raw_input_contents[:]
    check(request)


def setting(attribute: str, value: object) -> Change:
    return lambda request: setattr(request, attribute, value)


def shape(*dims: int) -> Change:
    def change(request: "v2.ModelInferRequest") -> None:
        request.inputs[0].shape[:] = dims

    return change


def raw(size: int) -> Change:
    def change(request: "v2.ModelInferRequest") -> None:
        request.raw_input_contents[0] = bytes(size)

    return change


def parameter(name: str, kind: str, value: object) -> Change:
    return lambda request: setattr(request.parameters[name], kind, value)


def output(name: str, **parameters: object) -> Change:
    def change(request: "v2.ModelInferRequest") -> None:
        added = request.outputs.add(name=name)
        for parameter, value in parameters.items():
            kind = "string_param" if isinstance(value, str) else "int64_param"
            setattr(added.parameters[parameter], kind, value)

    return change


def input_parameter(name: str) -> Change:
    return lambda request: setattr(request.inputs[0].parameters[name], "string_param", "region")


def all_of(*changes: Change) -> Change:
    return lambda request: [change(request) for change in changes]


def twice(request: "v2.ModelInferRequest") -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def datatype(name: str) -> Change:
    return lambda request: setattr(request.inputs[0], "datatype", name)


def renamed(name: str) -> Change:
    return lambda request: setattr(request.inputs[0], "name", name)


def without_tensors(request: "v2.ModelInferRequest") -> None:
    del request.raw_input_contents[:]


def without_inputs(request: "v2.ModelInferRequest") -> None:
    del request.raw_input_contents[:]
    del request.inputs[:]


BAD: dict[str, tuple[Change, str]] = {
    "unknown input": (renamed("face"), "unexpected inference input 'face' for model 'crops': it takes crop"),
    "no input": (without_inputs, "lacks the input 'crop'"),
    "input twice": (twice, "input 'crop' for model 'crops' is in the request twice"),
    "datatype": (datatype("FP32"), "has the datatype 'FP32'; it takes UINT8"),
    "no datatype": (datatype(""), "has the datatype ''; it takes UINT8"),
    "rank": (shape(2, 2, 3), "has the shape [2, 2, 3]; it takes [rows, any, any, 3]"),
    "no shape": (shape(), "has the shape []; it takes"),
    "long shape": (shape(*range(64)), "has the shape [0, 1, 2, 3, 4, 5, 6, 7, ...]; it takes"),
    "dim": (shape(1, 2, 2, 4), "has the shape [1, 2, 2, 4]; it takes"),
    "negative dim": (shape(1, -1, 2, 3), "has the shape [1, -1, 2, 3]; it takes"),
    "negative dims": (shape(1, -2, -2, 3), "has the shape [1, -2, -2, 3]; it takes"),
    "no rows": (shape(0, 2, 2, 3), "has a batch of 0 rows; it takes 1 to 4"),
    "too many rows": (shape(5, 2, 2, 3), "has a batch of 5 rows; it takes 1 to 4"),
    "huge batch": (shape(1 << 62, 2, 2, 3), "has a batch of 4611686018427387904 rows"),
    "overflow": (shape(1, 1 << 62, 4, 3), "has 12 bytes; its shape [1, 4611686018427387904, 4, 3] takes"),
    "overflow to the size": (shape(4, 1 << 62, 1, 3), "has 12 bytes; its shape"),
    "too few bytes": (raw(11), "has 11 bytes; its shape [1, 2, 2, 3] takes 12"),
    "too many bytes": (raw(13), "has 13 bytes; its shape [1, 2, 2, 3] takes 12"),
    "no data": (without_tensors, "input 'crop' for model 'crops' has no data"),
    "unknown output": (output("aura"), "unexpected inference output 'aura' for model 'crops'"),
    "empty output": (output(""), "unexpected inference output '' for model 'crops'"),
    "output twice": (all_of(output("label"), output("label")), "'crops' is requested twice: name it once"),
    "classification": (output("label", classification=1), "with the parameter 'classification', which"),
    "shared memory out": (output("label", shared_memory_region="r"), "'shared_memory_region', which is not"),
    "shared memory in": (input_parameter("shared_memory_region"), "has the parameter 'shared_memory_region'"),
    "any input parameter": (input_parameter("x"), "input 'crop' for model 'crops' has the parameter 'x'"),
    "sequence": (parameter("sequence_id", "int64_param", 7), "has the parameter 'sequence_id', which is not"),
    "sequence start": (parameter("sequence_start", "bool_param", True), "'sequence_start'"),
    "unknown parameter": (parameter("x\ny", "string_param", "z"), "has the parameter 'x?y', which is not t"),
    "priority too low": (parameter("priority", "uint64_param", 2), "'priority' that can't be used: it is"),
    "negative priority": (parameter("priority", "int64_param", -1), "'priority' that can't be used"),
    "priority as text": (parameter("priority", "string_param", "1"), "'priority' that can't be used"),
    "priority as bool": (parameter("priority", "bool_param", True), "'priority' that can't be used"),
    "priority as double": (parameter("priority", "double_param", 1.0), "'priority' that can't be used"),
    "negative timeout": (parameter("timeout", "int64_param", -1), "'timeout' that can't be used"),
    "huge timeout": (parameter("timeout", "uint64_param", 1 << 63), "'timeout' that can't be used"),
    "final response": (
        parameter("triton_enable_empty_final_response", "int64_param", 1),
        "'triton_enable_empty_final_response' that can't be used: it is a bool",
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", BAD)
def test_what_breaks_a_rule_is_refused_with_the_rule(rule: str) -> None:
    change, words = BAD[rule]
    request = crops_request()
    change(request)
    refusal = refusal_of(request)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in refusal.sentence


@pytest.mark.parametrize(
    ("name", "version", "which"),
    [
        ("nowhere", "", "'nowhere'"),
        ("", "", "''"),
        ("crops", "2", "'crops' version 2"),
        ("a\nb", "", "'a?b'"),
    ],
)
def test_an_unknown_model_is_not_found_in_tritons_words(name: str, version: str, which: str) -> None:
    request = crops_request()
    request.model_name, request.model_version = name, version
    refusal = refusal_of(request)
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert refusal.sentence == f"Request for unknown model: {which} is not found"


def test_a_model_that_only_other_models_call_is_not_there_for_clients() -> None:
    refusal = refusal_of(v2.ModelInferRequest(model_name="internal"))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert refusal.sentence == "Request for unknown model: 'internal' is not found"


def test_all_inputs_of_a_batch_have_as_many_rows() -> None:
    request = faces_request()
    check(request)
    request.inputs[1].shape[:] = [1, 4]
    request.raw_input_contents[1] = bytes(16)
    assert "'box' for model 'faces' has 1 rows, and 'image' has 2" in refusal_of(request).sentence


def test_a_missing_input_is_named() -> None:
    request = faces_request()
    del request.inputs[1], request.raw_input_contents[1]
    refusal = refusal_of(request)
    assert "lacks the input 'box': it takes image, box, name" in refusal.sentence


@pytest.mark.parametrize(
    ("strings", "count"),
    [(b"", 0), (b"\0\0\0\0", 1), (b"\1\0\0\0a\0\0\0\0", 2)],
)
def test_well_formed_strings_pass(strings: bytes, count: int) -> None:
    check(words_request(strings, count=count))


@pytest.mark.parametrize(
    ("strings", "count"),
    [
        (b"", 1),
        (b"\1\0\0\0a", 2),
        (b"\1\0\0\0a", 0),
        (b"\1\0\0\0ab", 1),
        (b"\2\0\0\0a", 1),
        (b"\xff\xff\xff\xffa", 1),
        (b"\1\0\0", 1),
        (b"a", 1),
    ],
)
def test_malformed_strings_are_refused(strings: bytes, count: int) -> None:
    assert "four little-endian bytes" in refusal_of(words_request(strings, count=count)).sentence


def test_a_size_that_may_be_anything_is_named_so() -> None:
    sentence = refusal_of(words_request(b"", count=-1)).sentence
    assert sentence.endswith("has the shape [-1]; it takes [any]")


def test_millions_of_strings_are_refused_uncounted() -> None:
    sentence = refusal_of(words_request(bytes(4), count=10**6)).sentence
    assert f"1000000 strings; it takes {MAX_STRINGS}" in sentence

"""Whatever bytes a client sends, they are a request or a Refusal, in bounded time and memory."""

import struct
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.request import (
    ID_CHARACTERS,
    MAX_ELEMENTS,
    MAX_FIELDS,
    MAX_RANK,
    MAX_STRINGS,
    MAX_STRUCTURE,
    InferRequest,
    quoted,
    read_request,
)
from deploy.gateway.refusals import Refusal
from tests.helpers.fronts import crops_request


def read(message: "v2.ModelInferRequest") -> InferRequest:
    return read_request(message.SerializeToString())


def refusal_of(data: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        read_request(data)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.retry_after is None
    assert "\n" not in caught.value.sentence
    return caught.value.sentence


def test_a_request_is_read_and_its_bytes_are_kept() -> None:
    message = crops_request(2, model_version="1", id="photo 7")
    message.outputs.add(name="answer")
    message.outputs.add(name="label").parameters["classification"].int64_param = 3
    message.parameters["priority"].uint64_param = 1
    message.inputs[0].parameters["shared_memory_region"].string_param = "region"
    data = message.SerializeToString()
    request = read_request(data)
    assert request.raw is data
    assert (request.model, request.version, request.id) == ("crops", "1", "photo 7")
    assert request.parameters == {"priority": 1}
    assert request.outputs == ("answer", "label")
    assert request.output_parameters == {"label": ("classification",)}
    (tensor,) = request.inputs
    assert (tensor.name, tensor.datatype, tensor.shape) == ("crop", "UINT8", (2, 2, 2, 3))
    assert tensor.parameters == ("shared_memory_region",)
    assert tensor.raw == bytes(range(12)) * 2


def test_raw_tensors_are_views_of_the_request_wherever_they_stand_in_it() -> None:
    first, second = crops_request(), v2.ModelInferRequest(id="x", raw_input_contents=[b"abc"])
    second.inputs.add(name="other", datatype="UINT8", shape=[3])
    data = first.SerializeToString() + second.SerializeToString()  # as protobuf merges messages
    request = read_request(data)
    assert [tensor.name for tensor in request.inputs] == ["crop", "other"]
    assert request.id == "x"
    for tensor in request.inputs:
        assert isinstance(tensor.raw, memoryview)
        assert tensor.raw.obj is data
    assert request.inputs[1].raw == b"abc"


TYPED: list[tuple[str, str, list[Any], bytes]] = [
    ("BOOL", "bool_contents", [True, False], b"\1\0"),
    ("UINT8", "uint_contents", [0, 255], b"\0\xff"),
    ("INT8", "int_contents", [-1, 127], b"\xff\x7f"),
    ("UINT16", "uint_contents", [65535, 1], b"\xff\xff\1\0"),
    ("INT16", "int_contents", [-2], b"\xfe\xff"),
    ("INT32", "int_contents", [-2], struct.pack("<i", -2)),
    ("UINT32", "uint_contents", [1 << 31], struct.pack("<I", 1 << 31)),
    ("INT64", "int64_contents", [-(1 << 40)], struct.pack("<q", -(1 << 40))),
    ("UINT64", "uint64_contents", [1 << 63], struct.pack("<Q", 1 << 63)),
    ("FP32", "fp32_contents", [1.5, -2], struct.pack("<ff", 1.5, -2)),
    ("FP64", "fp64_contents", [0.1], struct.pack("<d", 0.1)),
    ("BYTES", "bytes_contents", [b"ab", b""], b"\2\0\0\0ab\0\0\0\0"),
]


@pytest.mark.parametrize(("datatype", "field", "elements", "raw"), TYPED, ids=[case[0] for case in TYPED])
def test_typed_contents_are_read_as_the_bytes_of_raw_ones(
    datatype: str, field: str, elements: list[Any], raw: bytes
) -> None:
    message = v2.ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name="x", datatype=datatype, shape=[len(elements)])
    getattr(tensor.contents, field).extend(elements)
    assert read(message).inputs[0].raw == raw


def typed(datatype: str, **contents: Any) -> bytes:
    message = v2.ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name="x", datatype=datatype)
    for field, elements in contents.items():
        getattr(tensor.contents, field).extend(elements)
    data: bytes = message.SerializeToString()
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (typed("UINT8", uint_contents=[256]), "outside of UINT8's range"),
        (typed("INT8", int_contents=[-129]), "outside of INT8's range"),
        (typed("UINT8", int_contents=[1]), "belong in uint_contents"),
        (typed("UINT8", uint_contents=[1], int_contents=[1]), "belong in uint_contents"),
        (typed("FP16", fp32_contents=[1]), "no typed contents"),
        (typed("nonsense", fp32_contents=[1]), "no typed contents"),
    ],
)
def test_typed_contents_of_another_type_are_refused(data: bytes, words: str) -> None:
    assert words in refusal_of(data)


def test_raw_and_typed_contents_in_one_request_are_refused() -> None:
    message = crops_request()
    message.inputs[0].contents.uint_contents.extend([1])
    assert "one of the two ways" in refusal_of(message.SerializeToString())


@pytest.mark.parametrize("count", [1, 3])
def test_each_input_has_one_raw_tensor(count: int) -> None:
    message = crops_request()
    message.inputs.add(name="box", datatype="FP32", shape=[4])
    message.raw_input_contents.extend([b""] * (count - 1))
    assert f"2 inputs and {count} raw_input_contents" in refusal_of(message.SerializeToString())


@pytest.mark.parametrize("identifier", ["x" * (ID_CHARACTERS + 1), "two\nlines", "na\u00efve", "\x1b[31m"])
def test_an_id_that_does_not_suit_a_log_is_refused(identifier: str) -> None:
    sentence = refusal_of(crops_request(id=identifier).SerializeToString())
    assert "id" in sentence
    assert "\x1b" not in sentence
    assert len(sentence) < 300


def test_an_id_is_taken_as_it_is() -> None:
    for identifier in ("", "x" * ID_CHARACTERS, "0b54a3b2-5a3f-4c6e", "photo #7; left"):
        assert read(crops_request(id=identifier)).id == identifier


def test_a_parameter_without_a_value_is_refused() -> None:
    message = crops_request()
    message.parameters["priority"].SetInParent()
    assert "'priority' has no value" in refusal_of(message.SerializeToString())


def field(number: int, payload: bytes = b"") -> bytes:
    """A length-delimited field."""
    size, length = len(payload), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",  # a field without length
        b"\x0a\x05abc",  # longer than the message
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length without end
        b"\x0a" + b"\xff" * 9 + b"\x01" + b"x",  # 2^64 - 1 bytes
        b"\xba\x80\x80\x80\x80\x00\x00",  # a tag of six bytes: protobuf reads five
        b"\x3a\x80\x80\x80\x80\x80\x00",  # a length of six bytes: C++'s protobuf reads five
        b"\x00",  # field 0
        b"\x0b\x0c",  # a group
        b"\x0f",  # a wire type that is none
        b"\xff\xff\xff\xff\xff\x01x",  # a number of more than 29 bits
        b"\x09abc",  # a cut value of eight bytes
        field(1, b"\xff\xfe"),  # a name that is no UTF-8
        field(5, b"\x0a\x05abc"),  # an input that is none
        field(3, b"ok")[:-1],
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    assert "can't be read" in refusal_of(data)


def test_millions_of_empty_fields_are_refused_before_they_are_unpacked() -> None:
    for number in (5, 6, 7, 1000):
        tag = bytes([number << 3 | 2]) if number < 16 else b"\xc2\x3e"
        assert str(MAX_FIELDS) in refusal_of((tag + b"\0") * 2_000_000)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (typed("BYTES", bytes_contents=[b""] * (MAX_STRINGS + 1)), f"over {MAX_ELEMENTS} numbers"),
        (typed("UINT8", uint_contents=[1] * (MAX_ELEMENTS + 1)), f"over {MAX_ELEMENTS} numbers"),
        (typed("FP64", fp64_contents=[1.0] * (MAX_ELEMENTS + 1)), "raw_input_contents"),
        (typed("INT8", int_contents=[1] * (MAX_ELEMENTS // 2 + 1)) * 2, "raw_input_contents"),
        (field(5, field(3, bytes(MAX_RANK + 1))), f"{MAX_RANK + 1} dimensions"),
    ],
)
def test_tensors_have_a_bounded_number_of_parts(data: bytes, words: str) -> None:
    assert words in refusal_of(data)


def test_typed_contents_within_the_bound_are_read() -> None:
    raw = read_request(typed("UINT8", uint_contents=[7] * MAX_ELEMENTS)).inputs[0].raw
    assert raw == b"\x07" * MAX_ELEMENTS
    strings = read_request(typed("BYTES", bytes_contents=[b""] * MAX_STRINGS)).inputs[0].raw
    assert strings == bytes(4 * MAX_STRINGS)


def test_of_many_parameters_the_first_are_read() -> None:
    message = crops_request()
    for number in range(1000):
        message.inputs[0].parameters[f"p{number}"].int64_param = 1
    names = read(message).inputs[0].parameters
    assert 0 < len(names) < 10


def test_large_tensors_come_raw() -> None:
    shape = np.zeros(MAX_STRUCTURE, np.uint8).tobytes()
    assert "raw_input_contents" in refusal_of(field(5, field(3, shape)))
    large = v2.ModelInferRequest(raw_input_contents=[bytes(4 * MAX_STRUCTURE)])
    large.inputs.add(name="x", datatype="UINT8", shape=[4 * MAX_STRUCTURE])
    raw = read(large).inputs[0].raw
    assert raw is not None
    assert len(raw) == 4 * MAX_STRUCTURE


def test_the_digest_stands_for_what_is_inferred_and_not_for_how_it_was_asked() -> None:
    first = read(crops_request())
    again = crops_request(id="7", model_version="1")
    again.parameters["priority"].uint64_param = 1
    again.outputs.add(name="answer")
    assert read(again).digest() == first.digest()
    as_typed = crops_request()
    as_typed.inputs[0].contents.uint_contents.extend(as_typed.raw_input_contents[0])
    del as_typed.raw_input_contents[:]
    assert read(as_typed).digest() == first.digest()
    changes = []
    for change in ("model", "name", "shape", "raw"):
        message = crops_request()
        if change == "model":
            message.model_name = "other"
        elif change == "name":
            message.inputs[0].name = "other"
        elif change == "shape":
            message.inputs[0].shape[:] = [1, 1, 4, 3]
        else:
            message.raw_input_contents[0] = bytes(12)
        changes.append(read(message).digest())
    assert len({first.digest(), *changes}) == 5


def test_a_clients_word_in_a_sentence_is_short_and_in_one_line() -> None:
    assert quoted("crop") == "'crop'"
    assert quoted("a\nb\x1b\u2028c") == "'a?b??c'"
    assert len(quoted("x" * 10_000)) < 120

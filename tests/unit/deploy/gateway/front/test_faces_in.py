"""Of any bytes that a Triton answers, a number of faces and of those left out, and never an exception."""

import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.found_faces import faces_in, faces_left_out
from deploy.gateway.observability.answer_sums import AnswerSums
from deploy.gateway.work import Cost, Work
from tests.helpers.fake_authority import model, served_models
from tests.helpers.fronts import MODELS, RunningFront, crops_request, with_front

PHOTO = Work(model="photos", cost=Cost(bytes=0))
LEAVING_OUT = served_models(
    model("photos", input=[], output=[{"name": "faces_below_quality", "data_type": 8, "dims": [1]}])
)


def faces_of(model: str, answer: "v2.ModelInferResponse", request: "v2.ModelInferRequest") -> int:
    faces: list[int] = []

    async def test(running: RunningFront) -> None:
        running.triton.answer = answer.SerializeToString()
        await running.service.ModelInfer(request)
        faces.extend(each.faces for each in running.authority.finished)

    with_front(test)
    return faces[0]


def test_faces_are_the_rows_of_a_batch() -> None:
    assert faces_of("crops", v2.ModelInferResponse(), crops_request(3)) == 3


@pytest.mark.parametrize("count", [0, 1, 5])
def test_faces_are_those_that_were_found_in_a_photo(count: int) -> None:
    photo = b"P6 1 1 255\n" + bytes(3)
    request = v2.ModelInferRequest(model_name="photos", raw_input_contents=[photo])
    request.inputs.add(name="image", datatype="UINT8", shape=[len(photo)])
    answer = v2.ModelInferResponse(model_name="photos", id="7")
    answer.outputs.add(name="size", datatype="FP32", shape=[2])
    answer.outputs.add(name="found", datatype="FP32", shape=[count, 4])
    answer.raw_output_contents.extend([bytes(8), bytes(16 * count)])
    assert faces_of("photos", answer, request) == count
    del answer.outputs[1]
    assert faces_of("photos", answer, request) == 0  # it was not asked for


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x2a\x01\x80",  # an output that protobuf can't read
        b"\x2a\x05",  # one that is longer than the answer
        b"\x2a\x09\x0a\x05found\x1a\x01\xff",  # a shape that is cut
    ],
)
def test_an_answer_that_can_not_be_read_has_no_faces(answer: bytes) -> None:
    assert faces_in(answer, PHOTO, MODELS, sums=AnswerSums(lambda block: None)) == 0


def left_out(*outputs: tuple[str, bytes]) -> int:
    answer = v2.ModelInferResponse(model_name="photos")
    for name, content in outputs:
        answer.outputs.add(name=name, datatype="INT32", shape=[1])
        answer.raw_output_contents.append(content)
    return faces_left_out(answer.SerializeToString(), PHOTO, LEAVING_OUT)


def test_faces_that_were_left_out_are_read_where_they_are_answered() -> None:
    one, three = (number.to_bytes(4, "little") for number in (1, 3))
    assert left_out(("faces_found", one), ("faces_below_quality", three), ("age_value", one)) == 3
    assert left_out(("faces_found", one)) == 0
    assert left_out(("not_faces_below_quality", one)) == 0
    assert left_out(("faces_below_quality", b"")) == left_out(("faces_below_quality", b"\xff" * 4)) == 0
    assert faces_left_out(b"\x2a\x05", PHOTO, LEAVING_OUT) == 0
    assert faces_left_out(b"", PHOTO, MODELS) == 0


def test_faces_that_were_left_out_are_counted() -> None:
    counted: list[tuple[str, int]] = []

    async def test(running: RunningFront) -> None:
        answer = v2.ModelInferResponse(model_name="photos")
        answer.outputs.add(name="faces_below_quality", datatype="INT32", shape=[1])
        answer.raw_output_contents.append((2).to_bytes(4, "little"))
        running.triton.answer = answer.SerializeToString()
        await running.service.ModelInfer(v2.ModelInferRequest(model_name="photos"))
        counted.extend(running.authority.below_quality)

    with_front(test, models=LEAVING_OUT)
    assert counted == [("photos", 2)]

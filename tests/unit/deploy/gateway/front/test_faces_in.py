"""faces_in: of any bytes that a Triton answers, a number of faces, and never an exception."""

import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.found_faces import faces_in
from deploy.gateway.observability.answer_sums import AnswerSums
from deploy.gateway.work import Cost, Work
from tests.helpers.fronts import MODELS, RunningFront, crops_request, with_front

PHOTO = Work(model="photos", cost=Cost(bytes=0))


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

"""faces_in: of any bytes that a Triton answers, a number of faces, and never an exception."""

import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.inference import faces_in
from deploy.gateway.work import Cost, Work
from tests.helpers.fronts import MODELS

PHOTO = Work(model="photos", cost=Cost(bytes=0))


def test_the_rows_of_what_was_found_are_the_faces() -> None:
    answer = v2.ModelInferResponse(model_name="photos")
    answer.outputs.add(name="size", datatype="FP32", shape=[2])
    answer.outputs.add(name="found", datatype="FP32", shape=[3, 4])
    assert faces_in(answer.SerializeToString(), PHOTO, MODELS) == 3


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
    assert faces_in(answer, PHOTO, MODELS) == 0

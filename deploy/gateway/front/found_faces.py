"""How many faces an answer of Triton's is about, and how many were left out of it by their quality."""

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front import wire
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.front.signatures import Signature
from deploy.gateway.observability.answer_sums import AnswerSums
from deploy.gateway.work import Work
from runtime.answering.quality import FACES_BELOW_QUALITY

_RAW = v2.ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number
_OUTPUT = v2.ModelInferResponse.DESCRIPTOR.fields_by_name["outputs"].number
_INT32_BYTES = 4


def faces_in(answer: bytes, work: Work, served: ServedModels, *, sums: AnswerSums) -> int:
    """Faces that an answer is about: the rows of the batch, or those that were found in a photo.

    Reads no more of the answer than its first outputs' shapes; 0 where it can't tell. `sums` gets the answer.
    """
    signature = served.signatures.get(work.model)
    if signature is None:
        return 0
    sums.take(answer, signature.watched)
    return work.cost.rows if signature.max_batch_size else _found(answer, signature)


def faces_left_out(answer: bytes, work: Work, served: ServedModels) -> int:
    """Faces that the answer does not have as their quality is too low.

    0 where it can't tell: of models that leave none out, and of requests that do not name that output.
    """
    signature = served.signatures.get(work.model)
    if signature is None or FACES_BELOW_QUALITY not in signature.outputs:
        return 0
    try:
        content = _content(answer, FACES_BELOW_QUALITY)
    except (ValueError, DecodeError):
        return 0
    return max(0, int.from_bytes(content, "little", signed=True)) if len(content) == _INT32_BYTES else 0


def _content(answer: bytes, name: str) -> bytes:
    """The bytes of an output; none where the answer lacks it."""
    outputs = contents = 0
    place: int | None = None  # among the outputs, which come first
    for number, kind, _, start, end in wire.fields(answer):
        if kind != wire.LENGTH_DELIMITED:
            continue
        if number == _OUTPUT:
            if name.encode() in answer[start:end]:
                output = v2.ModelInferResponse.InferOutputTensor.FromString(answer[start:end])
                place = outputs if output.name == name else place
            outputs += 1
        elif number == _RAW:
            if place is None:
                break
            if contents == place:
                return answer[start:end]
            contents += 1
    return b""


def _found(answer: bytes, signature: Signature) -> int:
    try:
        for number, kind, _, start, end in wire.fields(answer):
            if number != _OUTPUT or kind != wire.LENGTH_DELIMITED:
                continue
            output = v2.ModelInferResponse.InferOutputTensor.FromString(answer[start:end])
            if output.name in signature.counted and output.shape:
                return max(0, int(output.shape[0]))
    except (ValueError, DecodeError):
        pass
    return 0

"""faces_in: how many faces an answer of Triton's is about."""

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front import wire
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.front.signatures import Signature
from deploy.gateway.observability.answer_sums import AnswerSums
from deploy.gateway.work import Work

_OUTPUT = v2.ModelInferResponse.DESCRIPTOR.fields_by_name["outputs"].number


def faces_in(answer: bytes, work: Work, served: ServedModels, *, sums: AnswerSums) -> int:
    """Faces that an answer is about: the rows of the batch, or those that were found in a photo.

    Reads no more of the answer than its first outputs' shapes; 0 where it can't tell. `sums` gets the answer.
    """
    signature = served.signatures.get(work.model)
    if signature is None:
        return 0
    sums.take(answer, signature.watched)
    return work.cost.rows if signature.max_batch_size else _found(answer, signature)


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

"""A ModelInferRequest for one photo, as bytes: what an inference over gRPC would have sent."""

from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.validation import TIMEOUT
from deploy.gateway.rest.photo_query import PhotoQuery

_PHOTO = "image"
_RAW_TAG = (v2.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number << 3) | 2


def photo_request(
    photo: bytes | memoryview, query: PhotoQuery, *, request_id: str, seconds_left: float | None
) -> bytes:
    """The message; the photo's bytes are copied once, behind the rest."""
    message = v2.ModelInferRequest(model_name=query.model.info.name, id=request_id)
    message.inputs.add(name=_PHOTO, datatype="UINT8", shape=[len(photo)])
    for output in query.outputs:
        message.outputs.add(name=output)
    for name, value in query.parameters.items():
        if isinstance(value, int):
            message.parameters[name].int64_param = value
        else:
            message.parameters[name].double_param = value
    if seconds_left is not None:
        message.parameters[TIMEOUT].int64_param = max(1, int(seconds_left * 1e6))
    return b"".join((message.SerializeToString(), bytes([_RAW_TAG]), _varint(len(photo)), photo))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append((number & 0x7F) | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)

"""InferRequest: what the gateway reads of a ModelInferRequest, whose bytes are forwarded as they are."""

import dataclasses
import hashlib
import itertools
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front import wire
from deploy.gateway.refusals import Refusal, invalid

ID_CHARACTERS = 128
MAX_FIELDS = 1024  # inputs, outputs, parameters and tensors of a request, together
MAX_STRUCTURE = 1024 * 1024  # bytes of a request beside its raw tensors; typed contents are among them
MAX_RANK = 64  # dimensions of a tensor
MAX_ELEMENTS = 65_536  # of all typed contents of a request together
MAX_STRINGS = 16_384  # elements of a BYTES tensor

_RAW = v2.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_STRING_ELEMENTS = 4  # a string takes as long to pack as so many numbers
_NAMED_PARAMETERS = 8  # of a tensor that has more than it may have anyway
_NAME_CHARACTERS = 100  # of a client's word in a sentence

Data = bytes | memoryview


@dataclasses.dataclass(frozen=True, slots=True)
class InferInput:
    """One input tensor.

    raw         its elements, little-endian, row by row, as in raw_input_contents; None where neither those
                nor typed contents were sent
    parameters  the names of its parameters, the first ones where there are many
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: Data | None
    parameters: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class InferRequest:
    """A request as it was sent: well-formed, and not yet compared with what is served.

    outputs            the names of the requested outputs; empty for all
    output_parameters  by output that has any, the names of its parameters, as for inputs
    raw                the whole message, to forward
    """

    model: str
    version: str
    id: str
    parameters: Mapping[str, bool | int | float | str]
    inputs: tuple[InferInput, ...]
    outputs: tuple[str, ...]
    output_parameters: Mapping[str, tuple[str, ...]]
    raw: bytes

    def digest(self) -> str:
        """Stands for what is inferred: the model and its inputs, whatever the request's id or parameters."""
        hashed = hashlib.blake2b(digest_size=16)
        _update(hashed, self.model.encode())
        for tensor in sorted(self.inputs, key=lambda each: each.name):
            _update(hashed, f"{tensor.name} {tensor.datatype} {tensor.shape}".encode())
            _update(hashed, b"" if tensor.raw is None else tensor.raw)
        return hashed.hexdigest()

    def extended(self, fields: bytes) -> "InferRequest":
        """The same request, with further fields in its `raw`: `Signature.usual_outputs`, a `parameter`."""
        return dataclasses.replace(self, raw=self.raw + fields)  # which protobuf reads as one message


def read_request(data: bytes) -> InferRequest:
    """Reads a serialised ModelInferRequest; raises Refusal (INVALID_ARGUMENT) for what is none.

    Raw tensors are views of `data`. Memory and time are bounded by MAX_FIELDS and MAX_STRUCTURE, however the
    message is made.
    """
    structure, tensors = _split(data)
    try:
        message = v2.ModelInferRequest.FromString(structure)
    except DecodeError:
        raise _unreadable("it is no ModelInferRequest") from None
    if message.id:
        check_id(message.id)
    return InferRequest(
        model=message.model_name,
        version=message.model_version,
        id=message.id,
        parameters=_parameters(message.parameters) if message.parameters else {},
        inputs=_inputs(message.inputs, tensors),
        outputs=tuple([output.name for output in message.outputs]),
        output_parameters={
            output.name: _names(output.parameters) for output in message.outputs if output.parameters
        },
        raw=data,
    )


def parameter(name: str, value: str) -> bytes:
    """What adds a parameter to a serialised ModelInferRequest, or replaces it, where it stands behind it."""
    added = v2.ModelInferRequest()
    added.parameters[name].string_param = value
    return bytes(added.SerializeToString())


def quoted(text: str) -> str:
    """A client's word in quotes, for a sentence."""
    return f"'{shown(text)}'"


def shown(text: str) -> str:
    """A client's word, cut and without what would not stand in one line."""
    cut = text if len(text) <= _NAME_CHARACTERS else f"{text[:_NAME_CHARACTERS]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def _split(data: bytes) -> tuple[bytes, list[memoryview]]:
    """A message without its raw tensors, and those, as views."""
    view = memoryview(data)
    tensors: list[memoryview] = []
    rest: list[memoryview] = []
    kept = 0  # where what belongs to the rest begins
    try:
        for count, (number, kind, begin, start, end) in enumerate(wire.fields(data)):
            if count >= MAX_FIELDS:
                raise invalid(
                    f"the request has more than {MAX_FIELDS} inputs, outputs and parameters: no model takes "
                    "as many; send several requests"
                )
            if number == _RAW and kind == wire.LENGTH_DELIMITED:
                if begin > kept:
                    rest.append(view[kept:begin])
                kept = end
                tensors.append(view[start:end])
    except ValueError as error:
        raise _unreadable(str(error)) from None
    if kept < len(data):
        rest.append(view[kept:])
    size = sum(map(len, rest))
    if size > MAX_STRUCTURE:
        raise invalid(
            f"the request has {size} bytes beside its raw tensors, and may have {MAX_STRUCTURE}: send large "
            "tensors as raw_input_contents"
        )
    return b"".join(rest), tensors


def _unreadable(why: str) -> Refusal:
    return invalid(
        f"the request can't be read ({why}): send a ModelInferRequest of the V2 inference protocol"
    )


def check_id(identifier: str) -> None:
    """Refusal (INVALID_ARGUMENT) for a request's id that does not suit a log."""
    if len(identifier) > ID_CHARACTERS or not (identifier.isascii() and identifier.isprintable()):
        raise invalid(
            f"the request's id {quoted(identifier)} is not usable: send at most {ID_CHARACTERS} printable "
            "ASCII characters, or none"
        )


def _parameters(sent: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    values: dict[str, bool | int | float | str] = {}
    for name, parameter in sent.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise invalid(
                f"the request's parameter {quoted(name)} has no value: leave it out, or give it one"
            )
        values[name] = getattr(parameter, choice)
    return values


def _names(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(itertools.islice(parameters, _NAMED_PARAMETERS))


def _inputs(sent: Sequence[Any], tensors: list[memoryview]) -> tuple[InferInput, ...]:
    if tensors and len(tensors) != len(sent):
        raise invalid(
            f"the request has {len(sent)} inputs and {len(tensors)} raw_input_contents: send one for "
            "each input"
        )
    inputs = []
    left = MAX_ELEMENTS
    for index, tensor in enumerate(sent):
        if len(tensor.shape) > MAX_RANK:
            raise invalid(
                f"input {quoted(tensor.name)} has {len(tensor.shape)} dimensions: it may have "
                f"{MAX_RANK} at most"
            )
        raw: Data | None = tensors[index] if tensors else None
        if tensor.HasField("contents"):
            if raw is not None:
                raise invalid(
                    f"input {quoted(tensor.name)} has typed contents in a request with raw_input_contents: "
                    "send all tensors in one of the two ways"
                )
            elements = _elements(tensor)
            left -= len(elements) * (_STRING_ELEMENTS if tensor.datatype == "BYTES" else 1)
            if left < 0:
                raise invalid(
                    f"input {quoted(tensor.name)} brings the request's typed contents over {MAX_ELEMENTS} "
                    f"numbers, where a string counts as {_STRING_ELEMENTS}: send large tensors as "
                    "raw_input_contents"
                )
            raw = _packed(tensor, elements)
        parameters = _names(tensor.parameters) if tensor.parameters else ()
        inputs.append(InferInput(tensor.name, tensor.datatype, tuple(tensor.shape), raw, parameters))
    return tuple(inputs)


# -- typed contents -------------------------------------------------------------------------------------

# By datatype: the field of its elements, the array type of one, and the range where the field is wider.
_TYPED: Mapping[str, tuple[str, str, tuple[int, int] | None]] = {
    "BOOL": ("bool_contents", "B", None),
    "INT8": ("int_contents", "b", (-(1 << 7), (1 << 7) - 1)),
    "INT16": ("int_contents", "h", (-(1 << 15), (1 << 15) - 1)),
    "INT32": ("int_contents", "i", None),
    "INT64": ("int64_contents", "q", None),
    "UINT8": ("uint_contents", "B", (0, (1 << 8) - 1)),
    "UINT16": ("uint_contents", "H", (0, (1 << 16) - 1)),
    "UINT32": ("uint_contents", "I", None),
    "UINT64": ("uint64_contents", "Q", None),
    "FP32": ("fp32_contents", "f", None),
    "FP64": ("fp64_contents", "d", None),
}
_BYTES_FIELD = "bytes_contents"


def _elements(tensor: Any) -> Any:
    """Protobuf's sequence of a tensor's typed contents, not unpacked."""
    datatype = tensor.datatype
    field = _BYTES_FIELD if datatype == "BYTES" else _TYPED[datatype][0] if datatype in _TYPED else None
    if field is None:
        raise invalid(
            f"input {quoted(tensor.name)} has the datatype {quoted(datatype)}, for which there are no typed "
            "contents: send raw_input_contents"
        )
    for descriptor, _ in tensor.contents.ListFields():
        if descriptor.name != field:
            raise invalid(
                f"input {quoted(tensor.name)} of datatype {datatype} has its elements in {descriptor.name}: "
                f"they belong in {field}"
            )
    return getattr(tensor.contents, field)


def _packed(tensor: Any, elements: Any) -> bytes:
    """Typed contents as the bytes that raw_input_contents would hold."""
    datatype = tensor.datatype
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(element)) + element for element in elements)
    _, code, bounds = _TYPED[datatype]
    try:
        packed = array(code, elements[:])  # a list, as protobuf's own sequence takes three times as long
    except OverflowError:
        assert bounds is not None
        raise invalid(
            f"input {quoted(tensor.name)} has an element outside of {datatype}'s range {bounds[0]} to "
            f"{bounds[1]}"
        ) from None
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _update(hashed: Any, value: Data) -> None:
    """Adds a value with its length, so that no two lists of values are hashed alike."""
    hashed.update(struct.pack("<Q", len(value)))
    hashed.update(value)

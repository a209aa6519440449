"""Compares a request with what is served, so that Triton sees nothing but requests that it takes.

Every refusal is INVALID_ARGUMENT (NOT_FOUND for a model) and names the model, the tensor, what was wrong and
what is taken.
"""

import struct
from collections.abc import Callable, Mapping

import grpc

from deploy.gateway.front.request import MAX_STRINGS, InferInput, InferRequest, quoted, shown
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.front.signatures import WILDCARD, Signature, TensorSignature
from deploy.gateway.refusals import Refusal, invalid
from runtime.answering.parameters import PRIORITIES, PRIORITY, unusable

TIMEOUT = "timeout"  # microseconds

_NAMES = 20  # of tensors, in a sentence
_ELEMENT_BYTES = {
    **dict.fromkeys(("BOOL", "INT8", "UINT8"), 1),
    **dict.fromkeys(("INT16", "UINT16", "FP16", "BF16"), 2),
    **dict.fromkeys(("INT32", "UINT32", "FP32"), 4),
    **dict.fromkeys(("INT64", "UINT64", "FP64"), 8),
}
_HARMLESS = frozenset({"binary_data"})  # parameters of an output that ask for what gRPC does anyway


def validate(request: InferRequest, served: ServedModels) -> None:
    """Raises Refusal for a request that a Triton with the models of `served` is not to see."""
    signature = served.signatures.get(request.model)
    if signature is None:
        raise unknown_model(request.model)
    if request.version and request.version not in signature.versions:
        raise unknown_model(request.model, request.version)
    if request.parameters:
        _check_parameters(request, signature)
    _check_outputs(request, signature)
    _check_inputs(request, signature)


def rows_of(request: InferRequest, signature: Signature) -> int:
    """The rows of a validated request's batch; 1 for a model that takes no batch."""
    return request.inputs[0].shape[0] if signature.max_batch_size and request.inputs else 1


def unknown_model(name: str, version: str = "") -> Refusal:
    """NOT_FOUND, in Triton's words."""
    which = f"{quoted(name)} version {shown(version)}" if version else quoted(name)
    return Refusal(
        grpc.StatusCode.NOT_FOUND, f"Request for unknown model: {which} is not found", reason="unknown_model"
    )


# -- parameters -----------------------------------------------------------------------------------------


def _is_count(value: object, *, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


# By name: whether a value is taken, and what is taken, in words.
_PARAMETERS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    PRIORITY: (PRIORITIES.takes, PRIORITIES.range_text),
    TIMEOUT: (lambda value: _is_count(value, largest=(1 << 63) - 1), "a number of microseconds"),
    "triton_enable_empty_final_response": (lambda value: isinstance(value, bool), "a bool"),
}


def _check_parameters(request: InferRequest, signature: Signature) -> None:
    own = signature.parameters
    for name, value in request.parameters.items():
        if name in _PARAMETERS:
            is_taken, range_text = _PARAMETERS[name]
        elif name in own:
            is_taken, range_text = own[name].takes, own[name].range_text
        else:
            raise invalid(
                f"the request to model {quoted(request.model)} has the parameter {quoted(name)}, which is "
                f"not taken: leave it out; {', '.join(sorted({*_PARAMETERS, *own}))} are",
                reason="parameter",
            )
        if not is_taken(value):
            raise invalid(unusable(quoted(request.model), name, range_text), reason="parameter")


# -- outputs --------------------------------------------------------------------------------------------


def _check_outputs(request: InferRequest, signature: Signature) -> None:
    names = request.outputs
    unique = set(names)
    if not unique <= signature.outputs:
        unknown = next(name for name in names if name not in signature.outputs)
        # The client's library looks for these words, to read the contract again after a swap.
        raise invalid(
            f"unexpected inference output {quoted(unknown)} for model {quoted(request.model)}: it answers "
            f"{_listed(signature.outputs)}",
            reason="output",
        )
    if len(unique) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid(
            f"output {quoted(twice)} of model {quoted(request.model)} is requested twice: name it once",
            reason="output",
        )
    for output, parameters in request.output_parameters.items():
        for parameter in parameters:
            if parameter not in _HARMLESS:
                raise invalid(
                    f"output {quoted(output)} of model {quoted(request.model)} is requested with the "
                    f"parameter {quoted(parameter)}, which is not taken: leave it out, answers come as "
                    "raw_output_contents",
                    reason="parameter",
                )


# -- inputs ---------------------------------------------------------------------------------------------


def _check_inputs(request: InferRequest, signature: Signature) -> None:
    model = request.model
    seen: set[str] = set()
    rows: tuple[str, int] | None = None
    for tensor in request.inputs:
        declared = signature.inputs.get(tensor.name)
        if declared is None:
            raise _bad_input(
                f"unexpected inference input {quoted(tensor.name)} for model {quoted(model)}: it takes "
                f"{_listed(signature.inputs)}"
            )
        if tensor.name in seen:
            raise _bad_input(
                f"input {quoted(tensor.name)} for model {quoted(model)} is in the request twice: send it once"
            )
        seen.add(tensor.name)
        if tensor.parameters:
            raise invalid(
                f"input {quoted(tensor.name)} for model {quoted(model)} has the parameter "
                f"{quoted(tensor.parameters[0])}, which is not taken: send the tensor itself, as "
                "raw_input_contents",
                reason="parameter",
            )
        _check_tensor(tensor, declared, model=model, max_batch_size=signature.max_batch_size)
        if signature.max_batch_size:
            if rows is not None and tensor.shape[0] != rows[1]:
                raise _bad_input(
                    f"input {quoted(tensor.name)} for model {quoted(model)} has {tensor.shape[0]} rows, and "
                    f"{quoted(rows[0])} has {rows[1]}: all inputs of a batch have one row each for every face"
                )
            rows = (tensor.name, tensor.shape[0])
    if not signature.required <= seen:
        missing = [name for name in signature.inputs if name in signature.required - seen]
        raise _bad_input(
            f"the request to model {quoted(model)} lacks the input {', '.join(map(quoted, missing))}: it "
            f"takes {_listed(signature.inputs)}"
        )


def _check_tensor(tensor: InferInput, declared: TensorSignature, *, model: str, max_batch_size: int) -> None:
    if tensor.datatype != declared.datatype:
        raise _bad_input(
            f"input {quoted(tensor.name)} for model {quoted(model)} has the datatype "
            f"{quoted(tensor.datatype)}; it takes {declared.datatype}"
        )
    shape = tensor.shape
    dims = (WILDCARD, *declared.dims) if max_batch_size else declared.dims
    if len(shape) != len(dims) or not all(
        size >= 0 and wanted in (WILDCARD, size) for size, wanted in zip(shape, dims, strict=True)
    ):
        raise _bad_input(
            f"input {quoted(tensor.name)} for model {quoted(model)} has the shape {_shape(shape)}; it takes "
            f"{_declared(dims, batched=bool(max_batch_size))}"
        )
    if max_batch_size and not 1 <= shape[0] <= max_batch_size:
        raise _bad_input(
            f"input {quoted(tensor.name)} for model {quoted(model)} has a batch of {shape[0]} rows; it takes "
            f"1 to {max_batch_size}: send several requests"
        )
    elements = 1
    for size in shape:
        elements *= size  # Python's integers don't overflow
    if tensor.raw is None:
        if elements:
            raise _bad_input(
                f"input {quoted(tensor.name)} for model {quoted(model)} has no data: send it in "
                "raw_input_contents"
            )
    elif declared.datatype in _ELEMENT_BYTES:
        if len(tensor.raw) != elements * _ELEMENT_BYTES[declared.datatype]:
            raise _bad_input(
                f"input {quoted(tensor.name)} for model {quoted(model)} has {len(tensor.raw)} bytes; its "
                f"shape {_shape(shape)} takes {_count(elements * _ELEMENT_BYTES[declared.datatype])}"
            )
    else:
        _check_strings(tensor, elements, model=model)


def _check_strings(tensor: InferInput, elements: int, *, model: str) -> None:
    """That a BYTES tensor is `elements` strings, each behind its length in four bytes."""
    which = f"input {quoted(tensor.name)} for model {quoted(model)}"
    if elements > MAX_STRINGS:
        raise _bad_input(f"{which} has {_count(elements)} strings; it takes {MAX_STRINGS}")
    assert tensor.raw is not None
    position, size, found = 0, len(tensor.raw), 0
    while position < size and found < elements:
        if position + 4 > size:
            break
        (length,) = struct.unpack_from("<I", tensor.raw, position)
        position += 4 + length
        found += 1
    if found != elements or position != size:
        raise _bad_input(
            f"{which} is not the {elements} strings of its shape: each is its length in four little-endian "
            "bytes and then its bytes"
        )


# -- sentences ------------------------------------------------------------------------------------------


def _bad_input(sentence: str) -> Refusal:
    return invalid(sentence, reason="input")


def _listed(names: "frozenset[str] | Mapping[str, object]") -> str:
    """Tensors' names for a sentence, not too many."""
    ordered = list(names) if isinstance(names, Mapping) else sorted(names)
    more = f" and {len(ordered) - _NAMES} more" if len(ordered) > _NAMES else ""
    return ", ".join(ordered[:_NAMES]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(_count, shape[:8]))}{', ...' if len(shape) > 8 else ''}]"


def _declared(dims: tuple[int, ...], *, batched: bool) -> str:
    sizes = ["any" if size == WILDCARD else str(size) for size in dims]
    return f"[{', '.join(['rows', *sizes[1:]] if batched else sizes)}]"


def _count(number: int) -> str:
    """A number that a client may have made as long as it likes."""
    return str(number) if abs(number) < 1 << 64 else "more than 2^64"

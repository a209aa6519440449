"""Signatures: what each served model takes and answers, as requests are compared with it."""

import dataclasses
import functools
import logging
from collections.abc import Mapping

from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.observability.answer_sums import Watched, watched_tensors
from runtime.contract import Contract
from runtime.heads import answer_tensors
from runtime.parameters import INTERNAL, REQUEST_PARAMETERS, Parameter, parse

WILDCARD = -1

_LOG = logging.getLogger(__name__)

_PREFIX = "TYPE_"
_RENAMED = {"TYPE_STRING": "BYTES"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorSignature:
    """An input: its datatype in the V2 protocol's spelling, and its dims without the batch dimension."""

    datatype: str
    dims: tuple[int, ...]  # -1: any
    optional: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """One served model.

    max_batch_size  0 where the model takes no batch dimension
    counted         outputs whose first dimension is not known before: in a model without a batch dimension it
                    is the number of faces
    parameters      request parameters that it takes, beside those of every model
    usual_outputs   part of a serialised ModelInferRequest: the outputs of a request that names none, where
                    those are not all, as some are only made for a request that names them
    watched         outputs of which means and spreads are counted
    """

    versions: frozenset[str]
    max_batch_size: int
    inputs: Mapping[str, TensorSignature]
    required: frozenset[str]
    outputs: frozenset[str]
    counted: frozenset[str]
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)
    usual_outputs: bytes = b""
    watched: Watched = dataclasses.field(default_factory=dict)


def signature_of(config: bytes, metadata: bytes) -> Signature:
    """From a model's ModelConfigResponse and ModelMetadataResponse."""
    model = v2.ModelConfigResponse.FromString(config).config
    inputs = {
        tensor.name: TensorSignature(
            datatype=_datatype(tensor.data_type), dims=tuple(tensor.dims), optional=tensor.optional
        )
        for tensor in model.input
    }
    return Signature(
        versions=frozenset(v2.ModelMetadataResponse.FromString(metadata).versions),
        max_batch_size=model.max_batch_size,
        inputs=inputs,
        required=frozenset(name for name, tensor in inputs.items() if not tensor.optional),
        outputs=frozenset(tensor.name for tensor in model.output),
        counted=frozenset(
            tensor.name for tensor in model.output if tensor.dims and tensor.dims[0] == WILDCARD
        ),
        parameters=_parameters(model),
        usual_outputs=_usual_outputs(model),
        watched=watched_tensors(model.parameters["contract"].string_value)
        if "contract" in model.parameters
        else {},
    )


def is_internal(config: bytes) -> bool:
    """Whether a model, by its ModelConfigResponse, is called by other models alone."""
    return INTERNAL in v2.ModelConfigResponse.FromString(config).config.parameters


def _parameters(model: model_config_pb2.ModelConfig) -> Mapping[str, Parameter]:
    """The request parameters of a configuration; none where it can't be read, which is logged."""
    if REQUEST_PARAMETERS not in model.parameters:
        return {}
    try:
        return parse(model.parameters[REQUEST_PARAMETERS].string_value)
    except ValueError as error:
        _LOG.error(
            "model %s takes no request parameters: %s; assemble its repository again", model.name, error
        )
        return {}


def _usual_outputs(model: model_config_pb2.ModelConfig) -> bytes:
    names = [tensor.name for tensor in model.output]
    on_request = (
        _on_request(model.parameters["contract"].string_value) if "contract" in model.parameters else ()
    )
    usual = [name for name in names if name not in on_request]
    if not usual or len(usual) == len(names):
        return b""
    request = v2.ModelInferRequest(outputs=[{"name": name} for name in usual])
    serialised: bytes = request.SerializeToString()
    return serialised


@functools.lru_cache(maxsize=16)  # most models of a repository carry the same
def _on_request(contract: str) -> frozenset[str]:
    """The tensors that answer a contract's tasks only where a request names them; none of one unreadable."""
    try:
        return frozenset(
            tensor.name
            for entry in Contract.parse(contract).tasks
            for tensor in answer_tensors(entry)
            if tensor.on_request
        )
    except ValueError as error:
        _LOG.warning(
            "requests that name no outputs get all of them, as the contract is unreadable: %s", error
        )
        return frozenset()


def _datatype(number: int) -> str:
    name: str = model_config_pb2.DataType.Name(number)
    return _RENAMED.get(name, name.removeprefix(_PREFIX))

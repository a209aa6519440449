"""Signatures: what each served model takes and answers, as requests are compared with it."""

import dataclasses
import logging
from collections.abc import Mapping

from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as v2

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
    """

    versions: frozenset[str]
    max_batch_size: int
    inputs: Mapping[str, TensorSignature]
    required: frozenset[str]
    outputs: frozenset[str]
    counted: frozenset[str]
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)


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


def _datatype(number: int) -> str:
    name: str = model_config_pb2.DataType.Name(number)
    return _RENAMED.get(name, name.removeprefix(_PREFIX))

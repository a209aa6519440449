"""What TensorRT's layers multiply in, read from the network that it parsed or the engine that it built."""

import json
import re
from collections.abc import Mapping
from typing import Any

from build.backends.base import Layer

_MULTIPLYING = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM", "ATTENTION_INPUT")
_PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}
# Layers that may stand between a DQ node and the product that it feeds, and don't compute.
_PASSING = ("SHUFFLE", "IDENTITY", "SQUEEZE", "UNSQUEEZE", "SLICE")

# Kinds of the engine's own layers that multiply by themselves ...
_KINDS = re.compile(r"gemm|conv|matrixmultiply|mha|attention", re.IGNORECASE)
# ... and those that hold whatever was fused: there the kernel's name decides.
_FUSED = re.compile(r"kgen|fusion|myelin", re.IGNORECASE)
_KERNELS = re.compile(r"gemm|mha|conv|(?<![a-z])_?Fc(?![a-z])|MatMul|Dot")
# Which nodes of the ONNX file a layer was made of, in its metadata.
_NODES = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
# What the inspector calls the types that are multiplied, as whole words: "Half", "Row major linear FP16
# format", "BFloat16". Of a layer's inputs the first of these that is among them decides, as products are
# made in the type of their factors, and what is added to them may have more bits. Integers but INT8 (the
# pixels, shapes) and masks are no factors.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "int8": ("int8",),
    "fp8": ("fp8", "float8", "e4m3", "fp8e4m3", "float8e4m3", "float8e4m3fn"),
    "bf16": ("bf16", "bfloat16"),
    "fp16": ("fp16", "float16", "half"),
    "fp32": ("fp32", "float32", "float"),
}
# The fields that hold them, the surest first: TensorRT 11 has a field for the type and one for the layout,
# 10 had one for both; of a layer's own weights it is the "Type".
_FIELDS = ("datatype", "format/datatype", "format", "type")


def parsed_layers(network: Any) -> tuple[Layer, ...]:
    """The layers that multiply in a strongly typed network (trt.INetworkDefinition), before fusion."""
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    makers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    return tuple(
        Layer(name=layer.name, kind=layer.type.name.lower(), precision=_multiplied_in(layer, makers))
        for layer in layers
        if layer.type.name in _MULTIPLYING
    )


def inspected_layers(information: str) -> tuple[Layer, ...]:
    """The same of an engine, from its inspector's JSON at detailed verbosity.

    A layer whose type no field states has the precision "unknown". The schemas of TensorRT 10 and 11
    were taken from their documentation; not run on a GPU yet.
    """
    found = []
    for entry in json.loads(information)["Layers"]:
        if not isinstance(entry, dict):  # an engine built with less verbosity names its layers only
            continue
        name, kind, kernel = (str(entry.get(key, "")) for key in ("Name", "LayerType", "TacticName"))
        # A generated kernel's name describes its content; one that was taken from the ONNX file may not.
        own = kernel if kernel else name if name.startswith("_") else ""
        if _KINDS.search(kind) or (_FUSED.search(kind) and _KERNELS.search(own)):
            nodes = ", ".join(_NODES.findall(str(entry.get("Metadata", ""))))
            found.append(Layer(name=nodes or name, kind=kind, precision=_computed_in(entry)))
    return tuple(found)


def _multiplied_in(layer: Any, makers: dict[str, Any]) -> str:
    """The precision of a product: that of its factors, or of what was dequantised into both of them."""
    factors = [layer.get_input(i) for i in range(layer.num_inputs)]
    # A convolution's weights are an input of the layer only where they are not a plain constant.
    found = {_stored_in(factor, makers) for factor in factors[:2] if factor is not None}
    if len(found) == 1:
        return found.pop()
    return _name(layer.get_input(0).dtype)


def _stored_in(tensor: Any, makers: dict[str, Any]) -> str:
    maker = makers.get(tensor.name)
    while maker is not None and maker.type.name in _PASSING:
        maker = makers.get(maker.get_input(0).name)
    if maker is not None and maker.type.name == "DEQUANTIZE":
        return _name(maker.get_input(0).dtype)
    return _name(tensor.dtype)


def _name(dtype: Any) -> str:
    spelled = str(dtype.name)
    return _PRECISIONS.get(spelled, spelled)


def _computed_in(entry: Mapping[str, Any]) -> str:
    """What a layer multiplies in: the type of its inputs, else of its own weights, else "unknown"."""
    for tensors in (entry.get("Inputs"), [entry.get("Weights")]):
        found = {_type(tensor) for tensor in tensors or () if isinstance(tensor, dict)}
        for precision in _WORDS:
            if precision in found:
                return precision
    return "unknown"


def _type(tensor: Mapping[str, Any]) -> str | None:
    """The precision that a tensor's entry names, if it is one that is multiplied in."""
    fields = {key.lower(): str(value) for key, value in tensor.items()}
    stated = next((fields[field] for field in _FIELDS if field in fields), "")
    words = set(re.findall(r"[a-z0-9]+", stated.lower()))
    return next((precision for precision, names in _WORDS.items() if words & set(names)), None)

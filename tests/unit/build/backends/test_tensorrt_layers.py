"""What a TensorRT engine's layers multiply in is read from what its inspector prints, of either version."""

import json
from typing import Any

import pytest

from build.acceptance.layers import layer_fault, layer_shares
from build.backends.tensorrt_tools.layers import inspected_layers


def layer(name: str, kind: str, datatype: str, **more: str) -> dict[str, Any]:
    tensor = {"Name": "x", "Dimensions": [1, 40, 256], "Format/Datatype": datatype}
    return {"Name": name, "LayerType": kind, "Inputs": [tensor], "Outputs": [tensor]} | more


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            layer("a_myl0_1", "gemm", "Half", Metadata="[ONNX Layer: /a/MatMul]\u001e[ONNX Layer: /a/Add]"),
            ("/a/MatMul, /a/Add", "fp16"),
        ),
        (layer("stem", "CaskConvolution", "Row major Int8 format"), ("stem", "int8")),
        (layer("stem", "CaskGemmConvolution", "Row major linear FP32"), ("stem", "fp32")),
        (layer("_gemm_mha_v2_myl0_3", "kgen", "BFloat16"), ("_gemm_mha_v2_myl0_3", "bf16")),
        (
            layer("f", "fusion", "FP8", TacticName="sm90_xmma_gemm_e4m3bf16_e4m3f32_f32"),
            ("f", "fp8"),
        ),
        (layer("__myl_AddCastMean_myl0_4", "kgen", "Half", TacticName="__myl_AddCastMean_0x1"), None),
        (layer("/conv1/Add", "kgen", "Half"), None),
        (layer("copy for /conv1/Conv", "Reformat", "Half"), None),
    ],
)
def test_the_inspector_s_layers_that_multiply_are_told_from_the_others(
    entry: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    found = inspected_layers(json.dumps({"Layers": [entry, "a name only"], "Bindings": []}))
    assert [(layer.name, layer.precision) for layer in found] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("fields", "precision"),
    [
        ({"Format/Datatype": "Half"}, "fp16"),
        ({"Format/Datatype": "FP16 NHWC8"}, "fp16"),
        ({"Format/Datatype": "Channel major FP16 format where channel % 4 == 0"}, "fp16"),
        ({"Format/Datatype": "Float16"}, "fp16"),
        ({"Format/Datatype": "BFloat16"}, "bf16"),
        ({"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."}, "int8"),
        ({"Format/Datatype": "UINT8"}, "unknown"),
        ({"Format/Datatype": "Int64"}, "unknown"),
        ({"Format/Datatype": "N/A due to dynamic shapes"}, "unknown"),
        ({"DataType": "Float", "Format": "Row major linear FP32 format (kLINEAR)"}, "fp32"),
        ({"Datatype": "Half", "Format": "Row major linear"}, "fp16"),
        ({"DataType": "FP8", "Format": "Row major linear"}, "fp8"),
        ({"DataType": "Bool", "Format": "Row major linear FP32 format (kLINEAR)"}, "unknown"),
        ({"Format": "Row major linear BF16 format (kLINEAR)"}, "bf16"),
        ({}, "unknown"),
    ],
)
def test_a_type_is_read_as_a_whole_word_in_the_schema_of_either_version(
    fields: dict[str, str], precision: str
) -> None:
    entry = {"Name": "x", "LayerType": "gemm", "Inputs": [fields]}
    (found,) = inspected_layers(json.dumps({"Layers": [entry]}))
    assert found.precision == precision


@pytest.mark.parametrize(
    ("inputs", "more", "precision"),
    [
        (["Float", "Half", "Half"], {}, "fp16"),  # a sum in fp32 comes before the factors
        (["Half", "Int8", "Int8"], {}, "int8"),
        (["Int64", "UINT8", "Bool", "Half"], {}, "fp16"),
        (["UInt8"], {"Weights": {"Type": "Half", "Count": 432}}, "fp16"),
        (["Half"], {"Weights": {"Type": "Int8", "Count": 432}}, "fp16"),
        (["UInt8", "Int32"], {}, "unknown"),
        ([], {}, "unknown"),
    ],
)
def test_of_a_layer_s_inputs_only_the_factors_count(
    inputs: list[str], more: dict[str, Any], precision: str
) -> None:
    tensors = [{"DataType": datatype} for datatype in inputs]
    entry = {"Name": "x", "LayerType": "CaskConvolution", "Inputs": tensors} | more
    (found,) = inspected_layers(json.dumps({"Layers": [entry]}))
    assert found.precision == precision


def test_an_engine_whose_types_can_t_be_read_is_refused_with_its_counts() -> None:
    entries = [layer(f"layer {number}", "gemm", "Complicated") for number in range(3)]
    found = layer_shares(inspected_layers(json.dumps({"Layers": entries})), excluded=[])
    for precision in ("fp32", "fp16", "int8"):
        fault = layer_fault(found, precision=precision)
        assert fault is not None
        assert "3 in unknown" in fault

"""An engine that is not what it is called, or answers otherwise than torch, does not pass."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from build.acceptance import gate
from build.acceptance.file_size import size_fault
from build.acceptance.layers import layer_fault, layer_shares
from build.acceptance.parity_check import answer_fault, differences_by_batch
from build.acceptance.task_metrics import metric_fault
from build.backends.base import Layer
from runtime.contract import Contract
from tests.helpers.networks import standin_network as standin


def layers(**counts: int) -> list[Layer]:
    return [
        Layer(name=f"{precision}_{number}", kind="MatMul", precision=precision)
        for precision, count in counts.items()
        for number in range(count)
    ]


def fault(precision: str, *, kept: tuple[str, ...] = (), **counts: int) -> str | None:
    return layer_fault(layer_shares(layers(**counts), excluded=kept), precision=precision)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_an_engine_that_silently_stayed_fp32_is_refused(precision: str) -> None:
    assert fault(precision, **{precision: 100}) is None
    assert fault(precision, **{precision: 96, "fp32": 4}) is None
    said = fault(precision, **{precision: 90, "fp32": 10})
    assert said is not None
    assert "10% of its multiplying layers stayed fp32" in said
    assert "100%" in str(fault(precision, fp32=100))


def test_layers_on_the_keep_list_may_stay_fp32() -> None:
    kept = tuple(f"fp32_{number}" for number in range(10))
    assert fault("bf16", bf16=90, fp32=10, kept=kept) is None
    assert "1 in fp32" not in str(fault("bf16", bf16=9, fp32=10, kept=kept))
    assert fault("bf16", bf16=9, fp32=12, kept=kept) is not None


def test_a_kept_name_counts_as_a_whole_word_of_a_fused_layer_s_name() -> None:
    fused = [Layer(name="node_MatMul_1 + node_Add_2", kind="FullyConnected", precision="fp32")]
    assert layer_shares(fused, excluded=["node_MatMul_1"]).excluded == 1
    assert layer_shares(fused, excluded=["node_MatMul"]).excluded == 0


def test_a_quantised_engine_must_be_quantised_for_the_most_part() -> None:
    assert fault("int8", int8=60, bf16=40) is None
    assert "only 40% of its layers are int8" in str(fault("int8", int8=40, bf16=60))
    assert "stayed fp32" in str(fault("int8", int8=60, fp32=40))


def test_a_layer_whose_type_can_t_be_read_is_refused() -> None:
    assert "can't be read" in str(fault("fp16", fp16=99, unknown=1))


def test_fp32_is_fp32_throughout() -> None:
    assert fault("fp32", fp32=10) is None
    assert "it is not fp32" in str(fault("fp32", fp32=10, bf16=1))


def test_an_engine_without_layers_proves_nothing() -> None:
    assert "no multiplying layer" in str(fault("fp16"))


def test_a_file_that_is_too_large_for_its_precision_is_refused() -> None:
    parameters = 134_600_000
    assert size_fault(parameters * 4, parameters=parameters, precision="fp32") is None
    assert size_fault(parameters * 2 + 6_000_000, parameters=parameters, precision="fp16") is None
    assert "need less" in str(size_fault(parameters * 4, parameters=parameters, precision="fp16"))


def test_a_small_network_s_plan_is_mostly_kernels() -> None:
    """The sizes that TensorRT-RTX made of 2.5 million parameters: in bf16, and in fp32."""
    assert size_fault(14_126_812, parameters=2_487_247, precision="bf16") is None
    assert "need less" in str(size_fault(18_559_908, parameters=2_487_247, precision="bf16"))


def test_each_output_outside_its_tolerance_is_named_with_its_distance() -> None:
    contract = Contract.parse(standin.contract_of("expression", "age", "head_pose"))
    pixels = np.zeros((4, standin.SIZE, standin.SIZE, 3), np.uint8)
    expected = {
        "expression": np.full((4, 7), 0.1, np.float32),
        "age": np.full((4, 1), 30, np.float32),
        "head_pose": np.tile(np.eye(3, dtype=np.float32), (4, 1, 1)),
    }

    def infer(batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        answers = {name: values[: len(batch)].copy() for name, values in expected.items()}
        if len(batch) == 4:
            answers["age"][3] += 2
            answers["expression"][2, 1] = np.nan
        return answers

    by_batch = differences_by_batch(
        contract, infer=infer, pixels=pixels, expected=expected, precision="fp16", batches=(1, 3, 4)
    )
    assert by_batch["3"]["age"] == 0
    assert by_batch["4"]["age"] == 2
    said = answer_fault(by_batch, contract=contract, precision="fp16")
    assert said == (
        "it differs from torch in expression by inf (allowed 0.02, batch 4), age by 2 (allowed 0.5, batch 4)"
    )
    assert answer_fault({"1": by_batch["1"]}, contract=contract, precision="fp16") is None


def test_a_task_that_got_worse_on_labelled_faces_is_named() -> None:
    torch = {
        "age on x": {"mean_absolute_error": 5.0},
        "gender on x": {"top1_accuracy": 0.9},
        "landmarks on x": {"normalized_mean_error": 0.05},
    }
    same = {"torch": torch, "engine": torch}
    assert metric_fault(same) is None
    assert metric_fault({}) is None
    worse = {
        "age on x": {"faces": 9, "mean_absolute_error": 5.2, "trivial": 9.0},
        "gender on x": {"top1_accuracy": 0.88},
        "landmarks on x": {"normalized_mean_error": 0.055},
    }
    said = str(metric_fault({"torch": torch, "engine": worse}))
    assert "mean_absolute_error of age on x rises from 5.000 to 5.200" in said
    assert "top1_accuracy of gender on x falls from 0.9000 to 0.8800" in said
    assert "normalized_mean_error of landmarks on x rises from 0.050 to 0.055" in said
    blind = {name: {} for name in torch}
    assert "age on x rises from 5.000 to nan" in str(metric_fault({"torch": torch, "engine": blind}))


def test_the_verdict_names_every_fault_at_once() -> None:
    contract = Contract.parse(standin.contract_of("age"))
    measured = gate.Measurements(
        precision="fp16",
        layers=layer_shares(layers(fp32=10), excluded=()),
        size=40_000_000,
        parameters=1_000_000,
        differences={"1": {"age": 2.0}},
    )
    verdict = gate.check(measured, contract=contract)
    assert not verdict.accepted
    assert verdict.metrics is None
    for fault, words in zip(verdict.faults, ("stayed fp32", "need less", "age by 2"), strict=True):
        assert words in fault
    small = dataclasses.replace(
        measured,
        layers=layer_shares(layers(fp16=10), excluded=()),
        size=None,  # as of an engine whose precision is a setting
        differences={"1": {"age": 0.1}},
    )
    assert gate.check(small, contract=contract) == gate.Verdict()

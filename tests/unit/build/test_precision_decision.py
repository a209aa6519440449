"""Where no precision was chosen: a lower one only where the processor has it and the gate finds it right."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from build import machine
from build.acceptance.parity import differences, tolerances
from build.acceptance.precision_decision import PrecisionDecision, decide_precision
from build.acceptance.reference import Reference, load_reference, reference_path, save_reference
from build.backends import default_backend
from build.backends.base import Engine, Layer
from build.config import WEIGHTS
from build.errors import BuildError
from build.onnx_interface import read_graph
from runtime.heads import heads_of
from tests.helpers.builds import bf16_refusal

SHIPPED = sorted(WEIGHTS.parent.glob("*.onnx"))
FACES = 32
BACKEND = type(default_backend("cpu"))


def answers_of(network: Path, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    names = list(heads_of(read_graph(network).contract))
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))


@pytest.fixture
def reference(weights: Path) -> Reference:
    """Of the stand-in network, saved beside it."""
    graph = read_graph(weights)
    size = graph.contract.input_size
    pixels = np.random.default_rng(1).integers(0, 256, (FACES, size, size, 3), dtype=np.uint8)
    found = Reference(network=graph.sha256, pixels=pixels, answers=answers_of(weights, pixels))
    save_reference(reference_path(weights), found)
    return found


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "decisions"


@pytest.fixture
def as_if(monkeypatch: pytest.MonkeyPatch, weights: Path) -> Callable[..., None]:
    """Lets the processor have bf16, and an engine with layers of a precision and ages `error` off."""

    def set_up(*, layers: str = "bf16", error: float = 0.0, refuses: bool = False) -> None:
        def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
            return {
                name: (values + error).astype(values.dtype) if name == "age" else values
                for name, values in answers_of(weights, pixels).items()
            }

        def open_engine(_self: object, network: Path, **_settings: object) -> Engine:
            if refuses:
                raise BuildError("the runtime has no kernel")
            return Engine(
                files={},
                layers=tuple(Layer(name=str(n), kind="MatMul", precision=layers) for n in range(10)),
                layers_from="executed graph",
                versions={},
                settings={},
                infer=infer,
            )

        monkeypatch.setattr(BACKEND, "fast_precision", lambda _self: ("bf16", "avx512_bf16"))
        monkeypatch.setattr(BACKEND, "open_engine", open_engine)

    return set_up


@pytest.mark.parametrize("network", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_the_committed_answers_are_those_of_the_committed_network(network: Path) -> None:
    graph = read_graph(network)
    found = load_reference(reference_path(network), network=graph.sha256)
    assert len(found.pixels) == FACES
    some = {name: values[:8] for name, values in found.answers.items()}
    apart = differences(graph.contract, some, answers_of(network, found.pixels[:8]), in_units=False)
    allowed = tolerances(graph.contract, precision="fp32")
    assert set(apart) == set(heads_of(graph.contract))
    assert all(value <= allowed[name] for name, value in apart.items()), apart
    assert reference_path(network).stat().st_size < 1_000_000


def test_the_shipped_network_is_served_in_what_this_processor_runs_well(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = read_graph(WEIGHTS)
    decision = decide_precision(graph, memory=memory)
    has = {"amx_bf16", "avx512_bf16"} & machine.instructions()
    expected = "bf16" if has and bf16_refusal() is None else "fp32"
    assert decision.precision == expected, decision.why
    if expected == "bf16":
        assert set(decision.differences["32"]) == set(graph.contract.names)

        def must_not_run(*_arguments: object, **_settings: object) -> None:
            raise AssertionError("the decision was not remembered")

        monkeypatch.setattr(BACKEND, "open_engine", must_not_run)
        assert decide_precision(graph, memory=memory) == decision


def test_right_answers_and_layers_are_accepted(
    weights: Path, reference: Reference, memory: Path, as_if: Callable[..., None]
) -> None:
    as_if(error=0.2)
    decision = decide_precision(read_graph(weights), memory=memory)
    assert decision.precision == "bf16"
    assert decision.why == (
        "the processor has AVX512_BF16, and its answers lie within the gate's tolerances of torch's (the "
        "worst is age: 0.2, 40% of what is allowed)"
    )


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"error": 0.6}, "bf16 is refused: it differs from torch in age by 0.6 (allowed 0.5"),
        ({"layers": "fp32"}, "bf16 is refused: 100% of its multiplying layers stayed fp32"),
        ({"refuses": True}, "bf16 can't be tried: the runtime has no kernel"),
    ],
)
def test_an_engine_that_the_gate_refuses_is_served_in_full_precision_with_the_reason(
    weights: Path,
    reference: Reference,
    memory: Path,
    as_if: Callable[..., None],
    engine: Mapping[str, Any],
    words: str,
) -> None:
    as_if(**engine)
    decision = decide_precision(read_graph(weights), memory=memory)
    assert decision.precision == "fp32"
    assert decision.why.startswith(f"the processor has AVX512_BF16, but {words}")


def test_a_processor_without_the_instructions_is_not_even_tried(
    weights: Path, reference: Reference, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "instructions", lambda: frozenset({"avx2", "avx512f"}))
    decision = decide_precision(read_graph(weights), memory=memory)
    assert (decision.precision, decision.why) == (
        "fp32",
        "the processor has neither AMX_BF16 nor AVX512_BF16",
    )


def missing(path: Path, _reference: Reference) -> None:
    path.unlink()


def cut_short(path: Path, _reference: Reference) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def a_bit_changed(path: Path, _reference: Reference) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def of_another_network(path: Path, reference: Reference) -> None:
    save_reference(path, dataclasses.replace(reference, network="0" * 64))


def without_an_output(path: Path, reference: Reference) -> None:
    answers = {name: values for name, values in reference.answers.items() if name != "age"}
    save_reference(path, dataclasses.replace(reference, answers=answers))


def with_few_faces(path: Path, reference: Reference) -> None:
    answers = {name: values[:3] for name, values in reference.answers.items()}
    save_reference(path, dataclasses.replace(reference, pixels=reference.pixels[:3], answers=answers))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (missing, "there are no faces with torch's answers at"),
        (cut_short, "does not hold faces with torch's answers"),
        (a_bit_changed, "does not hold faces with torch's answers"),
        (of_another_network, "are another network's"),
        (without_an_output, "lacks age"),
        (with_few_faces, "lacks 32 faces"),
    ],
)
def test_without_a_whole_reference_full_precision_is_served_with_the_reason(
    weights: Path,
    reference: Reference,
    memory: Path,
    as_if: Callable[..., None],
    damage: Callable[[Path, Reference], None],
    words: str,
) -> None:
    as_if()
    damage(reference_path(weights), reference)
    decision = decide_precision(read_graph(weights), memory=memory)
    assert decision.precision == "fp32"
    assert words in decision.why


def test_a_decision_holds_for_one_network_reference_and_kind_of_machine(
    weights: Path,
    reference: Reference,
    memory: Path,
    as_if: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decided() -> str:
        return decide_precision(read_graph(weights), memory=memory).precision

    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    as_if()
    assert decided() == "bf16"
    as_if(error=0.6)
    assert decided() == "bf16", "remembered"
    (remembered,) = memory.iterdir()
    kept = remembered.read_bytes()
    remembered.write_text("{")
    assert decided() == "fp32", "a damaged memory decides nothing"
    remembered.write_bytes(kept)
    assert decided() == "bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert decided() == "fp32", "another machine"
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    save_reference(reference_path(weights), dataclasses.replace(reference, pixels=reference.pixels ^ 1))
    assert decided() == "fp32", "another reference"


def test_where_nothing_can_be_written_it_is_decided_all_the_same(
    weights: Path, reference: Reference, memory: Path, as_if: Callable[..., None]
) -> None:
    as_if()
    memory.write_text("no directory")
    assert decide_precision(read_graph(weights), memory=memory).precision == "bf16"


def test_a_decision_is_read_as_it_was_recorded() -> None:
    decision = PrecisionDecision(
        precision="bf16", why="of speed", machine={"processor": "x"}, differences={"1": {"age": 0.1}}
    )
    assert PrecisionDecision.from_json(decision.to_json()) == decision

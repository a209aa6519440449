"""In which precision an exported network is served where none was chosen.

In a lower one than its own, where the processor multiplies in it and the engine passes the acceptance gate on
this machine; else in full precision. The gate compares with torch's answers about real faces. They lie beside
the network (`reference_path`), so torch itself is not needed. The decision is remembered for the same
network, reference, tolerances, processor, runtime and code.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build import machine
from build.acceptance import gate
from build.acceptance.layers import TOLERATED_FP32_SHARE, layer_shares
from build.acceptance.parity import tolerances
from build.acceptance.parity_check import differences_by_batch
from build.acceptance.reference import Reference, load_reference, reference_path
from build.backends import default_backend
from build.backends.base import CpuBackend
from build.errors import BuildError
from build.files import ROOT, replace_file, sha256_of_file
from build.manifest import package_versions
from build.onnx_interface import Graph
from build.precisions import FULL_PRECISION, PRECISIONS, Precision
from build.serving.batching_and_queues import COMPARED_BATCHES
from runtime.heads import heads_of

_DECIDING_CODE = (Path(__file__).parent, ROOT / "runtime" / "engines")
DECISION = "decision"  # its key in what a manifest records of an engine


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrecisionDecision:
    """The precision of one exported network on one kind of machine."""

    precision: Precision
    why: str  # the end of a sentence
    machine: Mapping[str, str]  # the processor, the runtime's version, variables that it reads
    # From torch: batch size -> output -> in its unit; empty where nothing was compared.
    differences: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it is remembered, and recorded in a manifest."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> "PrecisionDecision":
        """What `to_json` recorded; KeyError, TypeError or ValueError for anything else."""
        if recorded["precision"] not in PRECISIONS:
            raise ValueError(f"there is no precision {recorded['precision']!r}")
        return cls(
            precision=recorded["precision"],
            why=str(recorded["why"]),
            machine=dict(recorded["machine"]),
            differences=dict(recorded["differences"]),
        )


def decide_precision(graph: Graph, *, memory: Path) -> PrecisionDecision:
    """The precision of an exported network for the CPU's default backend on this machine.

    Decisions are kept in the directory `memory`. No fault raises: it decides for full precision.
    """
    beside = reference_path(graph.path)
    backend = default_backend("cpu")
    assert isinstance(backend, CpuBackend)
    lower = {name: tolerances(graph.contract, precision=name) for name in backend.precisions}
    decides = {
        "network": graph.sha256,
        "reference": sha256_of_file(beside) if beside.is_file() else None,
        "tolerances": [lower, TOLERATED_FP32_SHARE, COMPARED_BATCHES],
        "machine": machine_of_decision(),
        "code": _code(),
    }
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
    remembered = memory / f"{graph.path.stem}-{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return PrecisionDecision.from_json(json.loads(remembered.read_text()))
    here = machine_of_decision()
    try:
        reference = _reference(graph)
    except BuildError as error:
        return _full(str(error), here)
    fast = backend.fast_precision()
    if fast is None:
        known = (name.upper() for name in backend.fast_instructions)
        return _full(f"the processor has neither {' nor '.join(known)}", here)
    decision = _tried(graph, backend, precision=fast[0], instruction=fast[1].upper(), reference=reference)
    with contextlib.suppress(OSError):  # where nothing can be written, the next start tries again
        memory.mkdir(parents=True, exist_ok=True)
        replace_file(remembered, (json.dumps(decision.to_json(), indent=1) + "\n").encode())
    return decision


def machine_of_decision() -> dict[str, str]:
    """What of this machine decides which kernels run."""
    backend = default_backend("cpu")
    assert isinstance(backend, CpuBackend)
    set_here = {name: os.environ[name] for name in backend.kernel_variables if name in os.environ}
    return {"processor": machine.processor()} | package_versions(*backend.packages) | set_here


def _code() -> str:
    """One sha256 over what compiles and measures an engine: another version of it decides anew."""
    digest = hashlib.sha256()
    for folder in _DECIDING_CODE:
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _full(why: str, here: Mapping[str, str], **measured: Any) -> PrecisionDecision:
    return PrecisionDecision(precision=FULL_PRECISION, why=why, machine=here, **measured)


def _reference(graph: Graph) -> Reference:
    """Torch's answers beside the network; BuildError where they can't show that an engine is right."""
    path = reference_path(graph.path)
    reference = load_reference(path, network=graph.sha256)
    missing = sorted(set(heads_of(graph.contract)) - set(reference.answers))
    if missing or len(reference.pixels) < max(COMPARED_BATCHES):
        what = ", ".join(missing) or f"{max(COMPARED_BATCHES)} faces"
        raise BuildError(f"{path} lacks {what}: export the network again")
    return reference


def _tried(
    graph: Graph, backend: CpuBackend, *, precision: Precision, instruction: str, reference: Reference
) -> PrecisionDecision:
    """What the acceptance gate decides on the engine at a lower precision."""
    here, has = machine_of_decision(), f"the processor has {instruction}"
    try:
        # One thread is the cheapest in processor time.
        engine = backend.open_engine(graph.path, precision=precision, threads=1)
        assert engine.infer is not None
        differences = differences_by_batch(
            graph.contract,
            infer=engine.infer,
            pixels=reference.pixels,
            expected=reference.answers,
            precision=precision,
            batches=COMPARED_BATCHES,
        )
    except (BuildError, RuntimeError) as error:  # RuntimeError: the runtime's, while it computes
        return _full(f"{has}, but {precision} can't be tried: {error}", here)
    verdict = gate.check(
        gate.Measurements(
            precision=precision,
            layers=layer_shares(engine.layers, excluded=()),
            size=None,  # the file is the exported one
            parameters=0,
            differences=differences,
        ),
        contract=graph.contract,
    )
    rounded = {
        batch: {name: float(f"{value:.3g}") for name, value in by_output.items()}
        for batch, by_output in differences.items()
    }
    if not verdict.accepted:
        faults = "; ".join(verdict.faults)
        return _full(f"{has}, but {precision} is refused: {faults}", here, differences=rounded)
    share, name, value = _largest(rounded, tolerances(graph.contract, precision=precision))
    return PrecisionDecision(
        precision=precision,
        why=f"{has}, and its answers lie within the gate's tolerances of torch's (the worst is {name}: "
        f"{value:.2g}, {share:.0%} of what is allowed)",
        machine=here,
        differences=rounded,
    )


def _largest(
    differences: Mapping[str, Mapping[str, float]], allowed: Mapping[str, float]
) -> tuple[float, str, float]:
    """The share of what is allowed, the output and the difference of the one nearest to its tolerance."""
    return max(
        (value / allowed[name], name, value)
        for by_output in differences.values()
        for name, value in by_output.items()
    )


def precision_lines(manifest: Mapping[str, Any]) -> list[str]:
    """In which precision a repository's networks are served on this machine, and why: a line for each."""
    stages = manifest["stages"]
    networks = [("", stages), *stages.get("also", {}).items()]
    plan = manifest.get("plan", {})
    lines = []
    for name, of in networks:
        built = plan.get("also", {}).get(name) if name else plan.get("engine")
        file = of.get("onnx", {}).get("file")
        shown = Path(file).stem if file else f"the engine {built}"
        lines.append(f"serving {shown} in {_precision_here(of['engine'])}")
    return lines


def decided_elsewhere(manifest: Mapping[str, Any]) -> bool:
    """Whether a lower precision in a repository was accepted on another kind of machine than this one."""
    stages = manifest["stages"]
    engines = [stages["engine"], *(other["engine"] for other in stages.get("also", {}).values())]
    return any(_is_elsewhere(engine) for engine in engines)


def _precision_here(engine: Mapping[str, Any]) -> str:
    """The precision of an engine on this machine with its reason, as the end of a sentence."""
    precision, decision = engine["precision"], engine.get(DECISION)
    if decision is None:
        return f"{precision}, as it was chosen"
    if _is_elsewhere(engine):
        there = ", ".join(f"{key} {value}" for key, value in decision["machine"].items())
        return (
            f"{FULL_PRECISION}: {precision} was accepted on another machine ({there}); `make repository` "
            "tries it on this one"
        )
    return f"{precision}: {decision['why']}"


def _is_elsewhere(engine: Mapping[str, Any]) -> bool:
    decision = engine.get(DECISION)
    return (
        decision is not None
        and engine["precision"] != FULL_PRECISION
        and decision["machine"] != machine_of_decision()
    )

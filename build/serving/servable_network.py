"""One network of a repository: what it answers, the files of its engine, and how they came about."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from build.acceptance.answer_reference import answer_reference
from build.acceptance.precision_decision import DECISION, decide_precision
from build.backends import backend, default_backend, servable_backend
from build.errors import BuildError
from build.manifest import report_path
from build.onnx_interface import Graph, read_graph
from build.precisions import Precision
from build.serving.engine_settings import NETWORK_FILE, EngineSettings
from build.serving.served_network import Network, network_of
from build.stages.artifacts import EXPORTED
from build.stages.stage import recorded


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServableNetwork:
    """A network that can be served."""

    graph: Graph
    files: Mapping[str, Path]  # name in the engine's version directory -> file
    engine: EngineSettings
    stages: Mapping[str, Any]  # what it was made of, for the manifest
    pipeline: bytes | None = None  # by which a GPU decodes and warps its faces; None: none does
    fallback: EngineSettings | None = None  # instead of the engine, on machines where it was not accepted

    def network(self, *, tasks: Sequence[str] | None, name: str | None = None) -> Network:
        """As it is served: these tasks (None: those served by default); `name`: that of a further network."""
        network = network_of(self.graph, tasks=tasks, engine=self.engine, further=name)
        return dataclasses.replace(
            network,
            face_warp=self.pipeline is not None,
            fallback=self.fallback,
            answer_reference=answer_reference(self.graph),
        )


def exported_network(
    weights: Path, *, precision: Precision | None = None, threads: int = 0, decisions: Path
) -> ServableNetwork:
    """An exported network as the CPU's default backend runs it. BuildError where it can't be served.

    `precision` None: decided by what the processor has and the acceptance gate finds here; that is remembered
    in the directory `decisions`.
    """
    graph = read_graph(weights)
    decision = None
    if precision is None:
        decision = decide_precision(graph, memory=decisions)
        precision = decision.precision
    full = default_backend("cpu").settings(built_with={"threads": threads})
    engine = dataclasses.replace(full, precision=precision)
    stages = _onnx_stages(graph)
    stages["engine"] = {"target": engine.backend.name, "precision": engine.precision}
    if decision is not None:
        stages["engine"][DECISION] = decision.to_json()
    return ServableNetwork(
        graph=graph,
        files={NETWORK_FILE: graph.path},
        engine=engine,
        stages=stages,
        fallback=None if decision is None or engine == full else full,
    )


def built_network(
    built: Path, *, instances: int | None = None, gpus: Sequence[int] = (), keep: bool = False
) -> ServableNetwork:
    """What `build.stages.compile` left in a directory; BuildError where it may not be served.

    On GPUs it is loaded `instances` times (None: as the host's settings have it) on each of `gpus` (empty: on
    every one). `keep`: it is what is served already, so a later build of it that failed is no reason to stop.
    """
    about = servable_engine(built, keep=keep)
    files = {name: built / name for name in about["files"]}
    executes = servable_backend(about["target"])
    executes.check_machine(built, about, gpus=gpus)
    if executes.device == "gpu":
        files[NETWORK_FILE] = built / EXPORTED  # the same repository runs on a CPU too
    stages = {
        "checkpoint": {"sha256": about["onnx"]["checkpoint_sha256"]},
        "onnx": {"sha256": about["onnx"]["onnx_sha256"], **about["exported"]},
        "engine": {key: value for key, value in about.items() if key not in ("onnx", "exported")},
    }
    return ServableNetwork(
        graph=read_graph(built / EXPORTED),
        files=files,
        engine=executes.settings(
            precision=about["precision"], built_with=about["settings"], instances=instances, gpus=gpus
        ),
        stages=stages,
    )


def servable_engine(directory: Path, *, keep: bool = False) -> dict[str, Any]:
    """The manifest beside a built engine that may be served; else BuildError names the reason.

    `keep`: the engine is served already, and so not refused for what a later build of it failed at.
    """
    if not keep and (why := _last_failure(directory)):
        raise BuildError(f"the last build of the engine in {directory} was refused ({why}): build it again")
    record = recorded(directory)
    if record is None:
        raise BuildError(
            f"there is no finished engine in {directory}: build one with "
            "`make engine TARGET=... PRECISION=...`"
        )
    about: dict[str, Any] = record["report"]
    if not about["trained"]:
        raise BuildError(f"the engine in {directory} has untrained weights, which are never served")
    if about.get("needs"):
        raise BuildError(
            f"the engine in {directory} was never run, for it needs {about['needs']} to be compared and "
            "served: build it on a machine that has one"
        )
    if fault := backend(about["target"]).runtime_fault(about):
        raise BuildError(f"the engine in {directory} can't be served here: {fault}; build it again")
    if not backend(about["target"]).servable:
        raise BuildError(
            f"Triton can't serve the {about['target']} engine in {directory}: build another target"
        )
    return about


def _last_failure(directory: Path) -> str | None:
    """Why the last build of an engine failed, at its last step or the one before; None where it did not."""
    for step in (directory.name, "precision"):
        path = directory.with_name(f"{step}.FAILED.json")
        try:
            return str(json.loads(path.read_text())["error"])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            return f"{path} can't be read"
    return None


def _onnx_stages(graph: Graph) -> dict[str, Any]:
    """The stages behind an ONNX file, with the parity report that lies beside it."""
    stages: dict[str, Any] = {"onnx": {"file": graph.path.name, "sha256": graph.sha256}}
    if "checkpoint_sha256" in graph.metadata:
        stages["checkpoint"] = {"sha256": graph.metadata["checkpoint_sha256"]}
    report = _read_report(report_path(graph.path), sha256=graph.sha256)
    if report is not None:
        stages["onnx"]["parity"] = report["parity"]
    return stages


def _read_report(path: Path, *, sha256: str) -> dict[str, Any] | None:
    """The report of `build.stages.export` on the ONNX file of this sha256; None where there is none."""
    try:
        report: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return report if report.get("onnx_sha256") == sha256 else None

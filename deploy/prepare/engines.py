"""The engine for this deployment's own machine: built once, found again by what it depends on.

    STATE/engines/NETWORK/TARGET-PRECISION-MACHINE-SHA256/engine

MACHINE is what decides where an engine runs (of TensorRT: the GPU's compute capability and TensorRT's
version), SHA256 the beginning of that of the network at its precision. Hosts with whatever GPUs may share
STATE/engines.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from build.backends import servable_backend
from build.backends.base import Backend
from build.errors import BuildError
from build.onnx_interface import Graph
from build.precisions import Precision
from build.serving.servable_network import servable_engine
from build.stages.artifacts import PrecisionReport
from build.stages.compile import BuildSettings, CompileStage
from build.stages.stage import Finished, Log, finished, perform, recorded
from deploy.prepare.lock import only_one
from deploy.prepare.lower import find_lowered, lower

ENGINES = "engines"
_QUIET = BuildSettings(rounds=0)  # no speed is measured: torch is not there


def engine_for_this_machine(
    graph: Graph, *, target: str, precision: Precision, state: Path, lowered: Path, log: Log
) -> Path:
    """The directory of an engine that runs here, built where there is none yet.

    One that is there is verified by its manifest, by its files' sha256 and against this machine.
    Raises BuildError with one sentence where there can't be one; nothing half done is left.
    """
    builder = servable_backend(target)
    builder.check_available(precision)  # first: without a GPU nothing else is worth a minute
    machine = builder.machine_key()
    with only_one(state / ENGINES, log=log):
        return _built(
            graph,
            builder,
            precision=precision,
            machine=machine,
            engines=state / ENGINES,
            lowered=lowered,
            log=log,
        )


def _built(
    graph: Graph,
    builder: Backend,
    *,
    precision: Precision,
    machine: Mapping[str, str],
    engines: Path,
    lowered: Path,
    log: Log,
) -> Path:
    network = _lowered_network(
        graph, target=builder.name, precision=precision, lowered=lowered, engines=engines, log=log
    )
    digest = network.report["files"][network.report["network"]]
    parts = [builder.name, precision, *(f"{name}{value}" for name, value in machine.items()), digest[:12]]
    name = re.sub(r"[^\w.-]+", "_", "-".join(parts))
    directory = engines / graph.path.stem / name / "engine"
    if _usable(directory, builder, log=log):
        log(f"engine: the one in {directory} is as its manifest says, and is used")
        return directory
    shutil.rmtree(directory, ignore_errors=True)  # its record may be right, and the step would keep it
    stage = CompileStage(
        network=network.directory,
        directory=directory,
        settings=_QUIET,
        timing_cache=engines / "timing.cache",
    )
    return perform(stage, log=log).directory


def _usable(directory: Path, builder: Backend, *, log: Log) -> bool:
    if not directory.exists():
        return False
    if recorded(directory) is None:
        log(f"engine: the one in {directory} is damaged or not complete")
        return False
    try:
        about = servable_engine(directory)
        builder.check_machine(directory, about, gpus=())
    except BuildError as error:
        log(f"engine: {error}")
        return False
    return True


def _lowered_network(
    graph: Graph, *, target: str, precision: Precision, lowered: Path, engines: Path, log: Log
) -> Finished[PrecisionReport]:
    """The network at its precision: as the image has it, else made here."""
    found = find_lowered(lowered, graph, target=target, precision=precision)
    if found is None:
        try:
            found = lower(graph.path, target=target, precision=precision, output=engines / "lowered", log=log)
        except BuildError as error:
            raise BuildError(
                f"there is no network in {precision} for {target} below {lowered}, and it can't be made here "
                f"({error}): make it where the image is built with `python -m deploy.prepare.lower`"
            ) from error
    return finished(found, "precision", PrecisionReport)

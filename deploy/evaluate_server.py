"""Measures what is served as a client sees it: `make evaluate`, `make targets`, `make fairness`.

Assembles under var/evaluate the engine that `make repository` serves, with every task that it has learned,
those too that are served only where they are named; starts the gateway over it on free ports, lets a command
of `training.evaluation` measure it (`--measure`), and stops it. `evaluate` measures beside it the checkpoint
in weights/ that it came from. The tables go to var/evaluation.md and var/evaluation.json, var/targets.md and
so on; what is served from var/repository stays as it is.
"""

import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from build.errors import BuildError
from build.files import shown
from build.onnx_interface import read_graph
from build.options import add_option, from_options
from build.serving.plan_overrides import PlanOverrides
from build.serving_plan import recorded_plan, shipped_checkpoint
from build.stages.artifacts import EXPORTED
from build.stages.repository import assemble
from build.stages.repository_files import LINK
from deploy.embedded import EmbeddedServerError
from deploy.embedded.assembled_repository import precisions_served
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer

VAR = PROJECT / "var"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """A command that measures a server."""

    module: str
    files: str  # what its files under var/ are called
    beside_checkpoint: bool = False  # it measures the checkpoint too, unless another network is named
    named: bool = False  # it calls the network as it is told


MEASUREMENTS = {
    "evaluate": Measurement(
        module="training.evaluation.evaluate", files="evaluation", beside_checkpoint=True
    ),
    "targets": Measurement(module="training.evaluation.targets", files="targets", named=True),
    "fairness": Measurement(module="training.evaluation.fairness", files="fairness", named=True),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The status of the command that measures; 2 without something to serve or a server, or 130."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.evaluate_server",
        description=__doc__.splitlines()[0],
        epilog="All other options go to the command that measures: --data DIR --photos SET=DIR "
        "--beside NETWORK ...",
        allow_abbrev=False,
    )
    for name in ("weights", "target", "precision"):
        add_option(parser, PlanOverrides, name)
    parser.add_argument("--output", type=Path, default=VAR / "evaluate", help="where the repository is made")
    parser.add_argument(
        "--measure", choices=MEASUREMENTS, default="evaluate", help="by which command (%(default)s)"
    )
    options, evaluation_options = parser.parse_known_args(arguments)
    measurement = MEASUREMENTS[options.measure]
    log = VAR / "evaluate-server.log"
    try:
        repository = assemble_all_tasks(from_options(PlanOverrides, options), output=options.output)
        shipped = shipped_checkpoint(repository)
        named = {option.partition("=")[0] for option in evaluation_options}
        if shipped is not None and measurement.beside_checkpoint and "--beside" not in named:
            evaluation_options += ["--beside", shown(shipped)]
        if shipped is not None and measurement.named and "--name" not in named:
            evaluation_options += ["--name", shipped.stem]
        print("starting the gateway and the Triton server ...", file=sys.stderr)
        for line in precisions_served(repository):
            print(line, file=sys.stderr)
        with log.open("w") as sink, GatewayServer(repository, log=sink) as server:
            command = [sys.executable, "-m", measurement.module, f"grpc://{server.grpc_address}"]
            kept = VAR / measurement.files
            files = ["--json", f"{kept}.json", "--markdown", f"{kept}.md"]
            return subprocess.run([*command, *files, *evaluation_options], check=False).returncode
    except BuildError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    except EmbeddedServerError as error:
        print(f"evaluate: {error} (its log: {log})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # the server is stopped by now
        return 130


def assemble_all_tasks(overrides: PlanOverrides, *, output: Path) -> Path:
    """The repository, below `output`, of what `make repository` serves, with all tasks of its network.

    `overrides` are laid over the plan of what is served. BuildError where there is no such engine.
    """
    plan = overrides.over(recorded_plan(VAR / LINK), output=VAR)
    graph = read_graph(plan.weights if plan.engine is None else plan.engine / EXPORTED)
    tasks = graph.contract.names
    plan = dataclasses.replace(plan, tasks=tasks, further_networks={})
    return assemble(plan, output=output, keeps_engine=not overrides.choose_engine)


if __name__ == "__main__":
    sys.exit(main())

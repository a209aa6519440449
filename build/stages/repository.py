"""Assembles the model repository that Triton serves, and points var/repository to it.

    python -m build.stages.repository                       # what is served now; at first the shipped weights
    python -m build.stages.repository --tasks age,head_pose # or SERVED_TASKS=age,head_pose
    python -m build.stages.repository --precision bf16      # what `make engine PRECISION=bf16` built
    python -m build.stages.repository --engine DIR --also facexformer=DIR2   # a second network, by its name

The repository's name carries a hash of everything in it, so building it again changes nothing. It is
put together under another name and moved into place whole; then the link turns. A build that fails leaves no
trace. The last two are kept, so that a server can continue with the one that it began with, or return to it.
"""

import dataclasses
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from build.acceptance.precision_decision import precision_lines
from build.cli import run_cli
from build.errors import BuildError
from build.files import ROOT
from build.machine import usable_cores
from build.manifest import content_hash, manifest, read_manifest, sha256_of
from build.options import from_options, option, parser_of
from build.preprocessing.choice import fits, pipeline_of
from build.preprocessing.face_warp import PIPELINE_FILE
from build.serving.host_settings import read_settings
from build.serving.plan_overrides import PlanOverrides
from build.serving.repository_content import content_of, read_detector
from build.serving.servable_network import ServableNetwork, built_network, exported_network
from build.serving_plan import ServingPlan, recorded_plan
from build.stages.common_options import VAR, output_option
from build.stages.repository_files import LINK, publish

PROGRAM = "build.stages.repository"
DECISIONS = ".precisions"  # below `output`/build: in which precision exported networks are served, and why


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the command assembles."""

    overrides: PlanOverrides = PlanOverrides()
    output: Path = output_option(help="where repositories are kept")
    quiet: bool = option(help="print nothing where the link leads to the right one already", default=False)


def assemble(
    plan: ServingPlan,
    *,
    output: Path = VAR,
    keeps_engine: bool = False,
    keeps_further_networks: bool = False,
) -> Path:
    """Builds the repository of a plan below `output`, and lets `output`/repository lead to it; its directory.

    `keeps_engine`: the plan's engine is served already, so it is not refused for what a later build of it
    failed at; `keeps_further_networks`: so are the further networks. Raises BuildError with one sentence;
    then nothing was changed.
    """
    first = _first_network(plan, keep=keeps_engine, output=output)
    further = {
        name: _further_network(path, plan, keep=keeps_further_networks, output=output)
        for name, path in plan.further_networks.items()
    }
    _check_devices(first, further)
    tasks_of_first, tasks_of_further = _tasks_by_network(plan)
    first, further = _with_pipelines(first, further, plan)
    network = first.network(tasks=tasks_of_first)
    others = {name: other.network(tasks=tasks_of_further[name], name=name) for name, other in further.items()}
    host = read_settings(plan.host_settings, device=first.engine.backend.device, cores=usable_cores())
    detector, detector_stage = read_detector(plan.detector)
    files = content_of(
        [(network, first), *((others[name], other) for name, other in further.items())],
        detector=detector,
        limits=plan.limits,
        host=host,
        notice=plan.notice,
    )
    stages: dict[str, Any] = dict(first.stages)
    if further:
        stages["also"] = {name: other.stages for name, other in further.items()}
    stages["detector"] = detector_stage
    stages["host"] = host.to_json()
    stages = json.loads(json.dumps(stages))  # as they are read again, and hashed to verify
    digests = sha256_of(files)
    about = manifest(
        files=digests,
        contract=network.contract,
        further_contracts={name: other.contract for name, other in others.items()},
        stages=stages,
        plan=plan.to_json(),
        source=ROOT,
    )
    return publish(f"{LINK}-{content_hash(digests, stages)}", files, about, output=output)


def _first_network(plan: ServingPlan, *, keep: bool, output: Path) -> ServableNetwork:
    if plan.engine is None:
        return _exported(plan.weights, plan, threads=plan.threads or 0, output=output)
    return _built(plan.engine, plan, keep=keep)


def _further_network(path: Path, plan: ServingPlan, *, keep: bool, output: Path) -> ServableNetwork:
    if path.suffix == ".onnx":
        return _exported(path, plan, output=output)
    return _built(path, plan, keep=keep)


def _exported(weights: Path, plan: ServingPlan, *, threads: int = 0, output: Path) -> ServableNetwork:
    decisions = output / "build" / DECISIONS
    return exported_network(weights, precision=plan.precision, threads=threads, decisions=decisions)


def _built(engine: Path, plan: ServingPlan, *, keep: bool) -> ServableNetwork:
    return built_network(engine, instances=plan.instances, gpus=plan.gpus or (), keep=keep)


def _with_pipelines(
    first: ServableNetwork, further: Mapping[str, ServableNetwork], plan: ServingPlan
) -> tuple[ServableNetwork, dict[str, ServableNetwork]]:
    """The networks, with the pipeline by which a GPU decodes and warps the faces of each that it fits."""
    pipeline = pipeline_of(
        first.graph.contract, first.engine, preprocessing=plan.preprocessing, file=plan.dali_pipeline
    )

    def equipped(network: ServableNetwork) -> ServableNetwork:
        if pipeline is None or not fits(network.graph.contract, network.engine):
            return network
        digest = sha256_of({PIPELINE_FILE: pipeline})[PIPELINE_FILE]
        stages = {**network.stages, "preprocessing": {"file": PIPELINE_FILE, "sha256": digest}}
        return dataclasses.replace(network, pipeline=pipeline, stages=stages)

    return equipped(first), {name: equipped(network) for name, network in further.items()}


def _tasks_by_network(plan: ServingPlan) -> tuple[list[str] | None, dict[str, list[str] | None]]:
    """The tasks of the first network, and of each further one; None: those served by default."""
    further: Collection[str] = plan.further_networks
    named = [name.rpartition(".")[::2] for name in plan.tasks or ()]
    if unknown := sorted({network for network, _ in named} - {"", *further}):
        advice = f"choose from {', '.join(further)}" if further else "name one with --also"
        raise BuildError(
            f"there is no further model {', '.join(unknown)} whose tasks could be chosen: {advice}"
        )

    def tasks_of(network: str) -> list[str] | None:
        return [task for other, task in named if other == network] or None

    first = [] if plan.tasks is not None and not plan.tasks else tasks_of("")
    return first, {name: tasks_of(name) for name in further}


def _check_devices(first: ServableNetwork, further: Mapping[str, ServableNetwork]) -> None:
    """A server starts all engines for its GPUs, or all for its CPU."""
    backend = first.engine.backend
    for name, other in further.items():
        if other.engine.backend.device != backend.device:
            raise BuildError(
                f"the engine of {name} is {other.engine.backend.name}'s and the first one's "
                f"{backend.name}'s: one server runs both on its GPUs or both on its CPU, so build "
                "both for the same"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of(Inputs, program=PROGRAM, description=__doc__)
    parser.description = (
        f"{parser.description} What no option names stays as it is in the repository that the link leads to; "
        "--weights, --engine, --target and --precision choose the engine anew."
    )
    options = parser.parse_args(arguments)

    def build() -> int:
        try:
            return _assemble(from_options(Inputs, options))
        except ValueError as error:
            raise BuildError(str(error)) from None

    return run_cli(PROGRAM, build)


def _assemble(inputs: Inputs) -> int:
    overrides = inputs.overrides
    before = (inputs.output / LINK).resolve()
    repository = assemble(
        overrides.over(recorded_plan(inputs.output / LINK), output=inputs.output),
        output=inputs.output,
        keeps_engine=not overrides.choose_engine,
        keeps_further_networks=overrides.further_networks is None,
    )
    if not inputs.quiet or repository.resolve() != before:
        print(repository)
        for line in precision_lines(read_manifest(repository)):
            print(line, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

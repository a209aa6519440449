"""From a checkpoint to a served engine: `make engine`, or `python -m build CHECKPOINT ...`.

    python -m build                                        # the shipped weights, for this machine
    python -m build --target tensorrt --precision fp16     # on the GPU server that will serve it
    python -m build --target openvino --precision int8 --calibration PHOTOS
    python -m build --all weights/qface-tiny.safetensors qface_base

Stages whose inputs have not changed are not repeated; an interrupted build continues where it was.
What is served changes only when every step has succeeded. Instead of a checkpoint, the name of a
configuration (qface_base) builds that network with random weights: for structure and speed, never served.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from build.backends import backend, backend_of, backends, default_backend, default_precisions
from build.backends.base import Backend
from build.cli import run_cli
from build.errors import BuildError
from build.files import ROOT
from build.machine import has_gpu
from build.onnx_interface import read_graph, select_tasks
from build.options import argument, from_options, option, parser_of
from build.pipeline import EngineBuild, build_engine
from build.precisions import FORMATS, Precision, format_of
from build.report import refused_row, row_of, to_text
from build.serving.plan_overrides import DEFAULT_TASKS
from build.serving_plan import ServingPlan, recorded_plan, shipped_checkpoint
from build.stages.artifacts import NETWORK, EngineReport
from build.stages.common_options import (
    calibration_option,
    detector_option,
    names,
    output_option,
    photo_option,
)
from build.stages.compile import BuildSettings
from build.stages.random_weights import UntrainedStage
from build.stages.repository import assemble
from build.stages.repository_files import LINK
from build.stages.stage import Done, only_one, perform

CHECKPOINT = ROOT / "weights" / "qface-tiny.safetensors"
# Random weights show nothing of what fp16's range or a quantiser would do to trained ones.
_UNTRAINED = tuple(name for name, form in FORMATS.items() if form.fp32_range)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is to be built and served."""

    checkpoints: tuple[str, ...] = argument(
        help="a .safetensors checkpoint (default: the shipped weights), or a configuration's name for random "
        "weights; several only with --all",
        default=(),
    )
    target: str | None = option(
        help=f"default: {default_backend('gpu').name} with a GPU, else {default_backend('cpu').name}",
        choices=backends,
        default=None,
    )
    precision: Precision | None = option(help=f"default: {default_precisions()}", default=None)
    all: bool = option(help="every engine that can be built here; serve none", default=False)
    calibration: Path | None = calibration_option()
    photo: Path = photo_option()
    detector: Path | None = detector_option()
    tasks: tuple[str, ...] | None = option(
        help="what to serve, separated by commas", parse=names, default=None
    )
    output: Path = output_option(help="where everything built is kept")
    settings: BuildSettings = BuildSettings()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A network to build: a checkpoint, and the name that its results lie under."""

    name: str
    checkpoint: Path
    trained: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of(Inputs, program="build", description=__doc__, without=("checkpoint",))
    options = parser.parse_args(arguments)
    return run_cli("build", lambda: _build(from_options(Inputs, options)))


def _build(inputs: Inputs) -> int:
    target, precision = _target(inputs)
    _log(_first_line(inputs, target))
    if len(inputs.checkpoints) > 1 and not inputs.all:
        raise BuildError("several networks are built with --all only: name one, or add --all")
    with only_one(inputs.output / "build", log=_log):
        networks = [_network(text, inputs) for text in inputs.checkpoints or [_served(inputs.output)]]
        builds = [
            (network, *pair)
            for network in networks
            for pair in (_all(network, inputs) if inputs.all else [(target, precision)])
        ]
        return _build_all(builds, inputs)


def _served(output: Path) -> Path:
    """The checkpoint in weights/ of what is served; the default one where nothing of weights/ is."""
    try:
        return shipped_checkpoint(output / LINK) or CHECKPOINT
    except BuildError:  # nothing is served yet
        return CHECKPOINT


def _build_all(builds: Sequence[tuple[Network, str, Precision]], inputs: Inputs) -> int:
    rows, faults, changed = [], [], False
    for network, target, precision in builds:
        try:
            if not network.trained and precision not in _UNTRAINED:
                raise BuildError(
                    f"{network.name} has no trained weights, so {precision} can't be compared: choose from "
                    f"{', '.join(_UNTRAINED)}"
                )
            build = EngineBuild(
                checkpoint=network.checkpoint,
                name=network.name,
                target=target,
                precision=precision,
                settings=dataclasses.replace(inputs.settings, checkpoint=network.checkpoint),
                photo=inputs.photo,
                calibration=inputs.calibration,
                detector=inputs.detector,
                output=inputs.output,
            )
            done = build_engine(build, log=_log)
        except BuildError as error:
            if len(builds) == 1:
                raise
            faults.append(str(error))
            rows.append(refused_row(network.name, target, precision, str(error)))
            continue
        changed |= done.ran
        graph = read_graph(build.export().directory / NETWORK)
        rows.append(row_of(network.name, done.report, contract=graph.contract))
        if not inputs.all:
            changed |= _serve(network, done, inputs)
    print(to_text(rows))
    if not changed and not faults:
        _log("nothing was to be done: everything is up to date")
    for fault in faults:
        print(f"build: {fault}", file=sys.stderr)
    return 2 if faults else 0


def _serve(network: Network, done: Done[EngineReport], inputs: Inputs) -> bool:
    """The last step: puts the engine into the repository; whether that changed anything."""
    target, needs = backend(done.report["target"]), done.report["needs"]
    if not network.trained:
        _log("repository: left as it is, because untrained weights are not served")
        return False
    if not target.servable:
        _log(f"repository: left as it is, because Triton has no backend for {target.title}")
        return False
    if needs:
        _log(f"repository: left as it is, because nobody has run this engine yet: it needs {needs}")
        return False
    before = (inputs.output / LINK).resolve()
    served = recorded_plan(inputs.output / LINK)
    plan = ServingPlan(
        engine=done.directory,
        tasks=None if inputs.tasks == (DEFAULT_TASKS,) else inputs.tasks,
        further_networks=served.further_networks,
        detector=inputs.detector,
        max_faces=served.max_faces,
        min_face=served.min_face,
        notice=served.notice,
        preprocessing=served.preprocessing,
        dali_pipeline=served.dali_pipeline,
    )
    repository = assemble(plan, output=inputs.output, keeps_further_networks=True)
    changed = bool(repository.resolve() != before)
    _log(f"repository: {'now' if changed else 'up to date,'} {repository}")
    return changed


def _target(inputs: Inputs) -> tuple[str, Precision]:
    if inputs.all:
        return "", "fp32"
    target = inputs.target or _default().name
    precision: Precision = inputs.precision or backend(target).default_precision
    backend_of(target, precision)
    return target, precision


def _all(network: Network, inputs: Inputs) -> list[tuple[str, Precision]]:
    """Every target and precision that can be built on this machine from these weights."""
    found: list[tuple[str, Precision]] = []
    for target in backends().values():
        if target.needs_gpu and not has_gpu():
            continue
        for precision in target.precisions:
            if format_of(precision).quantised and inputs.calibration is None:
                continue
            if network.trained or precision in _UNTRAINED:
                found.append((target.name, precision))
    return found


def _default() -> Backend:
    """The backend for this machine."""
    return default_backend("gpu" if has_gpu() else "cpu")


def _first_line(inputs: Inputs, target: str) -> str:
    gpu = "" if has_gpu() else "no GPU here: "
    if inputs.all:
        quantised = [name for name, form in FORMATS.items() if form.quantised]
        left_out = (
            ""
            if inputs.calibration
            else f"; {' and '.join(quantised)} are left out, they want --calibration PHOTOS"
        )
        return f"{gpu}building every engine that this machine can build{left_out}"
    return f"{gpu}building the engine for {backend(target).title}"


def _network(text: str | Path, inputs: Inputs) -> Network:
    """A checkpoint's path, or the name of a configuration, which gets random weights once."""
    path = Path(text)
    if path.suffix or path.exists():
        return Network(name=path.stem, checkpoint=path, trained=_is_trained(path, tasks=inputs.tasks))
    from training.models import CONFIGS

    if str(text) not in CONFIGS:
        raise BuildError(
            f"{text} is neither a checkpoint's file nor a configuration: name a .safetensors file, or one of "
            f"{', '.join(CONFIGS)}"
        )
    directory = inputs.output / "build" / f"{text}-untrained" / "checkpoint"
    done = perform(UntrainedStage(configuration=str(text), directory=directory), log=_log)
    checkpoint = done.directory / done.report["checkpoint"]
    return Network(name=checkpoint.stem, checkpoint=checkpoint, trained=False)


def _is_trained(path: Path, *, tasks: Sequence[str] | None) -> bool:
    """Whether a checkpoint's card says that it is trained; BuildError where it does not answer the tasks."""
    from training.models import load_checkpoint

    try:
        loaded = load_checkpoint(path)
    except ValueError as error:
        raise BuildError(str(error)) from None
    select_tasks(loaded.contract, None if tasks == (DEFAULT_TASKS,) else tasks)
    return bool(loaded.card.get("trained", True))


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

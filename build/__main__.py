"""From a checkpoint to a served engine: `make engine`, or `python -m build CHECKPOINT ...`.

    python -m build                                        # the shipped weights, for this machine
    python -m build --target tensorrt --precision fp16     # on the GPU server that will serve it
    python -m build --target openvino --precision int8 --calibration PHOTOS
    python -m build --all weights/qface-tiny.safetensors qface_base

Steps whose inputs have not changed are not repeated; a build that was interrupted goes on where it was.
What is served changes only when every step has succeeded. Instead of a checkpoint, the name of a
configuration (qface_base) builds that network with random weights: for structure and speed, never served.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from build.backends import backend, backend_of, backends, default_backend
from build.backends.base import Backend
from build.cli import told
from build.errors import BuildError
from build.files import ROOT
from build.machine import has_gpu
from build.onnx_interface import read_graph, restrict
from build.pipeline import NETWORK, PHOTO, build_engine, untrained_step
from build.precisions import FORMATS, PRECISIONS, Precision, format_of
from build.report import refused_row, row_of, to_text
from build.serving_plan import shipped_checkpoint
from build.stages.compile import add_build_options, build_settings
from build.stages.repository import also_served, assemble_built
from build.stages.stage import Done, only_one, perform

CHECKPOINT = ROOT / "weights" / "qface-tiny.safetensors"
# Random weights say nothing about what fp16's range or a quantiser would do to trained ones.
_UNTRAINED = tuple(name for name, form in FORMATS.items() if form.fp32_range)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """What is to be built: a checkpoint, and the name that its results lie under."""

    name: str
    checkpoint: Path
    trained: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    options = _parser().parse_args(arguments)
    return told("build", lambda: _build(options))


def _build(options: argparse.Namespace) -> int:
    target, precision = _chosen(options)
    _say(_first_line(options, target))
    if len(options.checkpoints) > 1 and not options.all:
        raise BuildError("several networks are built with --all only: name one, or add --all")
    with only_one(options.output / "build", say=_say):
        networks = [_network(text, options) for text in options.checkpoints or [_served(options.output)]]
        wanted = [
            (network, *pair)
            for network in networks
            for pair in (_all(network, options) if options.all else [(target, precision)])
        ]
        return _build_all(wanted, options)


def _served(output: Path) -> Path:
    """The checkpoint in weights/ of what is served; the default one where nothing of weights/ is."""
    try:
        return shipped_checkpoint(output / "repository") or CHECKPOINT
    except BuildError:  # nothing is served yet
        return CHECKPOINT


def _build_all(wanted: Sequence[tuple[Network, str, Precision]], options: argparse.Namespace) -> int:
    rows, faults, anything = [], [], False
    for network, target, precision in wanted:
        try:
            if not network.trained and precision not in _UNTRAINED:
                raise BuildError(
                    f"{network.name} has no trained weights, so {precision} can't be judged: choose from "
                    f"{', '.join(_UNTRAINED)}"
                )
            done, ran = build_engine(
                network.checkpoint,
                name=network.name,
                target=target,
                precision=precision,
                settings=build_settings(options, checkpoint=network.checkpoint),
                photo=options.photo,
                calibration=options.calibration,
                detector=options.detector,
                output=options.output,
                say=_say,
            )
        except BuildError as error:
            if len(wanted) == 1:
                raise
            faults.append(str(error))
            rows.append(refused_row(network.name, target, precision, str(error)))
            continue
        anything |= ran
        graph = read_graph(options.output / "build" / network.name / "onnx" / NETWORK)
        rows.append(row_of(network.name, done.report, contract=graph.contract))
        if not options.all:
            anything |= _serve(network, done, options)
    print(to_text(rows))
    if not anything and not faults:
        _say("nothing was to be done: everything is up to date")
    for fault in faults:
        print(f"build: {fault}", file=sys.stderr)
    return 2 if faults else 0


def _serve(network: Network, done: Done, options: argparse.Namespace) -> bool:
    """The last step: puts the engine into the repository; whether that changed anything."""
    target, needs = backend(done.report["target"]), done.report["needs"]
    if not network.trained:
        _say("repository: left as it is, because untrained weights are not served")
        return False
    if not target.servable:
        _say(f"repository: left as it is, because Triton has no backend for {target.title}")
        return False
    if needs:
        _say(f"repository: left as it is, because nobody has run this engine yet: it needs {needs}")
        return False
    before = (options.output / "repository").resolve()
    repository = assemble_built(
        done.directory,
        tasks=options.tasks,
        also=also_served(options.output),
        detector=options.detector,
        output=options.output,
        also_again=True,
    )
    changed = bool(repository.resolve() != before)
    _say(f"repository: {'now' if changed else 'up to date,'} {repository}")
    return changed


def _chosen(options: argparse.Namespace) -> tuple[str, Precision]:
    if options.all:
        return "", "fp32"
    target = options.target or _default().name
    precision: Precision = options.precision or backend(target).default_precision
    backend_of(target, precision)
    return target, precision


def _all(network: Network, options: argparse.Namespace) -> list[tuple[str, Precision]]:
    """Every target and precision that can be built on this machine from these weights."""
    found: list[tuple[str, Precision]] = []
    for target in backends().values():
        if target.needs_gpu and not has_gpu():
            continue
        for precision in target.precisions:
            if format_of(precision).quantised and options.calibration is None:
                continue
            if network.trained or precision in _UNTRAINED:
                found.append((target.name, precision))
    return found


def _default() -> Backend:
    """The backend for this machine."""
    return default_backend("gpu" if has_gpu() else "cpu")


def _first_line(options: argparse.Namespace, target: str) -> str:
    gpu = "" if has_gpu() else "no GPU here: "
    if options.all:
        quantised = [name for name, form in FORMATS.items() if form.quantised]
        left_out = (
            ""
            if options.calibration
            else f"; {' and '.join(quantised)} are left out, they want --calibration PHOTOS"
        )
        return f"{gpu}building every engine that this machine can build{left_out}"
    return f"{gpu}building the engine for {backend(target).title}"


def _network(text: str | Path, options: argparse.Namespace) -> Network:
    """A checkpoint's path, or the name of a configuration, which gets random weights once."""
    path = Path(text)
    if path.suffix or path.exists():
        return Network(name=path.stem, checkpoint=path, trained=_is_trained(path, tasks=options.tasks))
    from training.models import CONFIGS

    if str(text) not in CONFIGS:
        raise BuildError(
            f"{text} is neither a checkpoint's file nor a configuration: name a .safetensors file, or one of "
            f"{', '.join(CONFIGS)}"
        )
    step = untrained_step(str(text), directory=options.output / "build" / f"{text}-untrained" / "checkpoint")
    done = perform(step, say=_say)
    checkpoint = done.directory / done.report["checkpoint"]
    return Network(name=checkpoint.stem, checkpoint=checkpoint, trained=False)


def _is_trained(path: Path, *, tasks: Sequence[str] | None) -> bool:
    """Whether a checkpoint says that it learned something; BuildError where it does not answer the tasks."""
    from training.models import load_checkpoint

    try:
        loaded = load_checkpoint(path)
    except ValueError as error:
        raise BuildError(str(error)) from None
    restrict(loaded.contract, None if tasks == ["default"] else tasks)
    return bool(loaded.card.get("trained", True))


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m build", description=__doc__.splitlines()[0])
    parser.add_argument(
        "checkpoints",
        nargs="*",
        help="a .safetensors checkpoint (default: the shipped weights), or a configuration's name for "
        "random weights; several only with --all",
    )
    parser.add_argument(
        "--target",
        choices=list(backends()),
        help=f"default: {default_backend('gpu').name} with a GPU, else {default_backend('cpu').name}",
    )
    parser.add_argument("--precision", choices=PRECISIONS, help="default: fp32 on a CPU, fp16 for TensorRT")
    parser.add_argument("--all", action="store_true", help="every engine that can be built here; serve none")
    parser.add_argument("--calibration", type=Path, help="a directory of photos of faces, for int8 and fp8")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="whose faces the answers are compared on")
    parser.add_argument("--detector", type=Path, help="the face detector's .tflite")
    parser.add_argument("--tasks", type=_names, help="what to serve, separated by commas")
    parser.add_argument("--output", type=Path, default=ROOT / "var", help="where everything built is kept")
    add_build_options(parser)
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())

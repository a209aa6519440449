"""What `build.stages.repository` is to serve: the words of its command line, laid over those that were recorded.

Options that are not given are those of the repository that is served. --weights, --engine, --target and
--precision choose the engine together, so one of them lets go of all that was recorded about it but for the
network, which --weights and --engine alone change.
"""

import argparse
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from build.backends import backend, default_backend, servable_backends
from build.config import WEIGHTS
from build.errors import BuildError
from build.files import ROOT, shown
from build.manifest import read_manifest
from build.onnx_interface import read_graph
from build.precisions import PRECISIONS
from build.stages.stage import recorded

_CHOOSING = ("weights", "engine", "target", "precision")
_OF_THE_ENGINE = (*_CHOOSING, "threads", "gpus", "instances")
_OTHERS = ("tasks", "detector", "also")
_PATHS = ("weights", "engine", "detector")
DEFAULT_TASKS = "default"
ALONE = "none"


def chosen(options: argparse.Namespace, words: Sequence[str]) -> argparse.Namespace:
    """The options, with those of the recorded `words` that they leave standing.

    Further: `repeated`, whether the engine is the recorded one; `beside`, a recorded engine that was let
    go of; `also`, the further networks by their names, and `also_repeated`, whether they are the recorded
    ones. Raises BuildError for options that contradict each other.
    """
    for name in ("weights", "target", "precision", "threads"):
        if options.engine is not None and getattr(options, name) is not None:
            raise BuildError(
                f"--engine names a finished engine, and --{name} would choose another: leave out one of them"
            )
    before = parser().parse_args([*words])
    for name in _PATHS:
        if (path := getattr(before, name)) is not None:
            setattr(before, name, ROOT / path)
    before.also = {name: ROOT / path for name, path in _by_name(before.also or ()).items()}
    merged = argparse.Namespace(**vars(options))
    merged.also_repeated = options.also is None
    merged.also = None if options.also is None else _by_name(options.also)
    merged.repeated = all(getattr(options, name) is None for name in _CHOOSING)
    merged.beside = before.engine if options.weights is None else None
    if options.weights is None and options.engine is None and not merged.repeated:
        # What runs it is chosen anew; the network stays.
        merged.weights = before.weights or _shipped(before.engine)
    for name in _OF_THE_ENGINE + _OTHERS if merged.repeated else _OTHERS:
        if getattr(merged, name) is None:
            setattr(merged, name, getattr(before, name))
    if options.tasks is None and merged.tasks is not None:
        merged.tasks = _still_there(merged.tasks, merged.also)
    return merged


def shipped_checkpoint(repository: Path) -> Path | None:
    """The checkpoint in weights/ that a repository's first network came from; None where it is none of them.

    BuildError where that is no repository.
    """
    stages = read_manifest(repository).get("stages") or {}
    wanted = (stages.get("checkpoint") or {}).get("sha256")
    there = sorted(WEIGHTS.parent.glob("*.safetensors"))
    return next((path for path in there if hashlib.sha256(path.read_bytes()).hexdigest() == wanted), None)


def _shipped(engine: Path | None) -> Path | None:
    """The network in weights/ that `make engine` built an engine from; None where it is none of them."""
    place = _network_of(engine)
    weights = None if place is None else WEIGHTS.with_name(f"{place.name}.onnx")
    return weights if weights is not None and weights.is_file() else None


def _still_there(tasks: str, also: Mapping[str, Path]) -> str | None:
    """The recorded tasks without those of networks that are served no more."""
    kept = [name for name in tasks.split(",") if "." not in name or name.rpartition(".")[0] in also]
    return ",".join(kept) or None


def _by_name(also: Sequence[tuple[str, Path] | None]) -> dict[str, Path]:
    """The further networks that --also names; BuildError where two have one name."""
    networks: dict[str, Path] = {}
    for name, path in filter(None, also):
        if name in networks:
            raise BuildError(f"--also names two networks {name}: give each a name of its own")
        networks[name] = path
    return networks


def chosen_engine(options: argparse.Namespace) -> Path | None:
    """The directory of the built engine that is to be served; None: the exported network as it is.

    BuildError where `make engine` has not built it.
    """
    engine: Path | None = options.engine
    if engine is None:
        engine = _built(options)
    if engine is not None and options.threads is not None:
        raise BuildError(
            "--threads is for OpenVINO in fp32 without `make engine`: a built engine has the cores that it "
            'was measured with, so build it again with `make engine ARGS="--threads N"`'
        )
    return engine


def _built(options: argparse.Namespace) -> Path | None:
    weights: Path = options.weights or WEIGHTS
    exported = default_backend("cpu")
    target = options.target or exported.name
    precision = options.precision or backend(target).default_precision
    names, own = [weights.stem], f"{target}-{precision}"
    place = _network_of(options.beside)
    if place is not None and place.name != weights.stem:
        names.insert(0, place.name)
        if recorded(place / own / "engine") is not None:
            return place / own / "engine"
    if (target, precision) == (exported.name, exported.default_precision):
        return None
    engine: Path = options.output / "build" / weights.stem / own / "engine"
    checkpoint = weights.with_suffix(".safetensors")
    of = f"CHECKPOINT={shown(checkpoint)} " if checkpoint.is_file() else ""
    build = f"run `make engine {of}TARGET={target} PRECISION={precision}` first"
    record = recorded(engine)
    if record is None:
        raise BuildError(f"there is no {target} engine of {' or '.join(names)} in {precision} yet: {build}")
    graph = read_graph(weights)
    if record["report"]["onnx"]["checkpoint_sha256"] != graph.metadata.get("checkpoint_sha256"):
        raise BuildError(f"the engine in {engine} was built from another checkpoint than {weights}: {build}")
    return engine


def _network_of(engine: Path | None) -> Path | None:
    """The directory build/NAME of an engine that lies where `make engine` puts it."""
    if engine is None or len(engine.parts) < 4 or engine.parents[2].name != "build":
        return None
    return engine.parents[1]


def parser() -> argparse.ArgumentParser:
    """The command line of `build.stages.repository`."""
    made = argparse.ArgumentParser(
        prog="python -m build.stages.repository",
        description="Assembles the model repository that Triton serves, and points var/repository to it. "
        "What no option says stays as it is in the repository that the link leads to; --weights, --engine, "
        "--target and --precision choose the engine anew.",
    )
    made.add_argument(
        "--weights", type=Path, help="an ONNX file that build.stages.export exported (the shipped one)"
    )
    made.add_argument(
        "--engine", type=Path, help="a directory that build.stages.compile left, instead of --weights"
    )
    made.add_argument("--target", choices=list(servable_backends()), help=default_backend("cpu").name)
    made.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="fp32, or fp16 for tensorrt; OpenVINO in fp32 runs the weights as they are, anything else "
        "`make engine` builds first",
    )
    made.add_argument("--threads", type=int, help="cores for OpenVINO in fp32 (0, which is all)")
    made.add_argument(
        "--tasks",
        default=os.environ.get("SERVED_TASKS") or None,
        help=f"what to serve, separated by commas (or SERVED_TASKS); `{DEFAULT_TASKS}`: those that are "
        "served by default; NAME.TASK is a task of the further network NAME",
    )
    made.add_argument(
        "--also",
        type=_named,
        action="append",
        metavar="NAME=PATH",
        help="a further network, asked by its name: a directory that build.stages.compile left, or an exported ONNX "
        f"file; may be given several times; `{ALONE}`: no further one",
    )
    made.add_argument("--instances", type=int, help="how often a GPU's engine is loaded on each GPU (1)")
    made.add_argument("--gpus", type=_numbers, help="the GPUs to use, separated by commas (every one)")
    made.add_argument("--detector", type=Path, help="the face detector's .tflite (the installed package's)")
    made.add_argument("--output", type=Path, default=ROOT / "var", help="where repositories are kept")
    made.add_argument(
        "--quiet", action="store_true", help="say nothing where the link leads to the right one already"
    )
    return made


def _named(text: str) -> tuple[str, Path] | None:
    if text == ALONE:
        return None
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"a name and a path with = between them, not {text!r}")
    return name, Path(path)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))

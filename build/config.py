"""Keeps the generated files of model_repository/ current with the contract of the shipped weights.

    python -m build.config --check    # status 1 and a list of what is stale
    python -m build.config --write    # makes it so

Generated are every config.pbtxt, the version directories of the ensembles, and the model.py of each
task's postprocess step, which is the one of `face_postprocess`. The other model.py files are sources.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from build.backends import default_backend
from build.errors import BuildError
from build.files import ROOT, replace_file
from build.onnx_interface import Graph, read_graph
from build.serving.engine_settings import EngineSettings
from build.serving.host_settings import REFERENCE_HOST, HostSettings
from build.serving.pbtxt import HEADER, parse
from build.serving.served_models import config_files, python_models
from build.serving.served_network import Network, network_of
from runtime.detect.search import USUAL_LIMITS, SearchLimits

MODEL_REPOSITORY = ROOT / "model_repository"
WEIGHTS = ROOT / "weights" / "qface-tiny.onnx"


def generated(
    graph: Graph,
    *,
    tasks: Sequence[str] | None = None,
    engine: EngineSettings | None = None,
    sources: Path = MODEL_REPOSITORY,
) -> dict[str, bytes]:
    """The generated files of a repository that serves these tasks (None: those served by default)."""
    settings = engine or default_backend("cpu").settings()
    return generated_for([network_of(graph, tasks=tasks, engine=settings)], sources=sources)


def generated_for(
    networks: Sequence[Network],
    *,
    limits: SearchLimits = USUAL_LIMITS,
    notice: str | None = None,
    host: HostSettings = REFERENCE_HOST,
    sources: Path = MODEL_REPOSITORY,
) -> dict[str, bytes]:
    """The generated files of a repository of these networks.

    Its requests have these limits; `notice` is the text beside the contract (None: the default one);
    `host` has the instances, threads and queues.
    """
    texts = config_files(networks, limits=limits, notice=notice, host=host)
    files = {path: text.encode() for path, text in texts.items()}
    programs = python_models(networks)
    for model, source in programs.items():
        if model != source:
            files[f"{model}/1/model.py"] = (sources / source / "1" / "model.py").read_bytes()
    # Triton wants a version directory of an ensemble too, and git keeps no empty ones.
    ensembles = {path.split("/")[0] for path, text in texts.items() if parse(text).platform == "ensemble"}
    files |= {f"{model}/1/.gitkeep": b"" for model in sorted(ensembles)}
    return files


def stale(graph: Graph, *, sources: Path = MODEL_REPOSITORY) -> list[str]:
    """What `--write` would change below `sources`: one line a file."""
    expected = generated(graph, sources=sources)
    lines = []
    for name, content in sorted(expected.items()):
        path = sources / name
        if not path.is_file():
            lines.append(f"{name} is missing")
        elif path.read_bytes() != content:
            lines.append(f"{name} is stale")
    for path in _unserved(expected, sources):
        if _was_generated(path):
            lines.append(f"{path.name} is no longer served")
        else:
            lines.append(f"{path.name} is neither served nor generated: remove it by hand")
    return lines


def write(graph: Graph, *, sources: Path = MODEL_REPOSITORY) -> None:
    """Makes the generated files below `sources` current, and removes models that are no longer served.

    Only what was generated is removed: any other directory stays.
    """
    expected = generated(graph, sources=sources)
    for name, content in expected.items():
        path = sources / name
        if path.is_file() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    for path in _unserved(expected, sources):
        if _was_generated(path):
            shutil.rmtree(path)


def _unserved(expected: dict[str, bytes], sources: Path) -> list[Path]:
    served = {name.split("/")[0] for name in expected}
    return sorted(path for path in sources.iterdir() if path.is_dir() and path.name not in served)


def _was_generated(model: Path) -> bool:
    try:
        return (model / "config.pbtxt").read_bytes().startswith(HEADER.encode())
    except OSError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m build.config", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="the ONNX file whose contract is served"
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="list what is stale; status 1 if anything is")
    action.add_argument("--write", action="store_true", help="make model_repository/ current")
    options = parser.parse_args(arguments)
    try:
        graph = read_graph(options.weights)
        if options.write:
            write(graph)
            return 0
        lines = stale(graph)
    except BuildError as error:
        print(f"build.config: {error}", file=sys.stderr)
        return 2
    for line in lines:
        print(f"model_repository: {line}", file=sys.stderr)
    if lines:
        print("run `python -m build.config --write` and commit the result", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

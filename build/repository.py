"""Assembles the model repository that Triton serves, and points var/repository to it.

    python -m build.repository                        # all tasks of the committed weights, on the CPU
    python -m build.repository --tasks age,head_pose  # or SERVED_TASKS=age,head_pose

The repository's name carries a hash of everything in it, so building it again changes nothing. It is
put together aside and moved into place whole; then the link turns. A build that fails leaves no trace.
The last two are kept, so that a server can go on with the one that it began with, or back to it.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from build.config import MODEL_REPOSITORY, ROOT, WEIGHTS, generated
from build.detector import find_detector, package_version
from build.errors import BuildError
from build.graph import Graph, read_graph, restrict
from build.manifest import (
    MANIFEST,
    content_hash,
    engine_report,
    engine_report_path,
    intact,
    manifest,
    onnx_stages,
    renew,
    sha256_of,
    to_json,
)
from build.options import add_options, chosen_engine
from build.served import DETECTOR_FILE, ENGINE_FILE, CpuEngine, python_models
from runtime.detector_file import PACKAGE

LINK = "repository"
KEPT = 2
_UNFINISHED = ".repository-"


def assemble(
    *,
    weights: Path = WEIGHTS,
    tasks: Sequence[str] | None = None,
    engine: CpuEngine = CpuEngine(),
    detector: Path | None = None,
    output: Path = ROOT / "var",
) -> Path:
    """Builds the repository for these weights and tasks (None: those served by default).

    Returns its directory below `output`, to which the link `output`/repository then points. Raises
    BuildError with one sentence; then nothing was changed.
    """
    graph = read_graph(weights)
    contract = restrict(graph.contract, tasks)
    files = _models(graph, tasks=tasks, engine=engine) | _library()
    detector_stage, files[f"models/face_detector/1/{DETECTOR_FILE}"] = _detector(detector)
    stages = onnx_stages(graph) | {"engine": _engine_stage(graph, engine, output), "detector": detector_stage}
    name = f"{LINK}-{content_hash(files, stages)}"
    try:
        with _lock(output):
            repository = output / name
            about = manifest(files=files, contract=contract, stages=stages, source=ROOT)
            if intact(repository):
                renew(repository, about)
            else:
                _put_in_place(files | {MANIFEST: to_json(about)}, repository)
            os.utime(repository)
            _point(output / LINK, repository)
            _forget_old(output)
    except OSError as error:
        raise BuildError(
            f"the repository can't be written below {output} ({error.strerror}: {error.filename}): "
            "make that directory writable, or name another with --output"
        ) from None
    return repository


def _models(graph: Graph, *, tasks: Sequence[str] | None, engine: CpuEngine) -> dict[str, bytes]:
    contract = restrict(graph.contract, tasks)
    files = {
        f"{model}/1/model.py": (MODEL_REPOSITORY / source / "1" / "model.py").read_bytes()
        for model, source in python_models(contract).items()
    }
    files |= generated(graph, tasks=tasks, engine=engine)
    files[f"face_engine/1/{ENGINE_FILE}"] = graph.path.read_bytes()
    return {f"models/{name}": content for name, content in files.items()}


def _library() -> dict[str, bytes]:
    """The code that the model.py files import, so that a repository stands on its own."""
    sources = sorted((ROOT / "runtime").rglob("*.py"))
    return {f"lib/{path.relative_to(ROOT)}": path.read_bytes() for path in sources}


def _detector(path: Path | None) -> tuple[dict[str, Any], bytes]:
    stage: dict[str, Any] = {}
    if path is None:
        path = find_detector()
        stage = {"package": PACKAGE, "version": package_version()}
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BuildError(
            f"the face detector's weights at {path} can't be read ({error.strerror}): "
            "name the .tflite file with --detector"
        ) from None
    return stage | {"file": path.name, "sha256": sha256_of({"": data})[""]}, data


def _engine_stage(graph: Graph, engine: CpuEngine, output: Path) -> dict[str, Any]:
    """The engine's settings, and what `build.engine` measured of it; below fp32 it must have."""
    stage: dict[str, Any] = {"target": "cpu", "backend": "openvino"} | engine.parameters()
    report = engine_report(engine_report_path(output, precision=engine.precision), sha256=graph.sha256)
    if report is None and engine.precision != "fp32":
        raise BuildError(
            f"nobody measured what these weights answer in {engine.precision} with the installed OpenVINO: "
            f"run `make engine PRECISION={engine.precision}` (`python -m build.engine --precision "
            f"{engine.precision}`) first, or choose --precision fp32"
        )
    if report is not None:
        stage |= {key: report[key] for key in ("versions", "tolerances", "parity")}
    return stage


@contextlib.contextmanager
def _lock(output: Path) -> Iterator[None]:
    """One build at a time below `output`."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".repository.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for left_over in output.glob(f"{_UNFINISHED}*.tmp"):
            shutil.rmtree(left_over)
        yield


def _put_in_place(files: dict[str, bytes], repository: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, suffix=".tmp", dir=repository.parent))
    try:
        unfinished.chmod(0o755)
        for name, content in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if repository.exists():  # damaged, or it would have been kept; a server may use it right now
            aside = Path(tempfile.mkdtemp(prefix=_UNFINISHED, suffix=".tmp", dir=repository.parent))
            repository.rename(aside / repository.name)
            try:
                unfinished.rename(repository)
            except BaseException:
                (aside / repository.name).rename(repository)
                raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        else:
            unfinished.rename(repository)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _point(link: Path, repository: Path) -> None:
    """Turns the link in one step: a reader sees the old repository or the new one, never none."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(repository.name)
    new.replace(link)


def _forget_old(output: Path) -> None:
    """Removes all but the newest repositories, and never the one that the link leads to."""
    linked = (output / LINK).resolve()
    others = [path for path in output.glob(f"{LINK}-*") if path.is_dir() and path.resolve() != linked]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in others[KEPT - 1 :]:
        shutil.rmtree(path)


def _tasks(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m build.repository", description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument(
        "--tasks",
        default=os.environ.get("SERVED_TASKS"),
        help="what to serve, separated by commas (default: SERVED_TASKS, or those served by default)",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="say nothing where the link leads to the right one already"
    )
    options = parser.parse_args(arguments)
    try:
        before = (options.output / LINK).resolve()
        repository = assemble(
            weights=options.weights,
            tasks=_tasks(options.tasks),
            engine=chosen_engine(options),
            detector=options.detector,
            output=options.output,
        )
    except (BuildError, ValueError) as error:
        print(f"build.repository: {error}", file=sys.stderr)
        return 2
    if not options.quiet or repository.resolve() != before:
        print(repository)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Assembles the model repository that Triton serves, and points var/repository to it.

    python -m build.repository                        # what is served now; at first the committed weights
    python -m build.repository --tasks age,head_pose  # or SERVED_TASKS=age,head_pose
    python -m build.repository --precision bf16       # the engine that `make engine PRECISION=bf16` built

The repository's name carries a hash of everything in it, so building it again changes nothing. It is
put together aside and moved into place whole; then the link turns. A build that fails leaves no trace.
The last two are kept, so that a server can go on with the one that it began with, or back to it.
"""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from build.choice import DEFAULT_TASKS, chosen, chosen_engine, parser
from build.config import MODEL_REPOSITORY, WEIGHTS, generated
from build.detector import find_detector, package_version
from build.engine import EXPORTED
from build.engines.tensorrt import check_plan
from build.errors import BuildError
from build.files import ROOT, shown, why_unwritten
from build.graph import Graph, read_graph, restrict
from build.manifest import (
    MANIFEST,
    Content,
    content_hash,
    intact,
    manifest,
    read_manifest,
    renew,
    report_path,
    sha256_of,
    to_json,
)
from build.served import DETECTOR_FILE, ENGINE_FILE, PLAN_FILE, EngineSettings, Profile, python_models
from build.steps import recorded
from build.targets import TARGETS
from build.verify import runtime_fault
from runtime.detector_file import PACKAGE

LINK = "repository"
KEPT = 2
_UNFINISHED = ".repository-"


def assemble(
    *,
    weights: Path = WEIGHTS,
    tasks: Sequence[str] | None = None,
    threads: int = 0,
    detector: Path | None = None,
    output: Path = ROOT / "var",
) -> Path:
    """Builds the repository that serves an exported network as it is: OpenVINO in fp32, on any CPU.

    `tasks` are those to serve (None: those served by default). Returns its directory below `output`, to
    which the link `output`/repository then points. Raises BuildError with one sentence; then nothing was
    changed.
    """
    graph = read_graph(weights)
    stages = _onnx_stages(graph)
    engine = EngineSettings(threads=threads)
    stages["engine"] = {"target": "openvino"} | engine.parameters()
    return _assemble(
        graph,
        {ENGINE_FILE: graph.path},
        engine=engine,
        stages=stages,
        words=_words(weights=None if weights == WEIGHTS else weights, threads=threads or None),
        tasks=tasks,
        detector=detector,
        output=output,
    )


def assemble_built(
    built: Path,
    *,
    instances: int = 1,
    gpus: Sequence[int] = (),
    tasks: Sequence[str] | None = None,
    detector: Path | None = None,
    output: Path = ROOT / "var",
    again: bool = False,
) -> Path:
    """Builds the repository that serves what `build.engine` left in a directory, as `assemble` does.

    On GPUs it is loaded `instances` times on each of `gpus` (empty: on every one). `again`: it is what is
    served already, so a later build of it that failed is no reason to stop.
    """
    about = built_engine(built, again=again)
    graph = read_graph(built / EXPORTED)
    files = {name: built / name for name in about["files"]}
    if about["target"] == "tensorrt":
        check_plan(built / PLAN_FILE, about, gpus=gpus)
        files[ENGINE_FILE] = built / EXPORTED  # the same repository runs on a CPU too
    stages = {
        "checkpoint": {"sha256": about["onnx"]["checkpoint_sha256"]},
        "onnx": {"sha256": about["onnx"]["onnx_sha256"], **about["exported"]},
        "engine": {key: value for key, value in about.items() if key not in ("onnx", "exported")},
    }
    return _assemble(
        graph,
        files,
        engine=_served_as(about, instances=instances, gpus=gpus),
        stages=stages,
        words=_words(
            engine=built,
            instances=instances if instances != 1 else None,
            gpus=",".join(map(str, gpus)) or None,
        ),
        tasks=tasks,
        detector=detector,
        output=output,
    )


def _served_as(about: Mapping[str, Any], *, instances: int, gpus: Sequence[int]) -> EngineSettings:
    """How the engine of this manifest is served."""
    settings = about["settings"]
    profile = settings.get("profile")
    return EngineSettings(
        target=about["target"],
        precision=about["precision"],
        threads=settings.get("threads", 0),
        streams=settings.get("streams", 1),
        profile=Profile(opt=profile["opt"], max=profile["max"]) if profile else Profile(),
        instances=instances,
        gpus=tuple(gpus),
    )


def built_engine(directory: Path, *, again: bool = False) -> dict[str, Any]:
    """The manifest beside a built engine that may be served; else BuildError says why not.

    `again`: the engine is served already, and so not refused for what a later build of it failed at.
    """
    if not again and (why := _last_failure(directory)):
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
            f"the engine in {directory} was never run, for it needs {about['needs']} to be judged and "
            "served: build it on a machine that has one"
        )
    if fault := runtime_fault(about):
        raise BuildError(f"the engine in {directory} can't be served here: {fault}; build it again")
    if not TARGETS[about["target"]].served:
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


def _assemble(
    graph: Graph,
    engine_files: Mapping[str, Path],
    *,
    engine: EngineSettings,
    stages: dict[str, Any],
    words: list[str],
    tasks: Sequence[str] | None,
    detector: Path | None,
    output: Path,
) -> Path:
    if tasks is not None and list(tasks) == [DEFAULT_TASKS]:
        tasks = None
    contract = restrict(graph.contract, tasks)
    words += _words(tasks=",".join(tasks) if tasks is not None else None, detector=detector)
    files = _models(graph, tasks=tasks, engine=engine) | _library()
    files |= {f"models/face_engine/1/{name}": path for name, path in engine_files.items()}
    stages["detector"], files[f"models/face_detector/1/{DETECTOR_FILE}"] = _detector(detector)
    files |= _no_byte_code(files)
    digests = sha256_of(files)
    stages = json.loads(json.dumps(stages))  # as they will be read again, and hashed by who verifies
    name = f"{LINK}-{content_hash(digests, stages)}"
    try:
        with _lock(output):
            repository = output / name
            about = manifest(files=digests, contract=contract, stages=stages, words=words, source=ROOT)
            if intact(repository):
                renew(repository, about)
            else:
                _put_in_place(files | {MANIFEST: to_json(about)}, repository)
            os.utime(repository)
            _point(output / LINK, repository)
            _forget_old(output)
    except OSError as error:
        raise BuildError(f"the repository can't be written below {output} {why_unwritten(error)}") from None
    return repository


def _models(graph: Graph, *, tasks: Sequence[str] | None, engine: EngineSettings) -> dict[str, Content]:
    contract = restrict(graph.contract, tasks)
    files: dict[str, Content] = {
        f"{model}/1/model.py": (MODEL_REPOSITORY / source / "1" / "model.py").read_bytes()
        for model, source in python_models(contract).items()
    }
    files |= generated(graph, tasks=tasks, engine=engine)
    return {f"models/{name}": content for name, content in files.items()}


def _words(**options: Any) -> list[str]:
    """Options that were given, as words of this program's command line."""
    words = []
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", shown(value) if isinstance(value, Path) else str(value)]
    return words


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
    """What `build.onnx` reports about the ONNX file of this sha256; None when there is none about it."""
    try:
        report: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return report if report.get("onnx_sha256") == sha256 else None


def _library() -> dict[str, Content]:
    """The code that the model.py files import, so that a repository stands on its own."""
    sources = sorted((ROOT / "runtime").rglob("*.py"))
    return {f"lib/{path.relative_to(ROOT)}": path.read_bytes() for path in sources}


def _no_byte_code(files: Mapping[str, Content]) -> dict[str, Content]:
    """A file where Python would make its directory of byte code, beside every program.

    The backend's Python does not look at PYTHONDONTWRITEBYTECODE. What it left here would be executed at
    the next start in place of the sources, and no manifest could name it.
    """
    folders = {str(Path(name).parent) for name in files if name.endswith(".py")}
    return {f"{folder}/__pycache__": b"" for folder in sorted(folders)}


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


@contextlib.contextmanager
def _lock(output: Path) -> Iterator[None]:
    """One build at a time below `output`."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".repository.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for left_over in output.glob(f"{_UNFINISHED}*.tmp"):
            shutil.rmtree(left_over)
        yield


def _put_in_place(files: Mapping[str, Content], repository: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, suffix=".tmp", dir=repository.parent))
    try:
        unfinished.chmod(0o755)
        for name, content in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    options = parser().parse_args(arguments)
    try:
        before = (options.output / LINK).resolve()
        repository = _assembled(chosen(options, _recorded_words(options.output)))
    except (BuildError, ValueError) as error:
        print(f"build.repository: {error}", file=sys.stderr)
        return 2
    if not options.quiet or repository.resolve() != before:
        print(repository)
    return 0


def _recorded_words(output: Path) -> list[str]:
    """The words that made what is served; none where nothing is."""
    try:
        return [str(word) for word in read_manifest(output / LINK)["words"]]
    except (BuildError, KeyError, TypeError):
        return []


def _assembled(options: argparse.Namespace) -> Path:
    tasks = None
    if options.tasks is not None:
        tasks = [name.strip() for name in options.tasks.split(",") if name.strip()]
    engine = chosen_engine(options)
    if engine is None:
        if options.gpus is not None or options.instances is not None:
            raise BuildError(
                "--gpus and --instances are for a GPU's engine: choose one with --target tensorrt"
            )
        return assemble(
            weights=options.weights or WEIGHTS,
            threads=options.threads or 0,
            tasks=tasks,
            detector=options.detector,
            output=options.output,
        )
    return assemble_built(
        engine,
        instances=1 if options.instances is None else options.instances,
        gpus=options.gpus or (),
        tasks=tasks,
        detector=options.detector,
        output=options.output,
        again=options.repeated,
    )


if __name__ == "__main__":
    sys.exit(main())

"""Assembles the model repository that Triton serves, and points var/repository to it.

    python -m build.stages.repository                        # what is served now; at first the committed weights
    python -m build.stages.repository --tasks age,head_pose  # or SERVED_TASKS=age,head_pose
    python -m build.stages.repository --precision bf16       # the engine that `make engine PRECISION=bf16` built
    python -m build.stages.repository --engine DIR --also facexformer=DIR2   # two networks, the second by its name

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
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from build.backends import default_backend
from build.config import MODEL_REPOSITORY, WEIGHTS, generated_for
from build.detector import find_detector, package_version
from build.errors import BuildError
from build.files import ROOT, shown, why_unwritten
from build.manifest import (
    MANIFEST,
    Content,
    content_hash,
    intact,
    manifest,
    read_manifest,
    renew,
    sha256_of,
    to_json,
)
from build.serving.network import Network
from build.serving.photo_models import DETECTOR_FILE
from build.serving.servable_network import Part, built_part, exported_part
from build.serving.served_models import python_models
from build.serving_plan import DEFAULT_TASKS, chosen, chosen_engine, parser
from runtime.detect.weights import PACKAGE

LINK = "repository"
KEPT = 2
_UNFINISHED = ".repository-"


def assemble(
    *,
    weights: Path = WEIGHTS,
    tasks: Sequence[str] | None = None,
    threads: int = 0,
    also: Mapping[str, Path] | None = None,
    detector: Path | None = None,
    output: Path = ROOT / "var",
    also_again: bool = False,
) -> Path:
    """Builds the repository that serves an exported network as it is: OpenVINO in fp32, on any CPU.

    `tasks` are those to serve (None: those served by default; "NAME.TASK" is one of the further network
    NAME). `also` are further networks by their names: directories that `build.stages.compile` left, or exported
    networks; `also_again`: they are served already, so a later build of one that failed is no reason to
    stop. Returns the repository's directory below `output`, to which the link `output`/repository then
    points. Raises BuildError with one sentence; then nothing was changed.
    """
    return _assemble(
        exported_part(weights, threads=threads),
        also={name: _further(path, again=also_again) for name, path in (also or {}).items()},
        words=_words(weights=None if weights == WEIGHTS else weights, threads=threads or None, also=also),
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
    also: Mapping[str, Path] | None = None,
    detector: Path | None = None,
    output: Path = ROOT / "var",
    again: bool = False,
    also_again: bool = False,
) -> Path:
    """Builds the repository that serves what `build.stages.compile` left in a directory, as `assemble` does.

    On GPUs each engine is loaded `instances` times on each of `gpus` (empty: on every one). `again`: it is
    what is served already, so a later build of it that failed is no reason to stop; `also_again` says so
    of the further networks.
    """
    return _assemble(
        built_part(built, instances=instances, gpus=gpus, again=again),
        also={
            name: _further(path, instances=instances, gpus=gpus, again=also_again)
            for name, path in (also or {}).items()
        },
        words=_words(
            engine=built,
            instances=instances if instances != 1 else None,
            gpus=",".join(map(str, gpus)) or None,
            also=also,
        ),
        tasks=tasks,
        detector=detector,
        output=output,
    )


def _further(path: Path, *, instances: int = 1, gpus: Sequence[int] = (), again: bool = False) -> Part:
    """A network that is served beside the first one."""
    if path.suffix == ".onnx":
        return exported_part(path)
    return built_part(path, instances=instances, gpus=gpus, again=again)


def _assemble(
    part: Part,
    *,
    also: Mapping[str, Part],
    words: list[str],
    tasks: Sequence[str] | None,
    detector: Path | None,
    output: Path,
) -> Path:
    if tasks is not None and list(tasks) == [DEFAULT_TASKS]:
        tasks = None
    of_first, of_others = _tasks_of(tasks, also)
    first = part.network(tasks=of_first)
    further = {name: other.network(tasks=of_others[name], further=name) for name, other in also.items()}
    _check_engines(part, also)
    words += _words(tasks=",".join(tasks) if tasks is not None else None, detector=detector)
    files = _models([first, *further.values()]) | _library()
    for prefix, other in [("", part), *((network.prefix, also[name]) for name, network in further.items())]:
        files |= {f"models/{prefix}face_engine/1/{name}": path for name, path in other.files.items()}
    stages = dict(part.stages)
    if also:
        stages["also"] = {name: other.stages for name, other in also.items()}
    stages["detector"], files[f"models/face_detector/1/{DETECTOR_FILE}"] = _detector(detector)
    files |= _no_byte_code(files)
    digests = sha256_of(files)
    stages = json.loads(json.dumps(stages))  # as they will be read again, and hashed by who verifies
    name = f"{LINK}-{content_hash(digests, stages)}"
    try:
        with _lock(output):
            repository = output / name
            about = manifest(
                files=digests,
                contract=first.contract,
                also={name: network.contract for name, network in further.items()},
                stages=stages,
                words=words,
                source=ROOT,
            )
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


def _tasks_of(
    tasks: Sequence[str] | None, also: Collection[str]
) -> tuple[list[str] | None, dict[str, list[str] | None]]:
    """The tasks of the first network, and of each further one; None: those served by default."""
    named = [name.rpartition(".")[::2] for name in tasks or ()]
    if unknown := sorted({network for network, _ in named} - {"", *also}):
        there = f"choose from {', '.join(also)}" if also else "name one with --also"
        raise BuildError(
            f"there is no further model {', '.join(unknown)} whose tasks could be chosen: {there}"
        )

    def of(network: str) -> list[str] | None:
        return [task for other, task in named if other == network] or None

    first = of("")
    if tasks is not None and not tasks:
        first = []
    return first, {name: of(name) for name in also}


def _check_engines(part: Part, also: Mapping[str, Part]) -> None:
    """A server starts all engines for its GPUs, or all for its CPU."""
    first = part.engine.backend
    for name, other in also.items():
        if other.engine.backend.device != first.device:
            raise BuildError(
                f"the engine of {name} is {other.engine.backend.name}'s and the first one's "
                f"{first.name}'s: one server runs both on its GPUs or both on its CPU, so build "
                "both for the same"
            )


def _models(networks: Sequence[Network]) -> dict[str, Content]:
    files: dict[str, Content] = {
        f"{model}/1/model.py": (MODEL_REPOSITORY / source / "1" / "model.py").read_bytes()
        for model, source in python_models(networks).items()
    }
    files |= generated_for(networks)
    return {f"models/{name}": content for name, content in files.items()}


def _words(*, also: Mapping[str, Path] | None = None, **options: Any) -> list[str]:
    """Options that were given, as words of this program's command line."""
    words = []
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", shown(value) if isinstance(value, Path) else str(value)]
    for name, path in (also or {}).items():
        words += ["--also", f"{name}={shown(path)}"]
    return words


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
        print(f"build.stages.repository: {error}", file=sys.stderr)
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


def also_served(output: Path) -> dict[str, Path]:
    """The further networks, by name, of what is served from `output`."""
    recorded_also: dict[str, Path] = chosen(parser().parse_args([]), _recorded_words(output)).also
    return recorded_also


def _assembled(options: argparse.Namespace) -> Path:
    tasks = None
    if options.tasks is not None:
        tasks = [name.strip() for name in options.tasks.split(",") if name.strip()]
    engine = chosen_engine(options)
    if engine is None:
        if options.gpus is not None or options.instances is not None:
            raise BuildError(
                "--gpus and --instances are for a GPU's engine: choose one with "
                f"--target {default_backend('gpu').name}"
            )
        return assemble(
            weights=options.weights or WEIGHTS,
            threads=options.threads or 0,
            tasks=tasks,
            also=options.also,
            detector=options.detector,
            output=options.output,
            also_again=options.also_repeated,
        )
    return assemble_built(
        engine,
        instances=1 if options.instances is None else options.instances,
        gpus=options.gpus or (),
        tasks=tasks,
        also=options.also,
        detector=options.detector,
        output=options.output,
        again=options.repeated,
        also_again=options.also_repeated,
    )


if __name__ == "__main__":
    sys.exit(main())

"""A container's build, performed in folders: debootstrap for the base image, chroot for the engine.

As root, on Debian or Ubuntu. What a RUN line needs of this machine (packages' mirror, resolver, proxies,
pip's index) is read from its configuration and handed in for that line alone.
"""

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.helpers.build_context import context_files
from tests.helpers.dockerfile import Dockerfile, Instruction, Stage
from tests.helpers.paths import ROOT

_SOURCES = Path("/etc/apt")
# Of this process' environment, what reaches RUN lines. PIP_FIND_LINKS would name a folder that is not there.
_PASSED = re.compile(r"(?i)^(https?_proxy|no_proxy|PIP_(?!FIND_LINKS|CERT|CONFIG).*)$")
_HANDED_IN = "/mnt"  # an empty folder of Debian's, where files of this machine are mounted
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(kw_only=True)
class Built:
    """A stage that was built: its files, and what an image would state."""

    folder: Path
    environment: dict[str, str]
    directory: str = "/"  # WORKDIR
    user: str = "0:0"


@dataclasses.dataclass(kw_only=True)
class FolderBuilder:
    """Builds stages below `work`, each once."""

    dockerfile: Dockerfile
    work: Path
    log: Callable[[str], None]
    performed: list[Instruction] = dataclasses.field(default_factory=list)
    _built: dict[str, Built] = dataclasses.field(default_factory=dict)

    def build(self, name: str) -> Built:
        """The stage and all that it stands on or copies from."""
        if name not in self._built:
            self._built[name] = self._build(self.dockerfile.stages[name])
        return self._built[name]

    def _build(self, stage: Stage) -> Built:
        folder = self.work / stage.name
        if stage.base == "scratch":
            folder.mkdir()
            built = Built(folder=folder, environment={"PATH": DEFAULT_PATH})
        elif stage.base in self.dockerfile.stages:
            base = self.build(stage.base)
            subprocess.run(["cp", "--archive", "--reflink=auto", base.folder, folder], check=True)
            built = dataclasses.replace(base, folder=folder, environment=dict(base.environment))
        else:
            bootstrap(stage.base, folder, log=self.log)
            built = Built(folder=folder, environment={"PATH": DEFAULT_PATH})
        arguments: dict[str, str] = {}
        for instruction in stage.instructions:
            self.log(f"{stage.name}: {instruction.keyword} {instruction.text[:90]}")
            self._perform(instruction, built, arguments)
            self.performed.append(instruction)
        return built

    def _perform(self, instruction: Instruction, built: Built, arguments: dict[str, str]) -> None:
        variables = arguments | built.environment
        match instruction.keyword:
            case "ARG":
                arguments |= instruction.pairs(variables)
            case "ENV":
                built.environment |= instruction.pairs(variables)
            case "WORKDIR":
                built.directory = instruction.words(variables)[0]
                inside(built.folder, built.directory).mkdir(parents=True, exist_ok=True)
            case "USER":
                built.user = instruction.words(variables)[0]
            case "COPY":
                self._copy(instruction, built, variables)
            case "RUN":
                run(instruction.text, built, variables)

    def _copy(self, instruction: Instruction, built: Built, variables: Mapping[str, str]) -> None:
        *sources, destination = instruction.words(variables)
        target = inside(built.folder, (Path(built.directory) / destination).as_posix())
        if stage := instruction.flags.get("from"):
            root = self.build(stage).folder
            files = None
        else:
            root, files = ROOT, list(context_files())
        for source in sources:
            _copy_one(root, source, target, files=files, into=destination.endswith("/") or len(sources) > 1)


def inside(folder: Path, path: str) -> Path:
    """The place in a folder of a path that is absolute for what runs in it."""
    return folder / path.lstrip("/")


def _copy_one(root: Path, source: str, target: Path, *, files: list[Path] | None, into: bool) -> None:
    """As COPY does: of a folder its content, of files from the repository only those that are sent."""
    place = inside(root, source)
    if place.is_dir():
        if files is None:
            subprocess.run(["cp", "--archive", "--no-target-directory", place, target], check=True)
            return
        sent = [path for path in files if (root / path).is_relative_to(place)]
        if not sent:
            raise FileNotFoundError(f"nothing of {source} is sent to the build")
        for path in sent:
            one = target / (root / path).relative_to(place)
            one.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, one, follow_symlinks=False)
        return
    if files is not None and Path(source) not in files:
        raise FileNotFoundError(f"{source} is not sent to the build")
    one = target / place.name if into else target
    one.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(place, one)


def bootstrap(image: str, folder: Path, *, log: Callable[[str], None]) -> None:
    """What `debian:SUITE-slim` has, and some more: debootstrap's smallest, from this machine's mirror."""
    match = re.fullmatch(r"debian:([a-z]+)-slim(@.*)?", image)
    if match is None:
        raise ValueError(f"{image} can't be made by debootstrap")
    command = ["debootstrap", "--variant=minbase", match[1], str(folder)]
    mirror = _mirror(match[1])
    log(f"debootstrap {match[1]}")
    done = subprocess.run(
        [*command, *([mirror] if mirror else [])], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"debootstrap failed: {(done.stdout + done.stderr)[-2000:]}")


def _mirror(suite: str) -> str | None:
    """Where this machine's apt has a suite from; None where it has another distribution's."""
    for path in sorted(_SOURCES.glob("sources.list.d/*.sources")):
        for stanza in path.read_text().split("\n\n"):
            fields = dict(re.findall(r"(?m)^(\w+):\s*(.+)$", stanza))
            if suite in fields.get("Suites", "").split():
                return fields["URIs"].split()[0]
    for path in (_SOURCES / "sources.list", *sorted(_SOURCES.glob("sources.list.d/*.list"))):
        text = path.read_text() if path.exists() else ""
        if found := re.search(rf"(?m)^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+{suite}\s", text):
            return found[1]
    return None


def run(text: str, built: Built, variables: Mapping[str, str]) -> None:
    """One RUN line, by the shell in the folder, with what it needs of this machine mounted meanwhile."""
    handed_in = built.folder.parent / "handed-in"
    handed_in.mkdir(exist_ok=True)
    environment = dict(variables) | {name: value for name, value in os.environ.items() if _PASSED.match(name)}
    if certificates := _certificates():
        shutil.copyfile(certificates, handed_in / "certificates")
        environment["PIP_CERT"] = f"{_HANDED_IN}/certificates"
    resolver = inside(built.folder, "/etc/resolv.conf")
    resolver.touch()
    script = """
        set -eu
        mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
        mount --bind "$2" "$1/mnt"
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        exec chroot "$1" env --ignore-environment --chdir="$3" DEBIAN_FRONTEND=noninteractive {assignments} \\
            /bin/sh -c "$4"
    """
    names = sorted(environment)
    assignments = " ".join(f'"${{{number}}}"' for number in range(5, 5 + len(names)))
    done = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-c", script.replace("{assignments}", assignments), "run"),
            *(str(built.folder), str(handed_in), built.directory, text),
            *(f"{name}={environment[name]}" for name in names),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"RUN {text[:200]} failed: {(done.stdout + done.stderr)[-3000:]}")


def _certificates() -> Path | None:
    """The authorities that this machine's own pip trusts, where they are not the usual ones."""
    named = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    return Path(named) if named and Path(named).exists() else None

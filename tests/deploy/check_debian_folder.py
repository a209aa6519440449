"""The CPU container's substance in a Debian folder: the Dockerfile's own lines, run as compose states.

    python -m tests.deploy.check_debian_folder --report FILE
    python -m tests.deploy.check_debian_folder --report FILE --lowered

As root, about eight minutes: debootstrap in place of the base image, chroot and namespaces in place of the
engine. The service is started, asked over gRPC and REST, one of its processes killed, drained under load,
and looked for afterwards. --lowered performs the GPU container's own stage too, which stands on Debian: 3 GB
of torch and about ten minutes more.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.helpers.build_context import DOCKERFILE
from tests.helpers.compose import SERVICES, read_compose, seconds, tmpfs_of, words_of
from tests.helpers.contained import Contained, Container
from tests.helpers.debian_folder import Built, FolderBuilder, inside
from tests.helpers.dockerfile import read_dockerfile
from tests.helpers.findings import Findings
from tests.helpers.paths import ROOT
from tests.helpers.pinned import pins
from tests.helpers.tools import find_tool, how_to_install

TARGET = "cpu"
LOWERED = "lowered"
USER = 10001
PYTHON = "/opt/q-face/.venv-serve/bin/python"
START_SECONDS = 180
WRITABLE = ("/var/lib/q-face", "/run/q-face", "/tmp")
_MEGABYTE = 1_000_000
ABOUT = """\
Made by `python -m tests.deploy.check_debian_folder`. The Dockerfile's own RUN and COPY lines of the target
`cpu` were performed in folders (debootstrap in place of the base image, chroot in place of the engine), and
the services `prepare-cpu` and `q-face-cpu` were run as compose.yaml states them: the first process of a
process namespace, user 10001 without a capability, the root read-only, its tmpfs, a network of its own
without any other host. No container engine took part, so layers, limits of memory, the engine's restarts
and published ports were not tested.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """The folders of a run."""

    built: Built
    project: dict[str, Any]
    work: Path
    key: str

    def start(self, words: Sequence[str]) -> Contained:
        """The service, or what comes before it, with these words."""
        service = self.project["services"][SERVICES[TARGET][0]]
        return Contained(
            Container(
                built=self.built,
                command=tuple(words),
                environment=service.get("environment") or {},
                user=service["user"],
                tmpfs=tmpfs_of(service),
                state=self.work / "state",
                secrets=self.work / "secrets",
                shared_memory=self.work / "shm",
                log=self.work / "log",
                nofile=service["ulimits"]["nofile"],
            )
        )

    @property
    def log(self) -> str:
        """What the processes wrote."""
        return (self.work / "log").read_text(errors="replace")

    def ask(self, service: Contained, what: str, **options: int) -> dict[str, Any]:
        """Has the client ask, from inside the service's network."""
        words = [sys.executable, "-m", "tests.helpers.contained_client", what, "--key", self.key]
        words += [word for name, value in options.items() for word in (f"--{name}", str(value))]
        environment = {"PYTHONPATH": f"{ROOT / 'client'}:{ROOT}"}
        answer: dict[str, Any] = json.loads(service.enter(words, timeout=150, environment=environment))
        return answer


def lower(builder: FolderBuilder, findings: Findings) -> None:
    """The stage that brings the networks to 16 bits for the GPU container."""
    began = time.monotonic()
    folder = inside(builder.build(LOWERED).folder, "/opt/q-face/var/lowered")
    networks = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*/precision/*.onnx"))
    findings.add(
        "the networks at 16 bits for the GPU container",
        len({path.split("/")[0] for path in networks}) == len(list((ROOT / "weights").glob("*.onnx"))),
        f"{', '.join(networks)} in {time.monotonic() - began:.0f} s",
    )


def build(work: Path, findings: Findings, *, lowered: bool) -> Built:
    """Performs the Dockerfile."""
    dockerfile = read_dockerfile(DOCKERFILE)
    builder = FolderBuilder(
        dockerfile=dockerfile, work=work, log=lambda text: print(f"{text:>9}", flush=True)
    )
    began = time.monotonic()
    built = builder.build(TARGET)
    runs = [one for one in builder.performed if one.keyword == "RUN"]
    findings.add(
        "every RUN and COPY of the target, its stages included",
        len(runs) >= 4,
        f"{len(runs)} RUN, {sum(one.keyword == 'COPY' for one in builder.performed)} COPY in "
        f"{time.monotonic() - began:.0f} s",
    )
    if lowered:
        lower(builder, findings)
    site = next(inside(built.folder, "/opt/q-face/.venv-serve/lib").glob("python3.*")) / "site-packages"
    installed = {_normal(path.name.removesuffix(".dist-info")) for path in site.glob("*.dist-info")}
    wanted = {
        _normal(f"{name}-{version}")
        for file in ("serve-container-cpu.txt", "serve-container-cpu-nodeps.txt")
        for name, version in pins(ROOT / "requirements" / file).items()
    }
    findings.add(
        "the environment is what is pinned, no more and no less",
        installed == wanted,
        f"{len(installed)} packages, each by its hash"
        + "".join(f"; {one}" for one in sorted(installed ^ wanted)),
    )
    sizes = {
        "all": built.folder,
        "the environment": inside(built.folder, "/opt/q-face/.venv-serve"),
        "Debian with Python": work / "cpu-base",
    }
    found = {name: _size(folder) for name, folder in sizes.items()}
    findings.add(
        "size, unpacked",
        found["all"] < 1_500,
        ", ".join(f"{name} {size:.0f} MB" for name, size in found.items()),
    )
    return built


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _size(folder: Path) -> float:
    done = subprocess.run(["du", "-sb", folder], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / _MEGABYTE


def prepare(place: Place, findings: Findings) -> None:
    """What comes before the service, twice."""
    words = words_of(place.project["services"][SERVICES[TARGET][1]])
    link = place.work / "state" / "repository"
    for what in ("prepare makes what is served", "prepare has nothing to do the second time"):
        before = link.readlink() if link.is_symlink() else None
        began = time.monotonic()
        process = place.start(words)
        status = process.wait(START_SECONDS)
        process.kill()
        led = link.readlink() if link.is_symlink() else None
        held = status == 0 and led is not None and before in (None, led)
        findings.add(what, held, f"status {status} in {time.monotonic() - began:.1f} s")


def wait_healthy(place: Place, service: Contained) -> float | None:
    """Seconds until the image's HEALTHCHECK says yes; None where it never did."""
    health = read_dockerfile(DOCKERFILE).stages[TARGET].last("HEALTHCHECK")
    assert health is not None
    words = json.loads(health.text.removeprefix("CMD "))
    began = time.monotonic()
    while time.monotonic() - began < START_SECONDS:
        if service.wait(0) is not None:
            return None
        if execute(place, service, words).returncode == 0:
            return time.monotonic() - began
        time.sleep(0.5)
    return None


def execute(place: Place, service: Contained, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """A command in the service as its user, as `docker exec` runs it."""
    return service.execute(
        [
            *("/usr/bin/setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
            *("/usr/bin/env", "--ignore-environment", f"--chdir={place.built.directory}"),
            *(f"{name}={value}" for name, value in place.built.environment.items()),
            *words,
        ],
        timeout=60,
    )


def look_inside(place: Place, service: Contained, findings: Findings) -> None:
    """Who it runs as, and what it can write."""
    status = Path(f"/proc/{service.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    findings.add(
        "it runs as 10001 without a capability",
        fields["Uid"].split() == [str(USER)] * 4
        and int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
        and fields["NoNewPrivs"] == "1",
        f"uid {fields['Uid'].split()[0]}, CapBnd {fields['CapBnd']}, first process of its namespace: "
        f"{fields['NSpid'].split()[-1] == '1'}",
    )
    written = {
        folder: execute(place, service, ["touch", f"{folder}/written"]).returncode == 0
        for folder in ("/", "/etc", "/opt/q-face", "/run/secrets/q-face", *WRITABLE)
    }
    can = sorted(folder for folder, done in written.items() if done)
    findings.add(
        "nothing but its volume and its tmpfs can be written",
        can == sorted(WRITABLE),
        ", ".join(can),
    )
    answer = execute(
        place, service, ["python", "-m", "deploy.gateway", "status", "--control", "/run/q-face/control"]
    )
    findings.add("`status` by its control socket", answer.returncode == 0, f"status {answer.returncode}")
    answer = execute(place, service, ["python", "-m", "deploy.doctor"])
    lines = answer.stdout.strip().splitlines()
    findings.add("`deploy.doctor` in it", answer.returncode == 0, (lines or ["nothing"])[-1])


def kill_triton(place: Place, service: Contained, findings: Findings) -> None:
    """A death behind the gateway: another Triton takes over, and the first process reaps what was left."""
    server = next(
        pid
        for pid in service.processes()
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/tritonserver")
    )
    load = place.ask(service, "signal", pid=server, signal=int(signal.SIGKILL))
    after = wait_healthy(place, service)
    zombies = [pid for pid, state in service.processes().items() if state == "Z"]
    findings.add(
        "tritonserver killed under load",
        load["lost"] == 0 and load["after"] == 0 and after is not None and not zombies,
        f"{load['answered'] + load['drained']} answered, {load['refused']} refused, "
        f"{load['lost'] + load['after']} lost; {len(zombies)} dead processes left by the first process",
    )


def drain(place: Place, service: Contained, findings: Findings) -> None:
    """STOPSIGNAL under load, and what is left."""
    stop = read_dockerfile(DOCKERFILE).stages[TARGET].last("STOPSIGNAL")
    assert stop is not None
    grace = seconds(place.project["services"][SERVICES[TARGET][0]]["stop_grace_period"])
    load = place.ask(service, "signal", pid=service.pid, signal=int(getattr(signal, stop.text)))
    status = service.wait(grace)
    findings.add(
        f"{stop.text} under load drains",
        status == 0 and load["lost"] == 0 and load["answered"] > 0 and load["drained"] > 0,
        f"{load['answered']} answered before, {load['drained']} that were under way answered after it, "
        f"{load['refused']} refused in a sentence, {load['lost']} lost; ended with {status}",
    )
    service.kill()
    left = sorted(path.name for path in (place.work / "shm").iterdir())
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    ours = [mount for mount in mounts if mount.startswith(str(place.work))][1:]  # but for the shared memory
    findings.add(
        "nothing is left",
        not left and not ours and not service.processes(),
        f"{len(service.processes())} processes, {len(left)} files in /dev/shm, {len(ours)} mounts",
    )


def alone(place: Place, findings: Findings) -> None:
    """The image as it is, without compose: prepare and serve by its ENTRYPOINT."""
    entry = read_dockerfile(DOCKERFILE).stages[TARGET].last("ENTRYPOINT")
    assert entry is not None
    service = place.start([*entry.words(), "--keys=/run/secrets/q-face/keys.toml"])
    try:
        healthy = wait_healthy(place, service)
        answer = place.ask(service, "ask") if healthy is not None else {}
        service.signal(signal.SIGTERM)
        status = service.wait(60)
    finally:
        service.kill()
    findings.add(
        "ENTRYPOINT alone prepares and serves",
        answer.get("grpc_faces") == 1 and status == 0,
        f"ready after {healthy or -1:.0f} s, {answer.get('grpc_faces')} face, ended with {status}",
    )
    service = place.start(entry.words())
    status = service.wait(60)
    service.kill()
    last = place.log.strip().splitlines()[-1]
    findings.add("without keys it does not listen to others", status == 2 and "--keys" in last, last[:200])


@contextlib.contextmanager
def prepared(built: Built, work: Path) -> Iterator[Place]:
    """The volume as an engine makes it of the image, a key, and shared memory of the stated size."""
    program = find_tool("docker-compose")
    assert program is not None
    project = read_compose(program, profile=TARGET)
    for name in ("secrets", "shm"):
        (work / name).mkdir()
    subprocess.run(["cp", "--archive", inside(built.folder, "/var/lib/q-face"), work / "state"], check=True)
    added = subprocess.run(
        [
            *(ROOT / ".venv-serve" / "bin" / "python", "-m", "deploy.gateway", "keys", "add", "check"),
            *("--file", work / "secrets" / "keys.toml"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    os.chown(work / "secrets" / "keys.toml", USER, USER)
    size = project["services"][SERVICES[TARGET][0]]["shm_size"]
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"mode=1777,size={size}", "tmpfs", work / "shm"], check=True
    )
    try:
        yield Place(built=built, project=project, work=work, key=added.stdout.strip())
    finally:
        subprocess.run(["umount", work / "shm"], check=True)


def serve(place: Place, findings: Findings) -> None:
    """Start, ask, look, kill, drain."""
    service = place.start(words_of(place.project["services"][SERVICES[TARGET][0]]))
    try:
        healthy = wait_healthy(place, service)
        findings.add("it becomes healthy", healthy is not None, f"after {healthy or -1:.0f} s")
        if healthy is None:
            print(place.log[-4000:])
            return
        answer = place.ask(service, "ask")
        findings.add(
            "a photo over gRPC and REST",
            (answer["grpc_faces"], answer["rest_status"], answer["rest_faces"], answer["without_key"])
            == (1, 200, 1, 401),
            f"{answer['grpc_faces']} and {answer['rest_faces']} faces; without a key {answer['without_key']}",
        )
        look_inside(place, service, findings)
        kill_triton(place, service, findings)
        drain(place, service, findings)
    finally:
        service.kill()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where all held, 1 where something did not, 2 where this machine can't do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.check_debian_folder", description=__doc__)
    parser.add_argument("--report", type=Path, help="where to write what was found")
    parser.add_argument("--lowered", action="store_true", help="the GPU container's 16-bit networks too")
    options = parser.parse_args(arguments)
    missing = [name for name in ("debootstrap", "docker-compose") if find_tool(name) is None]
    if missing or os.geteuid() != 0:
        sentence = "; ".join(f"{name} is not installed: {how_to_install(name)}" for name in missing)
        print(sentence or "this check mounts and changes its root: run it as root", file=sys.stderr)
        return 2
    findings = Findings()
    work = Path(tempfile.mkdtemp(prefix="qface-debian-", dir=ROOT / "var"))
    work.chmod(0o755)
    try:
        built = build(work, findings, lowered=options.lowered)
        with prepared(built, work) as place:
            prepare(place, findings)
            serve(place, findings)
            alone(place, findings)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.report:
        options.report.write_text(findings.page("The CPU container in a Debian folder", ABOUT))
    return 0 if findings.all_held else 1


if __name__ == "__main__":
    sys.exit(main())

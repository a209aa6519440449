"""A pod of the chart, variant cpu, started, asked, wounded and stopped here as a kubelet would do it.

python -m tests.deploy.check_chart --report FILE

For root on Linux: containers are namespaces with a read-only root, an ordinary user without rights, and the
pod's volumes.
"""

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.gateway.identity.keys_command import main as keys_command
from tests.helpers.certificates import Authority
from tests.helpers.charts import only, pod_template, render
from tests.helpers.pod_here import PodHere, config_maps, first_process, terminate

_INSIDE = "--inside"
_SETTINGS = (
    "tls.enabled=true",
    "state.kind=emptyDir",
    "test.apiKeySecret=q-face-test-key",
    "prepare.notice=This is a test.",
    "termination.balancerSeconds=5",
)
_RIGHTS = """
import os
from pathlib import Path
status = Path("/proc/self/status").read_text()
assert os.getuid() == os.getgid() == 10001 and os.getpid() == 1
assert "CapEff:\\t0000000000000000" in status and "NoNewPrivs:\\t1" in status
for place in ("/", "/opt/q-face", "/etc", "/usr", "/run", "/var/lib"):
    try:
        Path(place, "written").touch()
    except OSError:
        continue
    raise SystemExit(f"{place} can be written")
for place in ("/tmp", "/dev/shm", "/var/lib/q-face"):
    Path(place, "written").touch()
    Path(place, "written").unlink()
print("user 10001, process 1, no capability, nothing to write to but the volumes")
"""
_ABOUT = """# A pod of the chart, {date}

The rendered pod of `deploy/helm/q-face` (variant `cpu`, TLS, keys), started as a kubelet would start it: its
init container, then its container, with their commands, users, rights, volumes, probes and signals, on this
machine's own Debian in place of an image. The project lies at /opt/q-face, read-only like the rest of the
root. No cluster, no GPU, no limits of processors or memory, no seccomp: those are not shown. Seconds are of
two cores, which other programs may have used too.

```bash
python -m tests.deploy.check_chart --report FILE
```

| step | seen |
|---|---|
{rows}
"""


class Kubelet:
    """Steps of a pod's life, each with what was seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rows: list[tuple[str, str]] = []
        self.manifests = render("cpu", *_SETTINGS)
        self.name = only("Service", self.manifests, name="faces-now-q-face")["metadata"]["name"]
        self._authority = Authority()
        names = (self.name, f"{self.name}-headless", "localhost")
        certificate, private_key = self._authority.issue(folder, "tls", *names)
        self._keys = folder / "keys.toml"
        self._secrets = {
            "q-face-tls": {
                "tls.crt": certificate.read_bytes(),
                "tls.key": private_key.read_bytes(),
                "ca.crt": self._authority.pem,
            },
            "q-face-test-key": {"key": self.new_key("test").encode()},
            "q-face-keys": {"keys.toml": self._keys.read_bytes()},
        }
        spec = pod_template(self.manifests)["spec"]
        self.container = spec["containers"][0]
        self.grace = spec["terminationGracePeriodSeconds"]
        self.pod = self._pod(spec, "pod")
        self._prepare = spec["initContainers"][0]

    def new_key(self, name: str) -> str:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            assert keys_command(["add", name, "--file", str(self._keys)]) == 0
        return shown.getvalue().strip()

    def _pod(self, spec: Any, name: str) -> PodHere:
        folder = self._folder / name
        folder.mkdir()
        services = [each["metadata"]["name"] for each in self.manifests if each["kind"] == "Service"]
        maps = config_maps(self.manifests)
        return PodHere(spec, folder=folder, secrets=self._secrets, config_maps=maps, services=services)

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def saw(self, step: str, seen: str) -> None:
        print(f"{step}: {seen}", flush=True)
        self.rows.append((step, seen))

    def run_to_the_end(self, container: Any, pod: PodHere, name: str) -> tuple[int, str, float]:
        began = time.monotonic()
        with self.log(name).open("w") as log:
            status = pod.start(container, log=log).wait(timeout=600)
        return status, self.log(name).read_text(), time.monotonic() - began

    def prepare(self) -> None:
        status, text, seconds = self.run_to_the_end(self._prepare, self.pod, "prepare")
        assert status == 0, text
        self.saw(
            "init container `prepare`", f"status 0 after {seconds:.0f} s; {text.strip().splitlines()[-1]}"
        )

    @contextlib.contextmanager
    def serving(self) -> Iterator[subprocess.Popen[str]]:
        with self.log("gateway").open("w") as log:
            container = self.pod.start(self.container, log=log)
            try:
                yield container
            finally:
                if container.poll() is None:
                    container.kill()
                container.wait(timeout=30)

    def probe(self, name: str) -> bool:
        """One look, as the probe says."""
        asked = self.container[f"{name}Probe"]["httpGet"]
        port = next(
            each["containerPort"] for each in self.container["ports"] if each["name"] == asked["port"]
        )
        try:
            url = f"http://127.0.0.1:{port}{asked['path']}"
            with urllib.request.urlopen(
                url, timeout=self.container[f"{name}Probe"]["timeoutSeconds"]
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def start(self) -> None:
        settings = self.container["startupProbe"]
        began = time.monotonic()
        for _ in range(settings["failureThreshold"]):
            if self.probe("startup"):
                break
            time.sleep(settings["periodSeconds"])
        else:
            raise AssertionError(self.log("gateway").read_text())
        assert self.probe("readiness")
        assert self.probe("liveness")
        patience = settings["failureThreshold"] * settings["periodSeconds"]
        self.saw("startup probe", f"ready after {time.monotonic() - began:.0f} s of {patience} s")

    def test(self, name: str) -> str:
        """The pod of `helm test`."""
        spec = only("Pod", self.manifests)["spec"]
        status, text, _ = self.run_to_the_end(spec["containers"][0], self._pod(spec, name), name)
        assert status == 0, text
        return "; ".join(text.split("\n")).strip("; ")

    def rights(self) -> None:
        """What a process in the container may do."""
        looks = {**self._prepare, "name": "rights", "command": ["python", "-c"], "args": [_RIGHTS]}
        status, text, _ = self.run_to_the_end(looks, self.pod, "rights")
        assert status == 0, text
        self.saw("rights in a container", text.strip())

    def memory(self, container: subprocess.Popen[str]) -> None:
        """What its processes hold, shared pages once, and what of it lies in volumes."""
        first = first_process(container)
        held = sum(proportional_bytes(pid) for pid in (first, *descendants(first)))
        limit = self.container["resources"]["limits"]["memory"]
        self.saw("memory with a standby", f"{held / 2**30:.1f} GiB of its processes; the limit is {limit}")

    def repair(self, container: subprocess.Popen[str]) -> None:
        """Ends Triton under the gateway, the standby too, and looks as often as no kubelet does."""
        tritons = [pid for pid in descendants(first_process(container)) if is_triton(pid)]
        assert tritons
        for triton in tritons:
            os.kill(triton, signal.SIGKILL)
        began, dead, unready = time.monotonic(), 0, 0.0
        time.sleep(0.5)
        while time.monotonic() - began < 300:
            dead += not self.probe("liveness")
            if self.probe("readiness") and time.monotonic() - began > 5:
                break
            unready = time.monotonic() - began
            time.sleep(0.1)
        assert self.probe("readiness")
        assert dead == 0
        assert container.poll() is None
        self.saw(
            "every Triton killed",
            f"ready again within {max(unready, 0.5):.0f} s, live at every look, no restart of the container",
        )

    def restart(self, container: subprocess.Popen[str]) -> None:
        """Ends the gateway's main process: its supervisor is quicker than the liveness probe."""
        first = first_process(container)
        (main_process,) = (pid for pid in descendants(first) if "main_process" in command_of(pid))
        os.kill(main_process, signal.SIGKILL)
        began = time.monotonic()
        while not self.probe("liveness"):
            time.sleep(0.1)
        gone = time.monotonic() - began
        settings = self.container["livenessProbe"]
        patience = settings["periodSeconds"] * settings["failureThreshold"]
        assert gone < patience
        while not self.probe("readiness"):
            assert self.probe("liveness")
            assert time.monotonic() - began < 300
            time.sleep(0.1)
        assert container.poll() is None
        self.saw(
            "main process killed",
            f"live again after {gone:.0f} s, of {patience} s that the liveness probe gives it, and ready "
            f"after {time.monotonic() - began:.0f} s",
        )

    def rotate(self) -> None:
        key = self.new_key("second")
        self._secrets["q-face-keys"] = {"keys.toml": self._keys.read_bytes()}
        self._secrets["q-face-test-key"] = {"key": key.encode()}
        self.pod.replace_secret("secrets", self._secrets)
        time.sleep(2)
        self.saw("keys exchanged in the Secret", self.test("test-second-key"))

    def end(self, container: subprocess.Popen[str]) -> None:
        asleep = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        began = time.monotonic()
        seen = self.test("test-while-ending")
        time.sleep(max(0.0, asleep - (time.monotonic() - began)))
        self.saw(f"`preStop` sleeps {asleep} s", f"answered meanwhile: {seen}")
        began = time.monotonic()
        terminate(container)
        status = container.wait(timeout=self.grace - asleep)
        seconds = time.monotonic() - began
        assert status == 0, self.log("gateway").read_text()[-3000:]
        left = [path.name for name in ("shm", "run") for path in self.pod.volume(name).iterdir()]
        assert left == []
        self.saw(
            "SIGTERM to process 1",
            f"status 0 after {seconds:.1f} s (the grace period is {self.grace} s); nothing is left in "
            "/dev/shm and /run/q-face",
        )


def descendants(pid: int) -> Iterator[int]:
    """A process's children, theirs, and so on."""
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, thread.read_text().split()):
                yield child
                yield from descendants(child)


def command_of(pid: int) -> str:
    """A process's command line."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def proportional_bytes(pid: int) -> int:
    """A process's memory, with its share of what several map."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def is_triton(pid: int) -> bool:
    """Whether a process is a Triton server itself."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/exe").readlink().name == "tritonserver"
    return False


def check(folder: Path) -> list[tuple[str, str]]:
    """All steps, in these namespaces."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "check", str(folder)], check=True)
    kubelet = Kubelet(folder)
    kubelet.rights()
    kubelet.prepare()
    with kubelet.serving() as container:
        kubelet.start()
        kubelet.saw("`helm test`", kubelet.test("test"))
        kubelet.memory(container)
        kubelet.repair(container)
        kubelet.restart(container)
        kubelet.rotate()
        kubelet.end(container)
    return kubelet.rows


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where all was as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument(_INSIDE, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside is None:
        if os.geteuid():
            print("this check makes namespaces and mounts: run it as root", file=sys.stderr)
            return 2
        with tempfile.TemporaryDirectory() as folder:
            words = [
                sys.executable,
                "-m",
                "tests.deploy.check_chart",
                "--report",
                str(options.report.absolute()),
            ]
            inside = ("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")
            return subprocess.run([*inside, *words, _INSIDE, folder], check=False).returncode
    rows = check(options.inside)
    options.report.write_text(
        _ABOUT.format(
            date=options.report.stem[:10], rows="\n".join(f"| {step} | {seen} |" for step, seen in rows)
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

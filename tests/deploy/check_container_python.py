"""The GPU container's pins on its own Python: installed by their hashes, and served with, on this CPU.

    python -m tests.deploy.check_container_python --report FILE

About three minutes. The image's Triton is not here, so the wheel's is added to the environment.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deploy.container.releases import read_releases
from qface_client import FaceClient
from tests.helpers.findings import Findings
from tests.helpers.paths import ROOT

FILES = ("serve-container-gpu.txt", "serve-container-gpu-nodeps.txt")
WHEEL = "serve-container-cpu-nodeps.txt"  # which has Triton's
PHOTO = ROOT / "tests" / "assets" / "astronaut.jpg"
START_SECONDS = 180
ABOUT = """\
Made by `python -m tests.deploy.check_container_python`. The environment of the GPU container, of the same
files with the same hashes, was made for the Python of its image; as that image's Triton is not here, the one
of the nvidia-pytriton wheel was added, and the network ran on the CPU. Of TensorRT's bindings it shows that
they are for this Python: their libraries are the image's.
"""


def find_python(version: str) -> Path | None:
    """An interpreter of this version that runs, on PATH or of pyenv's; None where there is none."""
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders += [folder / "bin" for folder in sorted(root.glob(f"versions/{version}.*"))]
    for folder in folders:
        found = folder / f"python{version}"
        if (
            found.exists()
            and not subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode
        ):
            return found
    return None


def install(python: Path, work: Path, findings: Findings) -> Path:
    """The environment; its interpreter."""
    began = time.monotonic()
    environment = work / "environment"
    subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
    inside = environment / "bin" / "python"
    requirements = [str(ROOT / "requirements" / name) for name in (*FILES, WHEEL)]
    subprocess.run(
        [
            *(python, "-m", "pip", "--quiet", "--python", inside, "install", "--no-cache-dir", "--no-deps"),
            *("--only-binary=:all:", "--require-hashes"),
            *(word for file in requirements for word in ("--requirement", file)),
        ],
        check=True,
        cwd=work,
    )
    site = next((environment / "lib").glob("python3.*")) / "site-packages"
    (site / "q-face.pth").write_text(f"{ROOT / 'client'}\n")
    count = len(list(site.glob("*.dist-info")))
    findings.add("every file fits its hash and this Python", count > 20, f"{count} packages, {_since(began)}")
    return inside


def bindings(inside: Path, findings: Findings) -> None:
    """TensorRT's module is found, and lacks nothing but the image's libraries."""
    done = subprocess.run(
        [inside, "-c", "import tensorrt_bindings"], capture_output=True, text=True, check=False
    )
    last = (done.stderr.strip().splitlines() or ["it was imported"])[-1]
    held = done.returncode == 0 or ("cannot open shared object file" in last and "libnv" in last)
    findings.add("TensorRT's bindings are for this Python", held, last)


@contextlib.contextmanager
def gateway(inside: Path, work: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The gateway in this environment, with its ready file."""
    ready = work / "ready"
    ports = [word for name in ("grpc", "rest", "http") for word in (f"--{name}-port", "0")]
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(inside, "-m", "deploy.gateway", "--repository", work / "state" / "repository"),
                *("--cache", work / "cache", "--control", work / "control", "--ready-file", ready, *ports),
            ],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        try:
            yield process, ready
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(90)


def serve(inside: Path, work: Path, findings: Findings) -> None:
    """Prepare, start, ask, stop."""
    began = time.monotonic()
    prepared = subprocess.run(
        [inside, "-m", "deploy.prepare", "--state", work / "state"], cwd=ROOT, check=False
    ).returncode
    findings.add("prepare", prepared == 0, f"status {prepared}, {_since(began)}")
    began = time.monotonic()
    with gateway(inside, work) as (process, ready):
        while not ready.exists() and process.poll() is None and time.monotonic() - began < START_SECONDS:
            time.sleep(0.5)
        findings.add("it becomes ready", ready.exists(), _since(began))
        if not ready.exists():
            print((work / "log").read_text(errors="replace")[-3000:])
            return
        with FaceClient(ready.read_text().strip(), timeout=60) as client:
            faces = client.analyze(PHOTO)
            crop = client.analyze_crop(np.zeros((112, 112, 3), np.uint8))
        findings.add("a photo and a crop", len(faces) == 1 and crop.age is not None, f"{len(faces)} face")
        process.send_signal(signal.SIGTERM)
        status = process.wait(90)
    findings.add("SIGTERM ends it", status == 0, f"status {status}")


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where all held, 1 where something did not, 2 where this machine has no such Python."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.deploy.check_container_python", description=__doc__
    )
    parser.add_argument("--report", type=Path, help="where to write what was found")
    options = parser.parse_args(arguments)
    version = read_releases().chosen.python
    python = find_python(str(version))
    if python is None:
        print(
            f"no Python {version} with its shared library is here: install one, or put it on PATH",
            file=sys.stderr,
        )
        return 2
    findings = Findings()
    (ROOT / "var").mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="qface-python-", dir=ROOT / "var"))
    os.environ.pop("PYTHONPATH", None)
    try:
        inside = install(python, work, findings)
        bindings(inside, findings)
        serve(inside, work, findings)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.report:
        title = f"The GPU container's environment on Python {version}"
        options.report.write_text(findings.page(title, ABOUT))
    return 0 if findings.all_held else 1


if __name__ == "__main__":
    sys.exit(main())

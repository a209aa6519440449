"""Installs the client's wheel into a fresh environment of each Python here and uses it: `make check-client`.

    python -m tests.pythons [--only 3.12 ...] [--repository DIR] [--report FILE] [--without-tests]

Each environment gets the wheel and what it needs, nothing else. There the package is imported, and a photo is
sent to a real server by the client, its asyncio twin and `qface`; the answers have to be those of this
checkout's client. `LocalFaceClient` answers in another environment, with the extra `local` alone. Then come
the other extras and the test tools, and the client's unit tests run against the installed wheel. Prints a
Markdown table; the status is 1 when anything failed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.benchmark.faults.table import machine
from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient
from tests.helpers.paths import ROOT
from tests.pythons.interpreters import VERSIONS, find_interpreter

UV = ROOT / "requirements" / "uv"
PORTRAIT = ROOT / "tests" / "assets" / "astronaut.jpg"
HERE = Path(__file__).parent
EXTRAS = "frame,parquet,otel"
WITHOUT_LOCAL = {"3.10"}  # the server's code, which `LocalFaceClient` runs, needs 3.11
TEST_TOOLS = HERE / "test_tools.txt"
IMPORTS = 7  # fresh processes, of which the fastest counts: other programs only add to it
IMPORT = (
    "import sys, time; start = time.perf_counter(); used = time.process_time(); import qface_client;"
    "print(time.perf_counter() - start, time.process_time() - used);"
    "print(*{name.partition('.')[0] for name in sys.modules})"
)
# What importing the client must not load, where it is installed.
HEAVY = {"torch", "pandas", "pyarrow", "opentelemetry", "shtab", "runtime"}


@dataclass(kw_only=True)
class Row:
    """What was found with one Python."""

    version: str
    import_ms: float = 0.0
    import_core_ms: float = 0.0
    installed: dict[str, str] = field(default_factory=dict)  # distribution -> version
    local: str = "not run"
    unit_tests: str = "not run"
    failures: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=VERSIONS, metavar="3.N", help="these Pythons (all)")
    parser.add_argument("--repository", type=Path, default=ROOT / "var" / "repository")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--without-tests", action="store_true", help="not the client's unit tests")
    options = parser.parse_args(arguments)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # also where the shell has the first one ignored, for the tests
        signal.signal(number, signal.default_int_handler)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheel = build_wheel(folder / "wheels")
        rows, missing = [], []
        with GatewayServer(options.repository, rest_port=0) as server:
            with FaceClient(server.grpc_address) as client:
                wanted = client.analyze(PORTRAIT).to_json()
            for version in options.only:
                python = find_interpreter(version)
                if python is None:
                    missing.append(version)
                    continue
                print(f"Python {version}: {python}", file=sys.stderr)
                row = check(python, wheel, folder / version, url=server.grpc_address, wanted=wanted)
                if version not in WITHOUT_LOCAL:
                    check_local(python, wheel, folder / f"{version}-local", options.repository, wanted, row)
                if not options.without_tests:
                    run_unit_tests(row, wheel, folder / version)
                rows.append(row)
        text = report(rows, missing, wheel)
    print(text)
    if options.report:
        options.report.write_text(text + "\n", encoding="utf-8")
    return int(not rows or any(row.failures for row in rows))


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, in a folder."""
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / "client"], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check(python: Path, wheel: Path, folder: Path, *, url: str, wanted: Any) -> Row:
    """Install the wheel alone into an environment in `folder`, and use it."""
    subprocess.run([UV, "venv", "--quiet", "--python", python, folder], check=True)
    install(folder, [str(wheel)])
    found = in_environment(folder, "-I", str(HERE / "use_client.py"), str(PORTRAIT), url)
    if found.returncode:
        return Row(version=folder.name, failures=[f"using it: {last_line(found.stderr)}"])
    used = json.loads(found.stdout)
    row = Row(version=used["python"], installed=used["installed"])
    for way, answer in used["answers"].items():
        if answer != wanted:
            row.failures.append(f"another answer by {way}")
    loaded: set[str] = set()
    seconds, core_seconds = [], []
    for _ in range(IMPORTS):
        wall, core, *modules = in_environment(folder, "-I", "-c", IMPORT).stdout.split()
        seconds.append(float(wall))
        core_seconds.append(float(core))
        loaded |= set(modules)
    row.import_ms, row.import_core_ms = 1000 * min(seconds), 1000 * min(core_seconds)
    if too_much := sorted(loaded & HEAVY):
        row.failures.append(f"imports {', '.join(too_much)}")
    return row


def check_local(
    python: Path, wheel: Path, folder: Path, repository: Path, wanted: dict[str, Any], row: Row
) -> None:
    """`LocalFaceClient` in an environment of its own: the labels have to be the server's.

    Other digits may come of another version of OpenVINO.
    """
    subprocess.run([UV, "venv", "--quiet", "--python", python, folder], check=True)
    install(folder, [str(ROOT / "runtime"), f"{wheel}[local]"])
    ended = in_environment(folder, "-I", str(HERE / "use_local.py"), str(PORTRAIT), str(repository.resolve()))
    if ended.returncode:
        row.failures.append(f"LocalFaceClient: {last_line(ended.stderr)}")
        return
    found = json.loads(ended.stdout)
    row.local = f"yes, {len(found['installed'])} packages"
    if labels_of(found["answer"]) != labels_of(wanted):
        row.failures.append("LocalFaceClient has other labels")
    if "torch" in found["installed"]:
        row.failures.append("LocalFaceClient needs torch")


def labels_of(analysis: dict[str, Any]) -> list[dict[str, str]]:
    """The label of every answer that has one, face by face."""
    return [
        {
            task: answer["label"]
            for task, answer in face.items()
            if isinstance(answer, dict) and "label" in answer
        }
        for face in analysis["faces"]
    ]


def run_unit_tests(row: Row, wheel: Path, folder: Path) -> None:
    """The client's unit tests, against the installed wheel with its extras."""
    install(folder, [f"{wheel}[{EXTRAS}]", "--requirement", str(TEST_TOOLS)])
    (packages,) = folder.glob("lib/python3*/site-packages")
    shutil.copy(HERE / "backports.py", packages / "backports_for_tests.py")
    (packages / "backports_for_tests.pth").write_text(
        "import backports_for_tests\n"
    )  # when any Python starts
    ended = in_environment(
        folder,
        *("-m", "pytest", "--quiet", "-c", os.devnull, "--rootdir", str(ROOT), "--noconftest"),
        *("--import-mode=importlib", "-o", f"pythonpath={ROOT}", "-p", "no:cacheprovider"),
        *("-p", "tests.unit.client.conftest"),  # that of all tests needs the rest of the checkout
        str(ROOT / "tests" / "unit" / "client"),
        # Of the checkout, not the wheel; and of the extra `local`, which has a check of its own.
        *(f"--ignore={ROOT / 'tests' / 'unit' / 'client' / name}" for name in ("packaging", "local")),
        PYTHONPATH=str(ROOT),
    )
    row.unit_tests = last_line(ended.stdout)
    if ended.returncode:
        print(ended.stdout[-8000:], file=sys.stderr)
        row.failures.append("unit tests")


def install(folder: Path, what: list[str]) -> None:
    """Add packages to the environment in a folder."""
    python = folder / "bin" / "python"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *what], check=True)


def in_environment(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the environment's Python, in the environment's folder and with its programs first on PATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}", **variables}
    command = [str(folder / "bin" / "python"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def last_line(text: str) -> str:
    """The last line of a program's output."""
    return next((line.strip("= ") for line in reversed(text.splitlines()) if line.strip()), "no output")


def report(rows: list[Row], missing: list[str], wheel: Path) -> str:
    """The table, and which packages an environment has."""
    lines = [
        f"`{wheel.name}` ({wheel.stat().st_size / 1024:.0f} kB), each in a fresh environment: {machine()}.",
        "",
        "| Python | this checkout's answers | import: ms, core-ms | packages | local | unit tests |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        answers = "; ".join(row.failures) or "yes"
        imports = f"{row.import_ms:.0f}, {row.import_core_ms:.0f}"
        cells = [row.version, answers, imports, str(len(row.installed)), row.local, row.unit_tests]
        lines.append(f"| {' | '.join(cells)} |")
    if missing:
        lines += ["", f"Not at hand: Python {', '.join(missing)}."]
    if rows:
        newest = rows[-1]
        packages = ", ".join(f"{name} {version}" for name, version in newest.installed.items())
        lines += ["", f"The packages with Python {newest.version}: {packages}."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

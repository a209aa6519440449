"""`make fuzz`: every target under atheris for its time, one after the other, and a table of what came of it.

    make fuzz                                     # 20 minutes of pictures and crops, 10 of requests
    make fuzz ARGS="--minutes 1"                  # each target
    make fuzz ARGS="--target decode --minutes 60"

What a target has found to be new lies in var/fuzz/TARGET/corpus and is where the next run begins. Exit status
1 where a promise was broken: the input and the traceback lie in var/fuzz/TARGET, and the next run tries that
input again. Ctrl-C ends it with the table of what was done.
"""

import argparse
import dataclasses
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.helpers.paths import ROOT

_FOLDER = ROOT / "var" / "fuzz"
_TIMEOUT = 60  # seconds of one input, on a machine that others use too
_RSS_MEGABYTES = 1024
_EXECUTIONS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_EDGES = re.compile(r"\bcov: (\d+)")
_HEADER = "| target | minutes | executions | a second | edges covered | inputs kept | findings |\n"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one target. edges: branches of the Python code under test that were seen taken."""

    target: Target
    seconds: float
    executions: int
    edges: int
    kept: int
    findings: int

    def row(self) -> str:
        """Its line of the table."""
        cells = (
            f"{self.target.name}: {self.target.about}",
            f"{self.seconds / 60:.1f}",
            f"{self.executions:,}",
            f"{self.executions / max(self.seconds, 1e-9):,.0f}",
            f"{self.edges:,}",
            f"{self.kept:,}",
            f"{self.findings}",
        )
        return f"| {' | '.join(cells)} |\n"


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, help="of each target (default: its own)")
    parser.add_argument("--target", choices=tuple(TARGETS), action="append", help="default: all of them")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations; 0: another one each time")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="for corpora, logs and findings")
    options = parser.parse_args()
    outcomes = []
    interrupted = False
    try:
        for name in options.target or TARGETS:
            target = TARGETS[name]
            minutes = target.minutes if options.minutes is None else options.minutes
            print(f"{name}: {minutes:g} minutes", file=sys.stderr, flush=True)
            outcomes.append(fuzz(target, seconds=minutes * 60, seed=options.seed, folder=options.folder))
    except KeyboardInterrupt:
        interrupted = True
        print("fuzz: interrupted; the table has the targets that were done", file=sys.stderr)
    print(_HEADER + re.sub(r"[^|\n]+", "---", _HEADER) + "".join(outcome.row() for outcome in outcomes))
    return int(interrupted or any(outcome.findings for outcome in outcomes))


def fuzz(target: Target, *, seconds: float, seed: int, folder: Path) -> Outcome:
    """Fuzzes one target for some seconds, or until it has found something."""
    place = folder / target.name
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    earlier = [path.read_bytes() for path in place.glob("*-*")]  # which are tried again first
    for data in (*target.seeds(), *target.more_seeds(), *earlier):
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    for old in (*place.glob("finding.txt"), *place.glob("*-*")):
        old.unlink()
    command = [sys.executable, "-m", "tests.fuzz.child", target.name, str(place), "-print_final_stats=1"]
    command += [f"-max_total_time={max(1, round(seconds))}", f"-timeout={_TIMEOUT}", f"-seed={seed}"]
    command += [f"-rss_limit_mb={_RSS_MEGABYTES}", f"-artifact_prefix={place}/"]
    # Libraries report each damaged file.
    quiet = {"OPENCV_LOG_LEVEL": "OFF", "OMP_NUM_THREADS": "1"}
    log = place / "log.txt"
    began = time.monotonic()
    with log.open("wb") as sink:
        ended = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **quiet}, stdout=sink, stderr=sink, check=False
        )
    text = log.read_text(errors="replace")
    edges = _EDGES.findall(text)
    found = [path for path in place.glob("*-*") if not path.name.startswith("slow-unit-")]
    for path in found:
        print(f"{target.name}: see {path} and {log}", file=sys.stderr)
    executions = _EXECUTIONS.search(text)
    return Outcome(
        target=target,
        seconds=time.monotonic() - began,
        executions=int(executions[1]) if executions else 0,
        edges=int(edges[-1]) if edges else 0,
        kept=len(list(corpus.iterdir())),
        findings=max(len(found), int(ended.returncode != 0)),
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it in order, as Ctrl-C does
    sys.exit(main())

"""Thousands of pictures answered by `deploy.bulk`, whose processes are killed meanwhile: `make check-bulk`.

    make check-bulk                                             # 2,000 pictures, 10 to 30 minutes
    make check-bulk ARGS="--photos 200 --only folder --report FILE"

Made pictures of every sort (`tests/helpers/bulk_pictures.py`) are answered from a folder and from an S3
server, each in a run that nothing disturbs and in one that is killed twice (SIGKILL of the command) at random
times, and loses a worker and a process that answers besides. Every input has to be accounted for, with the
status that its sort has, and the killed runs' files have to be the same bytes as the others'. The status is 1
where that is not so.
"""

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from deploy.measuring.command import count
from tests.bulk.report import Report
from tests.bulk.source import Source, disturbed, undisturbed
from tests.helpers.bulk_pictures import BulkPicture, bulk_pictures, write_pictures
from tests.helpers.bulk_runs import PYTHON
from tests.helpers.paths import ROOT
from tests.helpers.s3_server import S3Server

SOURCES = ("folder", "s3")
BUCKET = "photos"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make check-bulk", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=count, default=2000, help="(default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--tasks", help="names, separated by commas (default: all of the repository's)")
    parser.add_argument("--repository", type=Path, default=ROOT / "var" / "repository")
    parser.add_argument("--chunk", type=count, help="photos of a chunk (default: the command's own)")
    parser.add_argument("--seed", type=int, help="of the times of the kills (default: another at every run)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there too")
    options = parser.parse_args(arguments)
    if not PYTHON.exists():
        print("check-bulk: there is no .venv-bulk: make .venv-bulk", file=sys.stderr)
        return 2
    seed = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
    report = Report(options, seed=seed)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qface-check-bulk-")))
        corpus = write_pictures(scratch / "pictures", bulk_pictures(options.photos, large=True))
        report.corpus(corpus.values())
        for name in options.only:
            source = _source(name, scratch, corpus, stack)
            print(f"check-bulk: {name}: a run that nothing disturbs", file=sys.stderr, flush=True)
            words = ["--network", str(options.repository), "--tasks", report.tasks]
            if options.chunk is not None:
                words += ["--chunk", str(options.chunk)]
            whole = undisturbed(source, scratch / f"{name}-whole", *words)
            print(f"check-bulk: {name}: a run that is killed twice", file=sys.stderr, flush=True)
            killed = disturbed(
                source,
                scratch / f"{name}-killed",
                *words,
                chunks=whole.parts,
                random=random.Random(f"{seed} {name}"),
            )
            report.source(source, whole, killed)
    text = report.text()
    print(text)
    if options.report is not None:
        options.report.write_text(text + "\n", encoding="utf-8")
    for fault in report.faults:
        print(f"check-bulk: {fault}", file=sys.stderr)
    return int(bool(report.faults))


def _source(name: str, scratch: Path, corpus: Mapping[str, BulkPicture], stack: ExitStack) -> Source:
    """The pictures in the folder, or in a bucket that is filled with them."""
    folder = scratch / "pictures"
    if name == "folder":
        return Source(name=name, address=str(folder), corpus=corpus)
    server = stack.enter_context(S3Server())
    server.fill(BUCKET, ((each, (folder / each).read_bytes()) for each in corpus))
    return Source(name=name, address=f"s3://{BUCKET}", corpus=corpus, environment=server.environment)


if __name__ == "__main__":
    sys.exit(main())

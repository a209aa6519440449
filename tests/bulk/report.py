"""What `make check-bulk` found, as Markdown."""

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from build.manifest import MANIFEST
from deploy.benchmark.faults.table import machine
from tests.bulk.source import Results, Source, answers, faults
from tests.helpers.bulk_pictures import SORTS, BulkPicture
from tests.helpers.bulk_runs import Run


class Report:
    """Collects what the runs over each source left."""

    def __init__(self, options: argparse.Namespace, *, seed: int) -> None:
        """`options`: those of the command."""
        self._photos: int = options.photos
        words = ["--photos", str(options.photos), "--seed", str(seed), "--only", *options.only]
        words += ["--chunk", str(options.chunk)] if options.chunk is not None else []
        words += ["--tasks", options.tasks] if options.tasks is not None else []
        self._command = f'make check-bulk ARGS="{" ".join(words)}"'
        self._manifest: dict[str, Any] = json.loads((options.repository / MANIFEST).read_text())
        self.tasks: str = options.tasks or ",".join(
            self._manifest["tasks"]
        )  # all that the repository answers
        self._sorts: Counter[str] = Counter()
        self._sections: list[str] = []
        self._first: tuple[str, dict[str, Any]] | None = None
        self.faults: list[str] = []

    def corpus(self, pictures: Iterable[BulkPicture]) -> None:
        self._sorts.update(picture.sort for picture in pictures)

    def source(self, source: Source, whole: Results, killed: Results) -> None:
        """Compare the runs, and keep what they took."""
        found = list(faults(source, whole, killed))
        own = answers(source, whole)
        same = ""
        if self._first is None:
            self._first = source.name, own
        else:
            name, first = self._first
            other = [picture for picture in first if first[picture] != own.get(picture)]
            same = f" Each picture has the answers of the {name}." if not other else ""
            if other:
                found.append(f"{source.name}: {len(other)} pictures have other answers than from the {name}")
        self.faults += found
        self._sections.append(_section(source, whole, killed, found=found, same=same))

    def text(self) -> str:
        """The whole report."""
        sorts = "\n".join(
            f"| {sort} | {count} | {'yes' if SORTS[sort].readable else 'no'} |"
            for sort, count in self._sorts.most_common()
        )
        return "\n\n".join(
            (
                "# Bulk runs that are killed",
                f"Written by `{self._command}`: {machine()}.",
                f"{self._photos:,} made pictures (`tests/helpers/bulk_pictures.py`), "
                f"{self.tasks.count(',') + 1} tasks, contract `{self._manifest['contract']}`:",
                f"| sort | pictures | can be read |\n|---|---:|---|\n{sorts}",
                *self._sections,
                "Everything is as it should be." if not self.faults else f"**{len(self.faults)} faults.**",
            )
        )


def _section(source: Source, whole: Results, killed: Results, *, found: list[str], same: str) -> str:
    summary = Run(killed.output).summary
    reasons = Counter(row["reason"] for row in Run(killed.output).photos if row["reason"])
    rows = "\n".join(f"| {reason} | {count} |" for reason, count in reasons.most_common(12))
    verdict = (
        "The killed run's files are the same bytes as those of the run that nothing disturbed, and every "
        f"input is accounted for.{same}"
    )
    return "\n\n".join(
        (
            f"## {source.name}",
            f"{summary['inputs']:,} inputs: {summary['done']:,} done, {summary['no_face']:,} without a face, "
            f"{summary['failed']:,} failed, {summary['missing']:,} missing; {summary['faces']:,} faces in "
            f"{killed.parts} chunks. {whole.seconds:.0f} s undisturbed, {killed.seconds:.0f} s killed.",
            "Killed: " + "; ".join(killed.killed) + ".",
            verdict if not found else "\n".join(f"- {fault}" for fault in found),
            f"| reason of a failure | pictures |\n|---|---:|\n{rows}",
        )
    )

"""Runs over one source, undisturbed and killed, and what is wrong with their results."""

import contextlib
import os
import random as randomness
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.bulk.photo import Status
from tests.helpers.bulk_pictures import BulkPicture
from tests.helpers.bulk_runs import (
    Run,
    answering_processes,
    finished,
    running,
    until_parts,
    workers,
)

# Of the chunks, after how many the command is killed: in the first half, and in the second.
_KILLS = ((0.1, 0.45), (0.5, 0.85))
_TIMEOUT = 7200.0  # seconds of a run that hangs
_JITTER = 1.0  # seconds, so that a kill meets a chunk at any point


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the pictures lie, and what they are."""

    name: str
    address: str
    corpus: Mapping[str, BulkPicture]
    environment: Mapping[str, str] = field(default_factory=dict)

    def name_of(self, file: str) -> str:
        """A picture's name by the address that a row of the results has."""
        return file.removeprefix(f"{self.address}/")


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a run left."""

    output: Path
    seconds: float
    parts: int
    killed: tuple[str, ...]  # what was killed when, in words


def undisturbed(source: Source, output: Path, *words: str) -> Results:
    """A run from its start to its end."""
    began = time.monotonic()
    finished(source.address, "--output", output, *words, environment=source.environment, timeout=_TIMEOUT)
    return Results(output=output, seconds=time.monotonic() - began, parts=Run(output).parts, killed=())


def disturbed(source: Source, output: Path, *words: str, chunks: int, random: randomness.Random) -> Results:
    """The same, killed twice and begun again by the same command, while single processes of it are killed."""
    began, killed = time.monotonic(), list[str]()
    for low, high in _KILLS:
        after = max(1, round(random.uniform(low, high) * chunks))
        with running(source.address, "--output", output, *words, environment=source.environment) as process:
            for title, find in (("a process that answers", answering_processes), ("a worker", workers)):
                until_parts(process, output, random.randint(Run(output).parts, after), timeout=_TIMEOUT)
                found = find(process.pid)
                if found:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(random.choice(found), signal.SIGKILL)
                        killed.append(f"{title} after {Run(output).parts} chunks")
            until_parts(process, output, after, timeout=_TIMEOUT)
            time.sleep(random.uniform(0.0, _JITTER))
            if process.poll() is None:
                process.kill()
                killed.append(f"the command after {Run(output).parts} chunks")
    finished(source.address, "--output", output, *words, environment=source.environment, timeout=_TIMEOUT)
    return Results(
        output=output,
        seconds=time.monotonic() - began,
        parts=Run(output).parts,
        killed=tuple(killed),
    )


def faults(source: Source, whole: Results, killed: Results) -> Iterator[str]:
    """What is not as it should be, a sentence each."""
    if sum(title.startswith("the command") for title in killed.killed) < len(_KILLS):
        yield f"{source.name}: the run ended before it was killed {len(_KILLS)} times: give more --photos"
    before, after = Run(whole.output).files, Run(killed.output).files
    if before.keys() != after.keys():
        yield f"{source.name}: other files: {', '.join(sorted(before.keys() ^ after.keys())[:5])}"
    other = [name for name in before.keys() & after.keys() if before[name] != after[name]]
    if other:
        yield f"{source.name}: {len(other)} files have other bytes: {', '.join(sorted(other)[:5])}"
    for title, run in (("undisturbed", whole), ("killed", killed)):
        for fault in _unaccounted(source, run.output):
            yield f"{source.name}, {title}: {fault}"


def _unaccounted(source: Source, output: Path) -> Iterator[str]:
    """Where the rows of a run are not those of its inputs."""
    summary = Run(output).summary
    if summary["missing"] or summary["inputs"] != len(source.corpus):
        yield f"{summary['inputs']} inputs of {len(source.corpus)}, {summary['missing']} missing"
    photos = Run(output).photos
    rows = Counter(source.name_of(row["file"]) for row in photos)
    if lost := source.corpus.keys() - rows.keys():
        yield f"{len(lost)} pictures have no row: {sorted(lost)[:3]}"
    if twice := [name for name, times in rows.items() if times > 1 or name not in source.corpus]:
        yield f"{len(twice)} rows are twice, or of no picture: {sorted(twice)[:3]}"
    wrong = [
        source.name_of(row["file"])
        for row in photos
        if (row["status"] == Status.FAILED) == source.corpus[source.name_of(row["file"])].readable
        or (row["status"] == Status.FAILED) != bool(row["reason"])
    ]
    if wrong:
        yield f"{len(wrong)} pictures have another status than theirs: {sorted(wrong)[:3]}"
    faces = Counter(row["photo"] for row in Run(output).faces)
    with_faces = {row["photo"] for row in photos if row["status"] == Status.DONE}
    if faces.keys() != with_faces or sum(faces.values()) != summary["faces"]:
        yield "the rows of faces are not those of the photos that have some"


def answers(source: Source, run: Results) -> dict[str, Any]:
    """What each picture got, without its number and address: the same from every source."""
    names: dict[int, str] = {}
    found: dict[str, Any] = {}
    for row in Run(run.output).photos:
        name = names[row.pop("photo")] = source.name_of(row.pop("file"))
        found[name] = row, []
    for face in Run(run.output).faces:
        del face["file"]
        found[names[face.pop("photo")]][1].append(face)
    return found

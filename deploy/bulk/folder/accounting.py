"""The check at a run's end: every input of the listing has its row; a summary of what became of them."""

import collections
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow

from deploy.bulk.chunks import Counts
from deploy.bulk.folder.run_folder import RunFolder
from deploy.bulk.photo import Cause, Status
from deploy.bulk.settings import RunSettings
from deploy.bulk.tables import BELOW_QUALITY, read_part
from qface_client.contract import Contract

_MOST_NAMED = 20  # chunks in the summary
# What a part raises that was removed, cut, or exchanged for another.
_AT_FAULT = (OSError, ValueError, LookupError, pyarrow.ArrowException)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of every input."""

    inputs: int
    counts: Counts
    causes: dict[str, int]  # failed photos by photo.Cause
    missing: int  # inputs without a row
    chunks_at_fault: tuple[str, ...]  # what is wrong with which chunk, at most some
    faces_below_quality: int | None = None  # left out; None: the network states no quality

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1) + "\n"

    def to_dict(self) -> dict[str, Any]:
        below = self.faces_below_quality
        return {
            "inputs": self.inputs,
            **{name: count for name, count in dataclasses.asdict(self.counts).items() if name != "faces"},
            "missing": self.missing,
            "faces": self.counts.faces,
            **({} if below is None else {BELOW_QUALITY: below}),
            "failed_by_cause": self.causes,
            "chunks_at_fault": list(self.chunks_at_fault),
        }


def account(folder: RunFolder, settings: RunSettings) -> Summary:
    """Compare all parts with the listing, one at a time."""
    causes: collections.Counter[str] = collections.Counter()
    counts, missing, faults = Counts(), 0, list[str]()
    below = None if Contract.from_dict(settings.answered_by.contract).quality is None else 0
    for chunk in range(settings.chunks):
        listed = [photo.address for photo in folder.photos_of(chunk, settings)]
        try:
            found = _rows(folder.photos_part(chunk), first=chunk * settings.chunk_size, listed=listed)
            faces = _faces(folder.faces_part(chunk), found, first=chunk * settings.chunk_size)
            if below is not None:
                below += _below_quality(folder.photos_part(chunk))
        except _AT_FAULT as error:
            missing += len(listed)
            faults.append(f"{chunk}: {' '.join(str(error).split())}")
            continue
        statuses = collections.Counter(status for status, _ in found)
        causes.update(str(cause) for status, cause in found if status == Status.FAILED)
        counts += Counts(
            done=statuses[Status.DONE],
            no_face=statuses[Status.NO_FACE],
            failed=statuses[Status.FAILED],
            faces=faces,
        )
    return Summary(
        inputs=settings.inputs,
        counts=counts,
        causes={cause.value: causes[cause.value] for cause in Cause if causes[cause.value]},
        missing=missing,
        chunks_at_fault=tuple(faults[:_MOST_NAMED]),
        faces_below_quality=below,
    )


def failed_photos(folder: RunFolder, settings: RunSettings) -> Iterator[tuple[int, frozenset[int]]]:
    """Of each whole chunk that has failed photos, its number and theirs; `account` names those at fault."""
    for chunk in range(settings.chunks):
        if not folder.is_whole(chunk):
            continue
        first = chunk * settings.chunk_size
        listed = [photo.address for photo in folder.photos_of(chunk, settings)]
        try:
            found = _rows(folder.photos_part(chunk), first=first, listed=listed)
        except _AT_FAULT:
            continue
        failed = (first + index for index, (status, _) in enumerate(found) if status == Status.FAILED)
        if numbers := frozenset(failed):
            yield chunk, numbers


def _rows(part: Path, *, first: int, listed: list[str]) -> list[tuple[str, str | None]]:
    """Status and cause of each photo; ValueError where the rows are not those of the listing."""
    table = read_part(part, columns=["photo", "file", "status", "cause"])
    numbers = list(range(first, first + len(listed)))
    if table["photo"].to_pylist() != numbers or table["file"].to_pylist() != listed:
        raise ValueError("its rows are not the inputs of the listing")
    return list(zip(table["status"].to_pylist(), table["cause"].to_pylist(), strict=True))


def _below_quality(part: Path) -> int:
    """How many faces were left out of the answers."""
    return sum(count or 0 for count in read_part(part, columns=[BELOW_QUALITY])[BELOW_QUALITY].to_pylist())


def _faces(part: Path, found: list[tuple[str, str | None]], *, first: int) -> int:
    """How many faces there are; ValueError where they are not those of the chunk's photos."""
    numbers = read_part(part, columns=["photo"])["photo"].to_pylist()
    if set(numbers) != {first + index for index, (status, _) in enumerate(found) if status == Status.DONE}:
        raise ValueError("its faces are not those of its photos")
    return len(numbers)

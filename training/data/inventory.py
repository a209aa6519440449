"""Counts a data set before it is prepared: whether it is complete, and which entries are selected.

The data set is read once to count and once to prepare, so that sets of many millions of pictures need no
memory for their list.
"""

import array
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.addresses import Address
from training.data.reader import LayoutError, Reader
from training.data.sample import BadSample, Sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inventory:
    """Counts of what a reader yields."""

    entries: int  # malformed ones among them
    counts: dict[str, int]  # pictures by split, of those that exist
    malformed: int
    first_malformed: str  # its key, and what is wrong with it; "" for none
    missing: int  # files that the set's lists name and that do not exist
    first_missing: Path | None
    repeated_hashes: Collection[int]  # hashes of keys that may occur twice
    digest: str  # of all keys, splits and labels: identifies the set's content
    sizes: str  # a digest of the sizes of all files of pictures and masks: tells that some were replaced

    @property
    def pictures(self) -> int:
        return sum(self.counts.values())


def take_inventory(reader: Reader, source: Path | Address) -> Inventory:
    """Count a data set. Raises LayoutError for a folder that does not have its layout."""
    if isinstance(source, Path) and not source.is_dir() and not (reader.takes_files and source.is_file()):
        raise LayoutError(f"{source} is no folder: name the one that {reader.title} was unpacked into")
    counts: Counter[str] = Counter()
    hashes = array.array("q")
    digest, sizes = hashlib.sha256(), hashlib.sha256()
    entries = malformed = missing = 0
    first_missing: Path | None = None
    first_malformed = ""
    is_packed = False  # pictures lie in the source's own files
    for entry in reader.read(_path(source)):
        entries += 1
        hashes.append(hash(entry.key))
        if isinstance(entry, BadSample):
            malformed += 1
            first_malformed = first_malformed or f"{entry.key} ({entry.reason})"
            digest.update(repr(entry.key).encode())
            continue
        digest.update(repr((entry.key, entry.split, entry.person, entry.subset, entry.labels)).encode())
        is_packed = is_packed or not isinstance(entry.picture, Path)
        sizes.update(repr([_size(place) for place in (entry.picture, entry.mask)]).encode())
        if is_picture_missing(entry):
            missing += 1
            first_missing = first_missing or Path(str(entry.picture))
        else:
            counts[entry.split] += 1
    if is_packed and reader.named_by_source and isinstance(source, Path):
        files = sorted(source.glob("*.tar")) if source.is_dir() else [source]
        sizes.update(repr([_size(file) for file in files]).encode())
    values, times = np.unique(np.frombuffer(hashes, np.int64), return_counts=True)
    return Inventory(
        entries=entries,
        counts=dict(counts),
        malformed=malformed,
        first_malformed=first_malformed,
        missing=missing,
        first_missing=first_missing,
        repeated_hashes=frozenset(values[times > 1].tolist()),
        digest=digest.hexdigest(),
        sizes=sizes.hexdigest(),
    )


def _size(place: object) -> int | None:
    """A file's bytes; None for what is no file, or can't be reached."""
    try:
        return place.stat().st_size if isinstance(place, Path) else None
    except (OSError, ValueError):
        return None


def is_picture_missing(sample: Sample) -> bool:
    """Whether a sample's picture is a file that does not exist."""
    return isinstance(sample.picture, Path) and not sample.picture.exists()


def find_shortage(reader: Reader, source: Path | Address, inventory: Inventory) -> str | None:
    """What this folder lacks of the official release, in a sentence; None for a complete set."""
    absent = [name for name in reader.expected.files if not (_path(source) / name).exists()]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        return f"{_path(source) / absent[0]}{more} is missing"
    if inventory.missing:
        first = inventory.first_missing
        return f"{inventory.missing} pictures that the lists name are missing, the first is {first}"
    for split, expected in reader.expected.counts.items():
        count = inventory.pictures if split == "all" else inventory.counts.get(split, 0)
        # A malformed entry counts too, though it has no split.
        if count + inventory.malformed < expected:
            part = "" if split == "all" else f" for {split}"
            return f"{source} has {count} pictures{part}, the official release {expected}"
    return None


def select_numbers(inventory: Inventory, *, limit: int | None) -> NDArray[np.int64]:
    """The numbers of the entries that are prepared: all, or `limit` of them, evenly spread."""
    if limit is None or limit >= inventory.entries:
        return np.arange(inventory.entries)
    return np.linspace(0, inventory.entries - 1, limit).astype(np.int64)


def read_entries(
    reader: Reader, source: Path | Address, inventory: Inventory, *, numbers: NDArray[np.int64]
) -> Iterator[Sample | BadSample]:
    """The entries of these numbers (in rising order); a key's second entry is a malformed one."""
    selected = iter(numbers.tolist())
    upcoming = next(selected, None)
    seen: set[str] = set()
    for number, entry in enumerate(reader.read(_path(source))):
        if upcoming is None:
            return
        is_repeated = entry.key in seen
        if hash(entry.key) in inventory.repeated_hashes:
            seen.add(entry.key)
        if number != upcoming:
            continue
        upcoming = next(selected, None)
        yield BadSample(key=entry.key, reason="the set names it twice") if is_repeated else entry


def _path(source: Path | Address) -> Path:
    """What a reader is given; that of an address has opened it already."""
    return source if isinstance(source, Path) else Path(str(source))

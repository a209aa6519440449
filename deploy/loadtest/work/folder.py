"""Pictures of an operator's own: which files of a folder are sent."""

import dataclasses
import os
import stat
from collections import Counter
from pathlib import Path

from deploy.benchmark.collages import PICTURES

_MOST_BYTES = 64 << 20  # of a file: more is no photo that a server takes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder:
    """The chosen files, smallest first, and a sentence on those that are left out ("": none are)."""

    files: tuple[Path, ...]
    note: str


def choose(folder: Path, *, limit: int) -> Folder:
    """At most `limit` pictures below a folder, of all sizes of file, the same at every run.

    ValueError with a sentence for a folder that can't be read, and for one without a picture.
    """
    left: Counter[str] = Counter()
    found: list[tuple[int, str, Path]] = []
    try:
        folder.stat()
        for here, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in names:
                path = Path(here) / name
                if reason := _reason_against(path):
                    left[reason] += 1
                else:
                    found.append((path.stat().st_size, str(path), path))
    except OSError as error:
        raise ValueError(
            f"{error.filename or folder} can't be read ({error.strerror}): give a folder of pictures"
        ) from None
    if not found:
        also = f"; it has {_counted(left)}" if left else ""
        raise ValueError(
            f"{folder} has no picture ({', '.join(PICTURES)}){also}: give a folder that has some"
        )
    found.sort()
    if len(found) > limit:
        left["above the limit"] = len(found) - limit
        # Evenly over the sizes, so that what is sent is as large as what is there.
        found = [found[number * len(found) // limit] for number in range(limit)]
    note = f"of the files below {folder} were left out: {_counted(left)}" if left else ""
    return Folder(files=tuple(path for *_, path in found), note=note)


def _reason_against(path: Path) -> str:
    """Why a file is left out; "" for a picture."""
    if path.name.startswith("."):
        return "hidden"
    if path.suffix.lower() not in PICTURES:
        return "of other types"
    try:
        status = path.stat()
    except FileNotFoundError:
        return "linked to nothing"
    if not stat.S_ISREG(status.st_mode):
        return "not regular"
    return "larger than 64 MiB" if status.st_size > _MOST_BYTES else ""


def _counted(left: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left.items()))


def _raise(error: OSError) -> None:
    raise error

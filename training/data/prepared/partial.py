"""A prepared set that is being written: DIR/NAME.partial, its progress, and the lock of its writer."""

import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROGRESS = "progress.json"
# All files of a set, partial or finished.
_FILE_PATTERNS = ("shard-*.tar", "shard-*.npz", "index.npz", "manifest.json", "*.new")
# What earlier versions did not record of sets: it is compared where it stands.
_RECORDED_LATER = frozenset({"pictures"})
_LISTED = 100  # skipped pictures of each reason whose keys are kept; all are counted


@dataclasses.dataclass(kw_only=True)
class Progress:
    """What the finished shards hold; the file is rewritten after each shard. The fields are keys on disk."""

    options: dict[str, Any]  # what the set depends on: a command with others can't continue it
    dealt: int = 0  # inputs processed, skipped ones among them
    shards: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # name, faces, bytes, sha256
    faces: dict[str, int] = dataclasses.field(default_factory=dict)  # by split
    labelled: dict[str, int] = dataclasses.field(default_factory=dict)  # faces by task
    labelled_by: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # by task
    skipped: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # by reason: count, first

    def skip(self, reason: str, key: str) -> None:
        """Count a skipped input."""
        entry = self.skipped.setdefault(reason, {"count": 0, "first": []})
        entry["count"] += 1
        if len(entry["first"]) < _LISTED:
            entry["first"].append(key)

    def copy(self) -> "Progress":
        """A deep copy."""
        return Progress(**json.loads(json.dumps(dataclasses.asdict(self))))


class PartialSet:
    """The folder beside a set in which it is written, locked by this process.

    A folder that an earlier process left is continued: `progress` has its state, and files after its last
    finished shard are removed. Raises ValueError when another process holds the lock, when the folder has
    other `options`, and when `folder` exists and is not a prepared set.
    """

    def __init__(self, folder: Path, *, options: Mapping[str, Any]) -> None:
        if folder.exists() and not (folder / "manifest.json").exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} is there and is not a prepared set: name another output")
        self.target = folder
        self.path = folder.with_name(f"{folder.name}.partial")
        self._lock: int | None = _lock_folder(self.path)
        try:
            self.progress = self._read(json.loads(json.dumps(options)))
            finished = {_PROGRESS} | {
                f"{s['name']}{end}" for s in self.progress.shards for end in (".tar", ".npz")
            }
            for path in [path for pattern in _FILE_PATTERNS for path in self.path.glob(pattern)]:
                if path.name not in finished:
                    path.unlink()
        except BaseException:
            self.release()
            raise

    def _read(self, options: dict[str, Any]) -> Progress:
        try:
            progress = Progress(**json.loads((self.path / _PROGRESS).read_text()))
        except FileNotFoundError:
            return Progress(options=options)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.path / _PROGRESS} is damaged ({error}): delete {self.path}") from None
        changed = [
            f"{name} was {progress.options.get(name)} and is {options.get(name)}"
            for name in changed_options(progress.options, options)
        ]
        if changed:
            raise ValueError(
                f"{self.path} was begun with other options ({'; '.join(changed)}): repeat the command that "
                "began it, or delete it to begin anew"
            )
        return progress

    def save(self, progress: Progress) -> None:
        """Write the progress; the shards in it are on the disk already."""
        write_durably(self.path / _PROGRESS, json.dumps(dataclasses.asdict(progress)).encode())
        self.progress = progress

    def publish(self) -> None:
        """Rename the folder to the set's, replacing an older set.

        Files that only a partial set needs are removed last, so that a killed process can be continued.
        """
        old = self.target.with_name(f"{self.target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self.target.exists():
            self.target.rename(old)
        self.path.rename(self.target)
        for path in (self.target / _PROGRESS, *self.target.glob("shard-*.npz")):
            path.unlink(missing_ok=True)
        self.release()
        shutil.rmtree(old, ignore_errors=True)

    def release(self) -> None:
        """Release the lock; an empty folder is removed."""
        if self._lock is None:
            return
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()
        os.close(self._lock)
        self._lock = None


def changed_options(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names of the options that differ between what a set was begun with and what it is asked for."""
    return [
        name
        for name in sorted(earlier.keys() | now.keys())
        if earlier.get(name) != now.get(name) and (name in earlier or name not in _RECORDED_LATER)
    ]


def write_durably(path: Path, content: bytes) -> None:
    """Write a file atomically, also across a power cut: the new content or the old."""
    partial = path.with_name(f"{path.name}.new")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _lock_folder(path: Path) -> int:
    """Create and lock the folder; returns the descriptor. The lock ends with the process."""
    while True:
        path.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # the process that held it has just published or removed it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise ValueError(
                f"another process is preparing {path}: wait for it, or name another output"
            ) from None
        # Between open and lock the folder may have become the finished set.
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)

"""Small file systems that one gateway alone sees: filled, they give it a full disk, and the machine none."""

import contextlib
import functools
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

NOBODY_MOUNTS = "not done: this machine lets nobody mount"

# As root, and as anybody where the kernel gives users a namespace of their own.
_WAYS = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))
_BLOCK = bytes(1 << 16)
_LOOK_SECONDS = 0.05


@functools.cache
def way_to_mount() -> tuple[str, ...] | None:
    """The words before a command that may then mount what nobody else sees; None where there are none."""
    for words in _WAYS:
        with contextlib.suppress(OSError):
            tried = subprocess.run(
                [*words, "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], capture_output=True, check=False
            )
            if tried.returncode == 0:
                return words
    return None


def mounted(sizes: Mapping[Path, int], *, files: int = 0) -> tuple[str, ...]:
    """Words before a command, which becomes it with an empty file system of so many bytes at each folder.

    files   how many each holds (0: any number)
    No words where nobody may mount: see `way_to_mount`.
    """
    way = way_to_mount()
    if way is None:
        return ()
    inodes = f",nr_inodes={files}" if files else ""
    mounts = [f"mount -t tmpfs -o size={size}{inodes} tmpfs '{path}'" for path, size in sizes.items()]
    return (*way, "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh")


def seen_by(pid: int, path: Path) -> Path:
    """What a process sees at this path, from here."""
    return Path(f"/proc/{pid}/root{path}")


class Filler:
    """Keeps a file system full for as long as the block lasts, of what others free too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "filler"
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep_full, name="filler", daemon=True)

    def __enter__(self) -> Self:
        self._folder.mkdir()
        self._fill()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def _keep_full(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            self._fill()

    def _fill(self) -> None:
        with contextlib.suppress(OSError), (self._folder / "blocks").open("ab", buffering=0) as file:
            for block in (_BLOCK, _BLOCK[:4096]):
                with contextlib.suppress(OSError):
                    while file.write(block) == len(block):
                        pass
        about = os.statvfs(self._folder)
        with contextlib.suppress(OSError):
            for number in range(about.f_ffree if about.f_files < 10_000 else 0):
                (self._folder / f"{about.f_ffree}-{number}").touch(exist_ok=False)

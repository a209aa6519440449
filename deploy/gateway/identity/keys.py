"""API keys from a file: named and hashed, each with its rate and the tasks that it may ask for.

    [keys.camera-3]
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    rate = 50                      # requests a second; left out: no rate of its own
    tasks = ["expression", "age"]  # left out: all that are served

A key is 256 random bits, so its plain SHA-256 can't be reversed by guessing: a slow hash (scrypt, Argon2)
protects secrets that people choose, and would cost every request what it costs an attacker.
`python -m deploy.gateway keys` writes the file; it is read again when it changes.
"""

import dataclasses
import hashlib
import hmac
import math
import re
import secrets
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deploy.gateway.identity.protected_files import FileState, UnusableFile, read_file, state_of

# A bare TOML key, and safe in logs and as a metric's label.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
TASK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PREFIX = "qface_"  # by which secret scanners find a key that was published by mistake
_FIELDS = frozenset({"sha256", "rate", "tasks"})
_LOOK_SECONDS = 1.0  # between looks at whether the file has changed
_WHAT = "the file of API keys"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApiKey:
    """One entry of the file."""

    name: str
    sha256: bytes  # of the key's text
    rate: float | None = None  # requests a second; None: no rate of its own
    tasks: frozenset[str] | None = None  # None: all that are served


def new_key() -> str:
    """A fresh key of 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> bytes:
    """What the file keeps of a key: its SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def parse_keys(text: str, *, source: str) -> tuple[ApiKey, ...]:
    """The keys of a TOML text; UnusableFile names the entry of `source` that is wrong, and never its hash."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnusableFile(f"{source} is not valid TOML: {error}") from None
    entries = content.get("keys", {})
    if content.keys() - {"keys"} or not isinstance(entries, dict):
        raise UnusableFile(f"{source} holds tables [keys.NAME] and nothing else")
    keys = tuple(_parse_key(name, entry, source=source) for name, entry in entries.items())
    names: dict[bytes, str] = {}
    for key in keys:
        if (other := names.setdefault(key.sha256, key.name)) != key.name:
            raise UnusableFile(f"{source}: {other} and {key.name} are the same key; remove one")
    return keys


def _parse_key(name: str, entry: Any, *, source: str) -> ApiKey:
    def wrong(sentence: str) -> UnusableFile:
        return UnusableFile(f"{source}, [keys.{name}]: {sentence}")

    if not NAME.fullmatch(name):
        raise UnusableFile(f"{source}: {name!r} is no key's name: use letters, digits, - and _, at most 64")
    if not isinstance(entry, dict):
        raise wrong("it must be a table")
    if unknown := sorted(entry.keys() - _FIELDS):
        raise wrong(f"unknown field {unknown[0]}; there are sha256, rate and tasks")
    digest, rate, tasks = entry.get("sha256"), entry.get("rate"), entry.get("tasks")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest.lower()):
        raise wrong("sha256 must be the key's SHA-256, 64 hexadecimal digits")
    if rate is not None and (
        isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate) or rate <= 0
    ):
        raise wrong("rate must be requests a second, more than 0; leave it out for no rate")
    if tasks is not None and (
        not isinstance(tasks, list)
        or not tasks
        or not all(isinstance(task, str) and TASK.fullmatch(task) for task in tasks)
    ):
        raise wrong('tasks must be a list of tasks\' names, such as ["a", "b"]; leave it out for all')
    return ApiKey(
        name=name,
        sha256=bytes.fromhex(digest),
        rate=None if rate is None else float(rate),
        tasks=None if tasks is None else frozenset(tasks),
    )


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file; UnusableFile if it can't be used or others can read or change it."""
    text = read_file(path, what=_WHAT, secret=True).decode("utf-8", "replace")
    return parse_keys(text, source=f"{_WHAT} {path}")


class KeyFile:
    """The keys of a file as they stand now. A broken new file keeps the old keys, and logs one sentence.

    UnusableFile from the constructor, where there are no old keys to keep.
    """

    def __init__(
        self,
        path: Path,
        *,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._log = log
        self._clock = clock
        self._state: FileState = state_of(path)  # before the content: a change in between is seen next time
        self._by_digest: Mapping[bytes, ApiKey] = _by_digest(read_keys(path))
        self._look_at = clock() + _LOOK_SECONDS

    def find(self, key: str) -> ApiKey | None:
        """The entry of a key's text; None if there is none. Follows the file, one look a second at most."""
        if self._clock() >= self._look_at:
            self.follow()
        digest = hash_of(key)
        # How long a lookup by hash takes depends on the hash alone, from which nobody learns a key; what
        # was found is then compared in constant time.
        found = self._by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(found.sha256, digest) else None

    def follow(self, *, always: bool = False) -> None:
        """Read the file again if it has changed (`always`: even if it seems unchanged)."""
        self._look_at = self._clock() + _LOOK_SECONDS
        state = state_of(self._path)
        if state == self._state and not always:
            return
        self._state = state
        try:
            keys = _by_digest(read_keys(self._path))
        except UnusableFile as error:
            self._log(f"{error}; the {len(self._by_digest)} keys read before stay in force")
            return
        self._by_digest = keys
        self._log(f"read {len(keys)} API keys from {self._path}")


def _by_digest(keys: tuple[ApiKey, ...]) -> dict[bytes, ApiKey]:
    return {key.sha256: key for key in keys}

"""Random splits of sets that come without one: the same on every machine and in every run."""

import hashlib
from collections.abc import Collection


def random_subset(
    keys: Collection[str], *, fraction: float | None = None, count: int | None = None
) -> set[str]:
    """A random part of `keys`: a `fraction` of them (rounded), or `count` of them.

    The part depends on the names alone, through their SHA-256, so that every run and every machine
    draws the same.
    """
    if (fraction is None) == (count is None):
        raise ValueError("pass either fraction or count")
    size = round(len(keys) * fraction) if fraction is not None else count
    return set(sorted(keys, key=_hash)[:size])


def name_fraction(name: str) -> float:
    """A number in 0..1 that follows from the name alone: for splits that more names don't change."""
    return int(_hash(name)[:8], 16) / 2**32


def _hash(key: str) -> str:
    # A file's name may hold bytes that are no text.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()

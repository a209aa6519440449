"""Groups of pictures that look alike, by the bits in which their hashes differ."""

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from .pictures import HASH_BITS

T = TypeVar("T", bound=Hashable)

MOST_BITS = 10  # in which the hashes of near copies differ, of 128
# Of two hashes that differ in so few bits, one of these bands is the same in both.
_BANDS = MOST_BITS + 1
_EDGES = [round(band * HASH_BITS / _BANDS) for band in range(_BANDS + 1)]
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def distance(one: int, other: int) -> int:
    """In how many bits two hashes differ."""
    return bin(one ^ other).count("1")


def groups(hashes: Mapping[T, int]) -> list[list[T]]:
    """Those that are near copies of each other, directly or by others between them, in the order of `hashes`.

    The largest group first; what has no copy is in none.
    """
    joined, first_of = _Joined(hashes), dict[int, T]()
    for key, bits in hashes.items():
        joined.join(first_of.setdefault(bits, key), key)
    distinct = list(first_of)
    for start, end in itertools.pairwise(_EDGES):
        alike: dict[int, list[int]] = defaultdict(list)
        for bits in distinct:
            alike[(bits >> start) & ((1 << (end - start)) - 1)].append(bits)
        for band in alike.values():
            for one, other in _near(band):
                joined.join(first_of[one], first_of[other])
    return sorted((group for group in joined.groups() if len(group) > 1), key=lambda group: -len(group))


def _near(band: Sequence[int]) -> Iterable[tuple[int, int]]:
    """The pairs of near copies among hashes."""
    if len(band) < 2:
        return
    size = HASH_BITS // 8
    table = np.frombuffer(b"".join(bits.to_bytes(size, "big") for bits in band), np.uint8).reshape(-1, size)
    for place in range(1, len(band)):
        differing = _ONES[table[:place] ^ table[place]].sum(axis=1, dtype=np.int32)
        for other in np.flatnonzero(differing <= MOST_BITS).tolist():
            yield band[other], band[place]


class _Joined(dict[T, T]):
    """Sets that are joined: each item leads to another one of its set, the first of them to itself."""

    def __init__(self, items: Iterable[T]) -> None:
        super().__init__((item, item) for item in items)
        self._order = {item: number for number, item in enumerate(self)}

    def first(self, item: T) -> T:
        while self[item] != item:
            self[item] = self[self[item]]
            item = self[item]
        return item

    def join(self, one: T, other: T) -> None:
        early, late = sorted((self.first(one), self.first(other)), key=self._order.__getitem__)
        self[late] = early

    def groups(self) -> list[list[T]]:
        found: dict[T, list[T]] = defaultdict(list)
        for item in self:
            found[self.first(item)].append(item)
        return list(found.values())

"""Pictures that are nearly the same, across splits: none is to be learned from and measured on.

A picture's hash is perceptual (Zauner 2010): signs of the low frequencies of its small grey copy, 64 bits
that compression, size and brightness hardly change.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE, _LOW = 32, 8
# Bits of 64 that may differ. Copies that were compressed and resized differ in 0 to 4, other faces of one
# pose and frame in 12 or more.
DISTANCE = 4
_BANDS = DISTANCE + 1  # one of so many parts of the hash is the same where no more bits differ


def perceptual_hash(picture: NDArray[np.uint8]) -> int:
    """64 bits of a picture [H, W, 3]."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_LOW, :_LOW].reshape(-1)
    # The first one is the brightness, which says nothing of what is seen.
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_copies(hashes: Sequence[int], splits: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of places of different splits whose hashes differ in DISTANCE bits at most, in order."""
    found: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        places = defaultdict[int, list[int]](list)
        for place, value in enumerate(hashes):
            places[_band(value, band)].append(place)
        for group in places.values():
            found.update(_pairs(group, hashes, splits))
    return sorted(found)


def _band(value: int, band: int) -> int:
    low, high = (64 * n // _BANDS for n in (band, band + 1))
    return value >> low & (1 << high - low) - 1


def _pairs(group: Sequence[int], hashes: Sequence[int], splits: Sequence[str]) -> Iterator[tuple[int, int]]:
    for i, one in enumerate(group):
        for other in group[i + 1 :]:
            if splits[one] != splits[other] and (hashes[one] ^ hashes[other]).bit_count() <= DISTANCE:
                yield one, other

"""What a fuzz target is: a function of bytes that raises where a promise is broken, and its first inputs."""

import dataclasses
import random
from collections.abc import Callable, Iterable, Sequence

# Changes bytes at random: libFuzzer's own way, or that of the quick form in the tests.
Change = Callable[[bytes, int], bytes]


class Broken(AssertionError):
    """A promise that does not hold, in a sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """One thing to fuzz.

    run           takes any bytes; returns where all promises hold and raises anything else where one does not
    seeds         what the corpus begins with
    more_seeds    more of it, which take seconds to make: only `make fuzz` begins with them too
    mutate        (data, most bytes, random numbers, Change) -> data: changes that keep the structure
    minutes       for which `make fuzz` runs it
    max_bytes     of one input
    """

    name: str
    about: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    minutes: float
    max_bytes: int
    mutate: Callable[[bytes, int, random.Random, Change], bytes]
    more_seeds: Callable[[], Iterable[bytes]] = tuple


def hold(promise: bool, sentence: str) -> None:
    """Raises Broken where a promise does not hold."""
    if not promise:
        raise Broken(sentence)

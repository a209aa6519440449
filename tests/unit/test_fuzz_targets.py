"""What `make fuzz` runs for minutes, over its first inputs and some hundred changes of them."""

import dataclasses
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtime.image.containers import Picture
from tests.fuzz.mutations import change_bytes, mutate_picture, repaired, split
from tests.fuzz.target import Broken, Target
from tests.fuzz.targets import TARGETS, crop, decode, marker_walk, request_reader
from tests.helpers.paths import ROOT

CHANGES = 200


def untimed(call: Callable[[], object], *, enough: float) -> float:
    """A test may wait for the processor as long as it must."""
    call()
    return 0.0


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_promise_holds_of_the_first_inputs_and_of_changes_of_them(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marker_walk, "processor_seconds", untimed)
    numbers = random.Random(1)
    change = change_bytes(numbers)
    seeds = target.seeds()
    for data in seeds:
        target.run(data)
    for _ in range(CHANGES):
        target.run(target.mutate(numbers.choice(seeds), target.max_bytes, numbers, change))


def test_first_inputs_reach_what_lies_behind_the_refusals() -> None:
    pictures = [data for data in decode.seeds() if decode.is_decoded(data)]
    assert len(pictures) >= len(decode.seeds()) - 3  # but those of formats that are not accepted
    assert sum(map(request_reader.is_taken, request_reader.seeds())) > 50


def test_changed_pictures_keep_their_container() -> None:
    """Else nearly all of them would be refused for their checksums and lengths, and nothing else be tried."""
    numbers = random.Random(3)
    change = change_bytes(numbers)
    seeds = decode.seeds()
    changed = [
        mutate_picture(numbers.choice(seeds), decode.MAX_BYTES, numbers, change) for _ in range(CHANGES)
    ]
    assert sum(map(decode.is_decoded, changed)) > CHANGES // 10
    for data in seeds:
        assert repaired(data) == data
        assert b"".join(split(data)) == data


def test_a_decoder_that_sees_more_pixels_than_the_walk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(data: Any, **limits: int) -> Picture:
        return dataclasses.replace(read_picture(data, **limits), width=1)

    read_picture = marker_walk.read_picture
    monkeypatch.setattr(marker_walk, "read_picture", walk)
    with pytest.raises(Broken, match="the decoder sees"):
        marker_walk.run(marker_walk.TARGET.seeds()[0])


def test_memory_beyond_what_was_promised_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(data: Any, **limits: int) -> Any:
        np.ones(100_000_000, dtype=np.uint8)
        return decode_image(data, **limits)

    decode_image = decode.decode_image
    monkeypatch.setattr(decode, "decode_image", greedy)
    with pytest.raises(Broken, match="more than"):
        decode.run(decode.TARGET.seeds()[0])


def test_memory_that_was_freed_before_counts_when_it_is_taken_again() -> None:
    # In a process of its own, whose heap keeps what is freed (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD).
    code = """
import ctypes
from tests.fuzz.work import peak_bytes
for parameter in (-3, -1):
    ctypes.CDLL(None).mallopt(parameter, 1 << 30)
bytearray(b"x" * 60_000_000)
print(peak_bytes(lambda: bytearray(b"x" * 40_000_000)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 40_000_000


def test_a_crop_that_does_not_map_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def invert(affine: Any) -> Any:
        return np.full((2, 3), np.nan, dtype=np.float32)

    monkeypatch.setattr("runtime.image.align.invert", invert)
    with pytest.raises(Broken, match="not finite"):
        crop.run(crop.TARGET.seeds()[1])


def test_a_request_that_is_read_as_another_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes) -> Any:
        return dataclasses.replace(read_request(data), inputs=())

    read_request = request_reader.read_request
    monkeypatch.setattr(request_reader, "read_request", read)
    with pytest.raises(Broken, match="other inputs"):
        request_reader.run(request_reader.TARGET.seeds()[0])


def test_numbers_of_a_crop_are_of_every_kind() -> None:
    kinds = bytes([0, 96, 160, 192, 224, 225])
    sizes = (2, 2, 4, 8, 0, 0)
    data = b"".join(struct.pack("<BQ", kind, 1)[: 1 + size] for kind, size in zip(kinds, sizes, strict=True))
    numbers = crop.Numbers(data)
    read = [numbers.coordinate() for _ in kinds]
    assert read[0] == 1 / 16
    assert read[1] == -32767
    assert 0 < read[2] < 1e-40
    assert 0 < read[3] < 1e-300
    assert np.isnan(read[4])
    assert np.isinf(read[5])

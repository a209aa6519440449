"""How fast an engine is beside torch: both in one run, in turns, on the same device.

Machines are shared and clocks change, so a rate alone means little. Ways that are compared take turns, round
after round; the first round warms everything up and is not counted; each way's rate is its median.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from build.acceptance.comparison_pictures import pictures
from build.backends.base import Infer
from build.errors import BuildError
from training.models import ExportWrapper, load_checkpoint

BATCHES = (1, 8, 32)
# A network with more parameters than this needs minutes for the larger batches on a few CPU cores, and
# fewer rounds, for a call takes seconds.
_LARGE = 50_000_000
_LARGE_BATCHES = (1, 8)
_LARGE_ROUNDS = 3

TORCH = "torch_eager_fp32"
_ALONE = "torch_eager_fp32 with one thread"
ENGINE = "engine"

Progress = Callable[[str], None]


def rate(work: Callable[[], int], *, seconds: float) -> float:
    """Faces a second of `work`, which returns how many it did, over at least this long."""
    done, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        done += work()
    return done / passed


def medians(
    rates: Mapping[str, Callable[[], float]], *, rounds: int, progress: Progress | None = None
) -> dict[str, float]:
    """The median of each rate over `rounds` in which all take turns, after one that warms up."""
    if rounds < 1:
        raise ValueError(f"{rounds} rounds measure nothing: take at least 1")
    found: dict[str, list[float]] = {name: [] for name in rates}
    for turn in range(rounds + 1):
        for name, measured in rates.items():
            value = measured()
            if turn:
                found[name].append(value)
            if progress:
                progress(f"round {turn} of {rounds}: {name}: {value:.1f}/s")
    return {name: statistics.median(values) for name, values in found.items()}


def faces_per_second(
    ways: Mapping[str, Callable[[], int]], *, rounds: int, seconds: float, progress: Progress | None = None
) -> dict[str, float]:
    """Each way's median rate. A way answers some faces and returns how many.

    In each of the `rounds` every way gets at least `seconds`, and at least one call.
    """
    return medians(
        {name: partial(rate, way, seconds=seconds) for name, way in ways.items()},
        rounds=rounds,
        progress=progress,
    )


def measure(
    checkpoint: Path,
    engine_infer: Infer,
    *,
    batches: Sequence[int] | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """Faces a second of the engine and of torch, batch by batch.

    Torch runs the checkpoint as well as it can in eager fp32: fused attention, no gradients, on `device`
    ("cpu" or "cuda": where the engine runs). On a CPU it runs with its own number of threads and with one,
    and the better rate counts: where other programs are at work, its threads wait for each other so long
    that any engine would look fast. Both take pixels from this process's memory and put their answers there.

    Without `batches` they are 1, 8 and 32, or of a large network 1 and 8 in at most three rounds. Returned,
    by batch: `torch_eager_fp32`, `engine`, and `ratio`, the engine's rate over torch's. Raises BuildError
    for what is no checkpoint.
    """
    try:
        loaded = load_checkpoint(checkpoint)
    except ValueError as error:
        raise BuildError(str(error)) from None
    eager = ExportWrapper(loaded.model, loaded.contract).to(device)
    if batches is None:
        batches = BATCHES
        if sum(parameter.numel() for parameter in eager.parameters()) > _LARGE:
            batches, rounds = _LARGE_BATCHES, min(rounds, _LARGE_ROUNDS)

    threads = torch.get_num_threads()

    def torch_way(pixels: NDArray[np.uint8], *, threads: int) -> int:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for answer in eager(torch.from_numpy(pixels).to(device)).values():
                answer.cpu()
        return len(pixels)

    def engine_way(pixels: NDArray[np.uint8]) -> int:
        engine_infer(pixels)
        return len(pixels)

    ways: dict[str, Callable[[], int]] = {}
    for batch in batches:
        pixels = pictures(batch, size=loaded.contract.input_size)
        ways[f"{TORCH}, batch {batch}"] = partial(torch_way, pixels, threads=threads)
        if device == "cpu" and threads > 1:
            ways[f"{_ALONE}, batch {batch}"] = partial(torch_way, pixels, threads=1)
        ways[f"{ENGINE}, batch {batch}"] = partial(engine_way, pixels)
    try:
        rates = faces_per_second(ways, rounds=rounds, seconds=seconds, progress=progress)
    finally:
        torch.set_num_threads(threads)
    found = {}
    for batch in batches:
        alone = rates.get(f"{_ALONE}, batch {batch}", 0.0)
        slow, fast = max(rates[f"{TORCH}, batch {batch}"], alone), rates[f"{ENGINE}, batch {batch}"]
        found[str(batch)] = {TORCH: slow, ENGINE: fast, "ratio": fast / slow}
    return found

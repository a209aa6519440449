"""The engine alone: processor time and faces a second by threads, streams and batch."""

import contextlib
import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deploy.embedded.environment import PROJECT
from deploy.measuring.model_parameters import model_parameters
from deploy.measuring.pictures.photos import FACE, read_rgb
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.workers import Worker
from deploy.tune.knobs import Form
from runtime.contract import Contract
from runtime.image.crops import crop_of

BATCHES = (1, 8, 32)
_PROCESS = "deploy.benchmark.answer_cost.bare_process"
COMPARED_BATCH = 8
# A form whose threads take so much more processor time for a face than the cheapest's is not served at all.
TOO_DEAR = 1.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class BareRow:
    """One way of running the engine; a tuple has one number a round."""

    threads: int
    streams: int
    batch: int
    core_ms: tuple[float, ...]  # of a face
    rate: tuple[float, ...]  # faces a second


def sweep(
    repository: Path,
    forms: Sequence[Form],
    *,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> list[BareRow]:
    """The threads and streams of these forms, each with every batch, in turns."""
    threads_streams = sorted({(form.threads, form.streams) for form in forms})
    ways = [(threads, streams, batch) for threads, streams in threads_streams for batch in BATCHES]
    measured: dict[tuple[int, int, int], list[tuple[float, float]]] = {way: [] for way in ways}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="qface-tune-"))
        crop = _write_crop(repository, Path(folder) / "crop.npy")
        # A process each: idle threads of another would take time from this one's.
        workers = {
            way: stack.enter_context(
                Worker(sys.executable, _PROCESS, str(repository.resolve()), folder=PROJECT)
            )
            for way in threads_streams
        }
        for number in range(rounds):
            progress(f"the engine alone: round {number + 1} of {rounds}")
            for threads, streams, batch in ways:
                answer = workers[threads, streams].call(
                    do="engine",
                    threads=threads,
                    streams=streams,
                    batch=batch,
                    crop=str(crop),
                    seconds=seconds,
                )
                faces = answer["faces"]
                measured[threads, streams, batch].append(
                    (1e3 * answer["core_seconds"] / faces, faces / answer["seconds"])
                )
    return [
        BareRow(
            threads=threads,
            streams=streams,
            batch=batch,
            core_ms=tuple(core_ms for core_ms, _ in rounds_of),
            rate=tuple(rate for _, rate in rounds_of),
        )
        for (threads, streams, batch), rounds_of in measured.items()
    ]


def worth_serving(forms: Sequence[Form], rows: Sequence[BareRow]) -> list[Form]:
    """The forms whose engine, at the batch that is compared, is not far dearer than the cheapest."""
    costs = {
        (row.threads, row.streams): statistics.median(row.core_ms)
        for row in rows
        if row.batch == COMPARED_BATCH
    }
    bound = TOO_DEAR * min(costs.values())
    return [form for form in forms if costs[form.threads, form.streams] <= bound]


def _write_crop(repository: Path, path: Path) -> Path:
    contract = Contract.parse(model_parameters(repository / "models" / "face_engine")["contract"])
    pixels, _ = crop_of(contract.crop)(read_rgb(PORTRAIT), box=np.array(FACE), size=contract.input_size)
    np.save(path, pixels)
    return path

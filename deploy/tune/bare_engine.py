"""The engine alone: processor time and faces a second by threads, streams and batch."""

import contextlib
import dataclasses
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deploy.benchmark.answer_cost.callers import bare_engine, bare_worker
from deploy.benchmark.answer_cost.rows import BareSetting
from deploy.measuring.model_parameters import model_parameters
from deploy.measuring.pictures.photos import FACE, read_rgb
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.tune.knobs import Form
from qface_client.measuring.sample import Sample
from runtime.contract import Contract
from runtime.image.crops import crop_of

BATCHES = (1, 8, 32)
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
    ways = [
        BareSetting(threads=threads, streams=streams, batch=batch)
        for threads, streams in threads_streams
        for batch in BATCHES
    ]
    measured: dict[BareSetting, list[Sample]] = {way: [] for way in ways}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="qface-tune-"))
        crop = _write_crop(repository, Path(folder) / "crop.npy")
        workers = {way: stack.enter_context(bare_worker(repository)) for way in threads_streams}
        for number in range(rounds):
            progress(f"the engine alone: round {number + 1} of {rounds}")
            for way in ways:
                worker = workers[way.threads, way.streams]
                measured[way].append(bare_engine(worker, way, crop=str(crop), seconds=seconds))
    return [
        BareRow(
            **dataclasses.asdict(way),
            core_ms=tuple(sum(sample.core_ms.values()) for sample in samples),
            rate=tuple(sample.rate for sample in samples),
        )
        for way, samples in measured.items()
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

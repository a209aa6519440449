"""The client's process: runs `analyze_many`, and prints a line of JSON at every so many results.

python -m deploy.benchmark.client_bulk.client --address 127.0.0.1:8001 --folder PHOTOS
python -m deploy.benchmark.client_bulk.client --planted 100000
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deploy.benchmark.client_bulk.paths import picture_paths
from qface_client import AsyncFaceClient, FaceClient, PhotoResult
from qface_client._photos import Photo
from qface_client.contract import Contract
from qface_client.transports import Infer, ModelInfo, ReadModel, Reply

_PAGE = os.sysconf("SC_PAGE_SIZE")
_CONTRACT = Contract(hash="planted", input_size=8, tasks=())


class Planted:
    """A transport that answers one face at once."""

    def __init__(self) -> None:
        self._tensors: dict[str, Any] = {
            "boxes": np.array([[1, 2, 30, 40]], np.float32),
            "scores": np.array([0.9], np.float32),
            "landmarks": np.zeros((1, 5, 2), np.float32),
            "photo_size": np.array([400, 300], np.int32),
            "contract": np.array([_CONTRACT.hash.encode()], object),
        }

    def read_model(self, step: ReadModel) -> ModelInfo:
        return ModelInfo(name=step.model, max_batch_size=0, contract=_CONTRACT)

    def infer(self, step: Infer) -> Reply:
        return Reply(tensors={name: self._tensors[name] for name in step.outputs})

    def close(self) -> None:
        return


class Tally:
    """What came of the photos so far."""

    def __init__(self, *, every: int) -> None:
        self._every = every
        self._began = time.monotonic()
        self._seen = bytearray()  # by photo, how often it had a result
        self._last = -1
        self.results = self.answered = self.faces = 0
        self.in_order = True
        self.longest_pause = 0.0
        self._result_at = self._began
        self.errors: Counter[str] = Counter()
        self.sentences: dict[str, str] = {}

    def add(self, result: PhotoResult) -> None:
        now = time.monotonic()
        self.longest_pause = max(self.longest_pause, now - self._result_at)
        self._result_at = now
        if result.index >= len(self._seen):
            self._seen.extend(bytes(result.index + 1 - len(self._seen)))
        self._seen[result.index] += 1
        self.in_order &= result.index == self._last + 1
        self._last = result.index
        self.results += 1
        if result.error is None:
            self.answered += 1
            self.faces += len(result.faces)
        else:
            name = type(result.error).__name__
            self.errors[name] += 1
            self.sentences.setdefault(name, str(result.error))
        if self.results % self._every == 0:
            self.report()

    def report(self, **further: Any) -> None:
        """A line of JSON."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
        line = {
            "results": self.results,
            "seconds": time.monotonic() - self._began,
            "core_seconds": used.ru_utime + used.ru_stime,
            "resident": resident,
            **further,
        }
        print(json.dumps(line), flush=True)

    def end(self, *, photos: int) -> None:
        """The last line: what became of all photos."""
        seen = bytes(self._seen).ljust(photos, b"\0")
        self.report(
            photos=photos,
            answered=self.answered,
            faces=self.faces,
            errors=dict(self.errors),
            sentences=self.sentences,
            lost=seen.count(0),
            twice=sum(times > 1 for times in seen),
            in_order=self.in_order,
            longest_pause=self.longest_pause,
        )


def tiny(count: int) -> Iterator[bytes]:
    """Photos that are made as they are drawn."""
    for number in range(count):
        yield b"\xff\xd8" + number.to_bytes(4, "big") + bytes(2000)


async def _with_asyncio(
    options: argparse.Namespace, photos: Any, tally: Tally, **client_options: Any
) -> None:
    async with AsyncFaceClient(options.address, **client_options) as client:
        results = client.analyze_many(photos, concurrency=options.concurrency, ordered=options.ordered)
        async with contextlib.aclosing(results):
            async for result in results:
                tally.add(result)


def main() -> int:
    """All photos of a folder, or so many planted ones."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="localhost:8001")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--planted", type=int, help="so many photos, of a generator, without a server")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--ordered", action="store_true")
    parser.add_argument("--asyncio", action="store_true")
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--every", type=int, default=50)
    options = parser.parse_args()

    photos: Iterator[Photo]
    if options.folder is None:
        count, photos = options.planted, tiny(options.planted)
        client_options: dict[str, Any] = {"transport": Planted()}
    else:
        count = sum(1 for _ in options.folder.iterdir())
        photos = picture_paths(options.folder, count)
        client_options = {"timeout": options.timeout}
    tally = Tally(every=options.every)
    if options.asyncio:
        asyncio.run(_with_asyncio(options, photos, tally, **client_options))
    else:
        with FaceClient(options.address, **client_options) as client:
            for result in client.analyze_many(
                photos, concurrency=options.concurrency, ordered=options.ordered
            ):
                tally.add(result)
    tally.end(photos=count)
    return 0


if __name__ == "__main__":
    sys.exit(main())

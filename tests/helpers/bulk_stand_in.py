"""What answers photos in a bulk run's tests: by what is in their bytes, without a network."""

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.bulk.answering.base import Answering, CannotAnswer, Request
from deploy.bulk.answering.process import Photos
from deploy.bulk.photo import Answered, Cause, Failed, Outcome
from deploy.bulk.settings import Description, RunSettings, Search
from qface_client.contract import Contract
from qface_client.errors import QFaceError

CONTRACT = Contract.from_dict(
    {
        "version": 1,
        "contract": "0123456789abcdef",
        "input_size": 112,
        "crop": "aligned",
        "tasks": [
            {"name": "age", "kind": "value", "labels": ["years"], "unit": "years"},
            {"name": "mood", "kind": "classes", "labels": ["calm", "glad"], "unit": "probability"},
        ],
    }
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StandIn:
    """A photo is b"faces N", b"broken", b"kills", b"kills once" or b"stops"."""

    folder: Path  # in which it remembers what it did
    concurrency: int = 1
    refused: str = ""  # why it can't be had
    precision: str = "fp32"
    dies_at_start: bool = False

    def open(self, request: Request) -> Answering:
        if self.dies_at_start:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.refused:
            raise CannotAnswer(self.refused, refused=True)
        try:
            CONTRACT.select(request.tasks)
        except QFaceError as error:
            raise CannotAnswer(str(error), refused=True) from error
        return _Open(self)


class _Open:
    def __init__(self, source: StandIn) -> None:
        self._source = source

    def describe(self) -> Description:
        return Description(
            contract=CONTRACT.to_dict(),
            network="stand-in",
            precision=self._source.precision,
            versions={"stand-in": "1"},
        )

    def answer(self, data: bytes) -> Outcome:
        verb, *rest = data.decode().split()
        if verb == "kills" and self._kills(once=rest == ["once"]):
            os.kill(os.getpid(), signal.SIGKILL)
        if verb == "stops":
            raise CannotAnswer("no server answers")
        if verb == "broken":
            return Failed(cause=Cause.UNUSABLE, reason="it is no picture")
        count = int(rest[0]) if verb == "faces" else 0
        faces = [
            {"face": index, "box.x0": float(index), "score": 0.5, "age": 30.0 + index, "mood": "glad"}
            for index in range(count)
        ]
        return Answered(width=64, height=48, faces_found=count, faces=faces)

    def close(self) -> None: ...

    def _kills(self, *, once: bool) -> bool:
        marker = self._source.folder / "killed"
        if once and marker.exists():
            return False
        marker.touch()
        return True


class InThisProcess:
    """Answers as `AnsweringProcess` does, without a process."""

    def __init__(self, source: StandIn, request: Request) -> None:
        self._answering = source.open(request)
        self.description = self._answering.describe()

    def answer(self, photos: Photos) -> Iterator[tuple[int, Outcome]]:
        for key, data in photos:
            yield key, data if isinstance(data, Failed) else self._answering.answer(data)

    def close(self) -> None: ...


def run_settings(*, inputs: int = 4, chunk_size: int = 2, **more: Any) -> RunSettings:
    """Those of a run that the stand-in answers."""
    described = Description(
        contract=CONTRACT.to_dict(), network="stand-in", precision="fp32", versions={"stand-in": "1"}
    )
    usual: dict[str, Any] = {
        "sources": ("/in",),
        "files_from": None,
        "tasks": CONTRACT.names,
        "masks": False,
        "search": Search(),
        "answered_by": described,
    }
    return RunSettings(**{**usual, **more}, inputs=inputs, chunk_size=chunk_size)

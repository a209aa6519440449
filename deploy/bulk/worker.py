"""What computes chunks: reads their photos ahead, has them answered, and makes their tables."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from deploy.bulk.answering.base import CannotAnswer, Request, Source
from deploy.bulk.answering.process import AnsweringProcess
from deploy.bulk.chunks import Result, Unfinished, Work
from deploy.bulk.errors import BulkError
from deploy.bulk.settings import RunSettings
from deploy.bulk.store.reader import Reader
from deploy.bulk.store.sources import Stores
from deploy.bulk.tables import Tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """What a worker needs, wherever it runs."""

    settings: RunSettings
    source: Source
    storage: Mapping[str, Any]  # options of fsspec's file systems
    patience: float  # seconds that a store that can't be reached is waited for

    @property
    def request(self) -> Request:
        return Request(
            tasks=self.settings.tasks,
            search=self.settings.search,
            masks=self.settings.masks,
            contract=self.settings.answered_by.contract_hash,
            digest=self.settings.answered_by.digest,
        )


class Worker:
    """Computes one chunk after the other, of one run."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._tables = Tables(spec.settings)
        self._reader = Reader(Stores(spec.storage), named=spec.settings.sources, patience=spec.patience)
        self._answering: AnsweringProcess | None = None

    def compute(self, work: Work) -> Result:
        """The chunk's results, or why the run can't go on now."""
        photos = {photo.number: photo for photo in work.photos}
        try:
            if self._answering is None:
                self._answering = AnsweringProcess(self._spec.source, self._spec.request)
            read = ((photo.number, data) for photo, data in self._reader.read_ahead(work.photos))
            outcomes = [(photos[number], outcome) for number, outcome in self._answering.answer(read)]
            return self._tables.finished(outcomes, chunk=work.chunk, of_all=work.of_all)
        except (CannotAnswer, BulkError) as error:
            # What is under way in it belongs to this chunk.
            if self._answering is not None:
                self._answering.close()
                self._answering = None
            return Unfinished(chunk=work.chunk, reason=str(error))

    def close(self) -> None:
        """End the process that answers."""
        if self._answering is not None:
            self._answering.close()
        self._reader.close()

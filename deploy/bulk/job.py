"""Hands chunks to workers, and keeps what comes back."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from deploy.bulk.chunks import Finished, Result, Todo, Unfinished
from deploy.bulk.errors import Stopped
from deploy.bulk.folder.accounting import failed_photos
from deploy.bulk.folder.run_folder import RunFolder
from deploy.bulk.progress import Progress
from deploy.bulk.settings import RunSettings
from deploy.bulk.tables import merged
from deploy.bulk.worker import Worker, WorkerSpec

# Computes what is to be done, and gives its results as they come: in this process, or through Ray.
Compute = Callable[[WorkerSpec, RunFolder, Sequence[Todo]], Generator[Result, None, None]]


def in_process(spec: WorkerSpec, folder: RunFolder, todo: Sequence[Todo]) -> Generator[Result, None, None]:
    """One worker in this process."""
    worker = Worker(spec)
    try:
        for chunk in todo:
            yield worker.compute(folder.work(chunk, spec.settings))
    finally:
        worker.close()


def to_do(folder: RunFolder, settings: RunSettings, *, retry_failed: bool) -> list[Todo]:
    """What is left: chunks without results and, if wanted, the failed photos of the others."""
    todo = [Todo(chunk=chunk) for chunk in folder.left(settings)]
    if retry_failed:
        todo += [Todo(chunk=chunk, only=failed) for chunk, failed in failed_photos(folder, settings)]
    return sorted(todo, key=lambda each: each.chunk)


def run(
    folder: RunFolder, spec: WorkerSpec, todo: Sequence[Todo], *, compute: Compute, progress: Progress
) -> None:
    """Compute what is to be done and keep its results as they come; Stopped where the run can't go on now."""
    with closing(compute(spec, folder, todo)) as results:
        for result in results:
            if isinstance(result, Unfinished):
                raise Stopped(result.reason)
            folder.keep(result if result.of_all else _with_earlier(folder, result))
            progress.count(result.counts)


def _with_earlier(folder: RunFolder, again: Finished) -> Finished:
    photos, faces, counts = merged(folder.photos_part(again.chunk), folder.faces_part(again.chunk), again)
    return Finished(chunk=again.chunk, photos=photos, faces=faces, counts=counts)

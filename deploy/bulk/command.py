"""One call of the command: begins a run or goes on with one, to its end."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.bulk import job, statuses
from deploy.bulk.answering.base import CannotAnswer, LocalEngine, Request, Source
from deploy.bulk.answering.digest import network_digest
from deploy.bulk.answering.process import AnsweringProcess
from deploy.bulk.chunks import Todo
from deploy.bulk.errors import Refused, Stopped
from deploy.bulk.folder.accounting import Summary, account
from deploy.bulk.folder.files import write_whole
from deploy.bulk.folder.listing import at_least_one, without_twins, write_listing
from deploy.bulk.folder.lock import only_one
from deploy.bulk.folder.run_folder import RunFolder
from deploy.bulk.options import answering_of, search_of, sources_of, storage_of
from deploy.bulk.progress import Progress
from deploy.bulk.ray_job import RayJob
from deploy.bulk.settings import Description, RunSettings, chunk_size_for, differences
from deploy.bulk.store.sources import Sources
from deploy.bulk.worker import WorkerSpec
from qface_client.contract import Contract


def log(sentence: str) -> None:
    """One line on standard error."""
    print(f"bulk: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> int:
    """Run to the end; returns the exit status. Raises Refused or Stopped, each with its sentence."""
    sources, source = sources_of(options), answering_of(options)
    folder = RunFolder(options.output)
    folder.create()
    with only_one(folder.path):
        folder.clean()
        described = _describe(source, options)
        asked = _asked(options, sources, described)
        settings = (
            _resumed(folder, asked, options) if folder.begun else _begun(folder, asked, sources, options)
        )
        spec = WorkerSpec(
            settings=settings, source=source, storage=storage_of(options), patience=options.patience
        )
        todo = job.to_do(folder, settings, retry_failed=options.retry_failed)
        compute = (
            job.in_process
            if options.in_process
            else RayJob(address=options.ray_address, workers=options.workers)
        )
        with Progress(
            total=settings.inputs, before=_photos_done(settings, todo), shown=not options.quiet
        ) as progress:
            if todo:
                try:
                    job.run(folder, spec, todo, compute=compute, progress=progress)
                except KeyboardInterrupt:
                    log(f"interrupted after {progress.line()}: the same command goes on")
                    raise
        if todo and not options.quiet:
            log(f"finished: {progress.line()}")
        return _end(folder, settings, as_json=options.json, rate=progress.rate)


def _describe(source: Source, options: argparse.Namespace) -> Description:
    """What answers, once it has shown that it can."""
    try:
        answering = AnsweringProcess(source, Request(tasks=tuple(options.tasks), search=search_of(options)))
    except CannotAnswer as error:
        raise (Refused if error.refused else Stopped)(str(error)) from error
    answering.close()
    if isinstance(source, LocalEngine):
        return dataclasses.replace(answering.description, digest=network_digest(Path(source.network)))
    return answering.description


def _asked(options: argparse.Namespace, sources: Sources, described: Description) -> RunSettings:
    contract = Contract.from_dict(described.contract)
    return RunSettings(
        sources=tuple(sources.named),
        files_from=sources.files_from,
        tasks=tuple(task.name for task in contract.select(options.tasks)),
        masks=options.masks,
        search=search_of(options),
        answered_by=described,
        chunk_size=options.chunk or 0,
        inputs=0,
    )


def _begun(
    folder: RunFolder, asked: RunSettings, sources: Sources, options: argparse.Namespace
) -> RunSettings:
    """Takes the listing, and begins the run."""
    named = ", ".join([*sources.named, *filter(None, [sources.files_from])])
    listed = at_least_one(without_twins(sources.listed(), remembered=sources.can_overlap), named=named)
    inputs = write_listing(listed, folder.fresh_listing())
    settings = dataclasses.replace(
        asked, inputs=inputs, chunk_size=asked.chunk_size or chunk_size_for(inputs)
    )
    folder.begin(settings)
    if not options.quiet:
        log(f"{inputs:,} photos are listed, in {settings.chunks:,} chunks of {settings.chunk_size}")
    return settings


def _resumed(folder: RunFolder, asked: RunSettings, options: argparse.Namespace) -> RunSettings:
    """The run's own settings; Refused where others are asked for."""
    kept = folder.settings()
    if (listed := len(folder.listing())) != kept.inputs:
        raise Refused(
            f"the listing in {folder.path} has {listed:,} photos, and the run {kept.inputs:,}: bring it "
            "back, or begin another run with another --output"
        )
    asked = dataclasses.replace(asked, chunk_size=options.chunk or kept.chunk_size)
    if found := "; ".join(differences(kept, asked)):
        raise Refused(
            f"{folder.path} has a run of other settings: {found}. To go on name them "
            "as they were, or begin another run with another --output"
        )
    if kept.answered_by.versions != asked.answered_by.versions:
        log(
            "the libraries are of other versions than when the run began: digits may differ in the last place"
        )
    return kept


def _photos_done(settings: RunSettings, todo: Sequence[Todo]) -> int:
    """Photos that need not be computed now."""
    left = 0
    for each in todo:
        first = each.chunk * settings.chunk_size
        whole = min(settings.chunk_size, settings.inputs - first)
        left += whole if each.only is None else len(each.only)
    return settings.inputs - left


def _end(folder: RunFolder, settings: RunSettings, *, as_json: bool, rate: float) -> int:
    summary = account(folder, settings)
    write_whole(folder.summary, summary.to_json().encode())
    found = {**summary.to_dict(), "photos_per_second": round(rate, 2), "output": str(folder.path)}
    try:
        print(json.dumps(found) if as_json else _text(folder, summary), flush=True)
    except (OSError, UnicodeError) as error:  # who reads it is gone, its disk is full, no letters for a name
        why = getattr(error, "strerror", None) or error
        log(f"what was found can't be printed ({why}): {folder.summary} has it")
    if summary.missing:
        log(
            f"{summary.missing:,} inputs have no result (chunk {summary.chunks_at_fault[0]}): remove "
            "that part of `photos/`, and the same command computes it"
        )
        return statuses.UNACCOUNTED
    return statuses.SOME_FAILED if summary.counts.failed else statuses.OK


def _text(folder: RunFolder, summary: Summary) -> str:
    counts = summary.counts
    causes = ", ".join(f"{cause} {count:,}" for cause, count in summary.causes.items())
    failed = f"{counts.failed:,} failed" + (f" ({causes})" if causes else "")
    below = summary.faces_below_quality
    faces = f"{counts.faces:,}" + (f"; {below:,} left out by quality" if below else "")
    return (
        f"{summary.inputs:,} photos: {counts.done:,} with faces ({faces}), {counts.no_face:,} "
        f"without, {failed}, {summary.missing:,} missing: {folder.path}"
    )

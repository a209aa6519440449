"""What keeps a figure that is made here from being comparable with the paper's, in sentences."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from training.data.readers import reader_of
from training.evaluation.protocols import protocol_deviation
from training.models.pretrained_encoder import IMAGENET
from training.paper.experiment import Experiment, Job
from training.paper.requirements import manifest_or_none
from training.tasks import select
from training.train.run_config import RANDOM, Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Caveats:
    """What a reader of a report has to know."""

    nothing: tuple[str, ...]  # why the figures mean nothing; empty where they mean something
    others: tuple[str, ...]  # what else keeps them from being comparable


def caveats_of(experiment: Experiment, job: Job, *, quick: bool) -> Caveats:
    """The caveats of an experiment that was made from a job."""
    trains = [] if job.checkpoint is not None else [source.name for source in job.run.sources]
    used = list(dict.fromkeys((*experiment.sets, *trains)))
    manifests = {name: found for name in used if (found := manifest_or_none(job.data / name)) is not None}
    nothing = [
        f"{name} is a part of the set ({_counts(manifest)})"
        for name, manifest in manifests.items()
        if manifest["subset"]
    ]
    if quick and job.checkpoint is None:
        nothing.append(f"the network is a tiny one ({job.run.model.name}) that saw {job.run.steps} steps")
    others = list(experiment.notes)
    if job.limit is not None:
        others.append(f"Measured on {job.limit} faces of each set (--limit).")
    others += [
        f"{claim.set}, {claim.task}: {deviation}."
        for claim in {(claim.set, claim.task): claim for claim in experiment.claims if claim.task}.values()
        if (deviation := protocol_deviation(claim.task, claim.set))
    ]
    others += [
        f"{claim.name}'s {claim.value:g} ({claim.source}) is of {claim.other}."
        for claim in experiment.claims
        if claim.other
    ]
    small = [
        name for name, manifest in manifests.items() if manifest["crop"]["size"] < job.run.model.input_size
    ]
    if small and job.checkpoint is None:
        others.append(
            f"Crops of {', '.join(small)} are smaller than the network's {job.run.model.input_size} pixels."
        )
    if job.checkpoint is not None:
        others.append(
            f"{job.checkpoint} was not trained by this command: what it learned from stands in its card."
        )
    else:
        others += [*experiment.paper.differences, *_training(experiment, job, manifests)]
    return Caveats(nothing=tuple(nothing), others=tuple(others))


def differing_settings(experiment: Experiment, run: Run) -> list[str]:
    """`what: ours for the paper's` for each setting that the paper gives and a run has otherwise."""
    return [
        f"{setting.name}: {setting.ours(run)} for {setting.published}"
        for setting in experiment.paper.settings
        if setting.published is not None and setting.ours(run) != setting.published
    ]


def _training(experiment: Experiment, job: Job, manifests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    paper, run = experiment.paper, job.run
    found = []
    if differing := differing_settings(experiment, run):
        found.append(f"Trained otherwise than in the paper: {'; '.join(differing)}.")
    opened = [setting.name for setting in paper.settings if setting.published is None]
    found.append(f"The paper leaves open: {'; '.join(opened)}.")
    if paper.pretrains_on:
        found.append(_first_weights(paper.pretrains_on, job))
    absent = [name for name in paper.taught if name not in {source.name for source in run.sources}]
    if absent:
        found.append(f"The network did not learn from {', '.join(absent)}, as the paper's does.")
    tasks = select(run.model.all_tasks)
    for name, manifest in manifests.items():
        if name not in paper.taught:
            continue
        labelled = manifest["labelled"]
        more = [
            task.name
            for task in tasks
            if task.name not in paper.taught[name]
            and (
                task.name in labelled or (task.derived_from is not None and task.derived_from[0] in labelled)
            )
        ]
        if more:
            found.append(f"{name} also teaches what else it labels: {', '.join(more)}.")
    return found


def _first_weights(name: str, job: Job) -> str:
    title = reader_of(name).title
    if job.run.init == RANDOM:
        manifest = manifest_or_none(job.data / name)
        if manifest is None:
            return f"The encoder began with random weights, and the paper's with a pretraining on {title}."
        part = ", a part of it" if manifest["subset"] else ""
        changed = f", with {', '.join(job.pretraining)}" if job.pretraining else ""
        faces = manifest["faces"].get("train", 0)
        return f"The encoder was pretrained on {faces:,} faces of {title}{part}{changed}."
    began = job.run.init if job.run.init == IMAGENET else Path(job.run.init).name
    stated = _pretraining_in(job.run.init)
    return f"The encoder began with {began}{stated}, and the paper's with a pretraining on {title}."


def _pretraining_in(init: str) -> str:
    """What a file of training.train.pretrain states of itself."""
    try:
        with safetensors.safe_open(init, framework="numpy") as file:
            recorded = json.loads((file.metadata() or {}).get("pretraining", "null"))
    except (OSError, ValueError, safetensors.SafetensorError):
        return ""
    if not recorded:
        return ""
    return f" (pretrained on {', '.join(recorded['sets'])}, {recorded['epochs']} epochs)"


def _counts(manifest: Mapping[str, Any]) -> str:
    expected: Mapping[str, int] = manifest.get("expected", {})
    official = sum(expected.values())
    here = sum(manifest["faces"].values())
    return f"{here:,} of {official:,} faces" if official else f"{here:,} faces"


def headline(caveats: Caveats) -> str:
    """The sentence that stands above a report's figures; empty where they mean something."""
    if not caveats.nothing:
        return ""
    return f"**These figures mean nothing**, they show that every step works: {'; '.join(caveats.nothing)}."

"""Calibrate a checkpoint's probabilities: of the faces that get 0.8, eight in ten are so.

    python -m training.train.calibrate var/tiny/model.safetensors --data data/prepared --output FILE

Trained logits are not as sure as they should be: of classes they are too sure, and of action units, which are
learned from a teacher's intensities rather than from yes and no, not sure enough. On the faces that training
held out (`holdout_fraction` of the run) each task of classes gets a temperature (Guo et al. 2017), and each
independent label a scale and a shift (Platt 1999) for whether it is there, which a target of 0.5 or more
means. Both are folded into the map from queries to logits: the graph stays what it is, and no label changes
its place in the ranking of faces.

Of a calibrated network that was extended since, the new tasks alone are calibrated.

Faces whose labels are people's are taken where there are any, then a teacher's, then renders'. A task whose
fit makes faces that were left out of it less likely than no fit does stays as it is.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.cli import run_cli, words_of
from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet
from training.kinds import kind_of
from training.models import Checkpoint, load_checkpoint, save_checkpoint
from training.models.checkpoint import round_to_half
from training.models.network import FaceNetwork
from training.task_type import Task
from training.train.run_options import take_cores

_BATCH = 64
_FOLDS = 5
ORIGINS = ("human", "teacher", "render")  # who labelled, the most trusted first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """What was found for one task: logits become `scale` * logit + `shift`.

    One number for classes; one a label, in the catalogue's order, for independent labels.
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    faces: int
    sets: tuple[str, ...]


def calibrated(checkpoint: Checkpoint, sets: Sequence[FaceSet]) -> Checkpoint:
    """A checkpoint whose probabilities fit these faces; its card has the fits.

    ValueError for a network without queries, and where no face is labelled for any of its tasks.
    """
    model = checkpoint.model
    served = checkpoint.contract.names
    before: Mapping[str, Any] = checkpoint.card.get("calibration", {})
    calibrating = [
        t for t in model.tasks if t.name in served and t.name not in before and kind_of(t).has_probabilities
    ]
    if calibrating and all(model.logit_rows(task) is None for task in calibrating):
        raise ValueError(f"a {type(model).__name__} has no queries to calibrate: give a Q-Face checkpoint")
    for faces in sets:
        derive(faces, [task.name for task in calibrating])
    trusted = {task.name: most_trusted(task, sets) for task in calibrating}
    needed = {faces.name: faces for found in trusted.values() for faces in found}
    if not needed:
        raise ValueError("none of these faces is labelled for a task with probabilities: name other sets")
    logits = {name: _logits(model, faces) for name, faces in needed.items()}
    fits: dict[str, Fit] = {}
    for task in calibrating:
        if not trusted[task.name]:
            continue
        task_logits = torch.cat([logits[faces.name][task.name] for faces in trusted[task.name]])
        targets = torch.from_numpy(np.concatenate([faces.columns[task.name] for faces in trusted[task.name]]))
        fits[task.name] = _fit(task, task_logits, targets, names=[faces.name for faces in trusted[task.name]])
    _fold(model, fits)
    if checkpoint.weights == "fp16":
        round_to_half(model)
    found = {name: dataclasses.asdict(fit) for name, fit in fits.items()}
    card = {**checkpoint.card, "calibration": {**before, **found}}
    if "kept_out" in card:  # they were measured on the network as it came from training
        card["kept_out_before_calibration"] = card.pop("kept_out")
    return dataclasses.replace(checkpoint, card=card)


def _fit(task: Task, logits: Tensor, targets: Tensor, *, names: Sequence[str]) -> Fit:
    rows = torch.from_numpy(kind_of(task).known(targets.numpy()))
    logits, targets = logits[rows], targets[rows]
    numbers = kind_of(task).calibration(task, logits, targets)
    if not _helps(task, logits, targets):
        numbers = torch.tensor([1.0, 0.0]).expand_as(numbers)
    return Fit(
        scale=tuple(round(scale, 4) for scale in numbers[:, 0].tolist()),
        shift=tuple(round(shift, 4) for shift in numbers[:, 1].tolist()),
        faces=len(logits),
        sets=tuple(names),
    )


def _helps(task: Task, logits: Tensor, targets: Tensor) -> bool:
    """Whether faces that a fit has not seen are likelier with it, in a cross-validation."""
    gain, kind = 0.0, kind_of(task)
    for fold in range(_FOLDS):
        left = torch.arange(len(logits)) % _FOLDS == fold
        if not left.any() or left.all():
            continue
        numbers = kind.calibration(task, logits[~left], targets[~left])
        fitted = logits[left] * numbers[:, 0] + numbers[:, 1]
        gain += kind.unlikelihood(logits[left], targets[left])
        gain -= kind.unlikelihood(fitted, targets[left])
    return gain > 0


def _fold(model: FaceNetwork, fits: Mapping[str, Fit]) -> None:
    """Scale and shift into the rows of the map from queries to logits."""
    for task in model.tasks:
        rows = model.logit_rows(task)
        if task.name not in fits or rows is None:
            continue
        scale, shift = torch.tensor(fits[task.name].scale), torch.tensor(fits[task.name].shift)
        with torch.no_grad():
            rows.weight.mul_(scale[:, None])
            rows.bias.copy_(rows.bias * scale + shift)


def most_trusted(task: Task, sets: Sequence[FaceSet], *, origins: Sequence[str] = ORIGINS) -> list[FaceSet]:
    """The sets with labels of a task from its most trusted origin, in the order of `origins`."""
    labelled = [faces for faces in sets if task.name in faces.columns]
    found = [origins.index(_origin(task, faces)) for faces in labelled]
    return [faces for faces, origin in zip(labelled, found, strict=True) if origin == min(found)]


def _origin(task: Task, faces: FaceSet) -> str:
    source = task.derived_from[0] if task.derived_from is not None else ""
    labelled_by: Mapping[str, str] = faces.manifest.get("labelled_by", {})
    origin = labelled_by.get(task.name, labelled_by.get(source, ORIGINS[0]))
    return origin if origin in ORIGINS else "teacher"


def _logits(model: FaceNetwork, faces: FaceSet) -> dict[str, Tensor]:
    """The raw answers about every face of a set, as it is served, by task [N, K]."""
    size = model.config.input_size
    parts: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        for start in range(0, len(faces), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(faces)))
            pixels = torch.from_numpy(faces.served_crops(rows, size=size))
            raw = model(pixels, masked_rows=torch.arange(0)).logits  # no masks: they are not calibrated
            parts.append({name: values for name, values in raw.items() if values.ndim == 2})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def held_out_sets(checkpoint: Checkpoint, data: Path, *, names: Sequence[str] | None = None) -> list[FaceSet]:
    """The faces that a checkpoint's training held out, of its own sets or of those named.

    ValueError for a checkpoint without any, and for sets that are not there.
    """
    part = float(checkpoint.card.get("aside", 0))
    cards = [checkpoint.card, *checkpoint.card.get("extensions", [])]
    learned = [source["name"] for card in cards for source in card.get("sources", [])]
    if not part or not learned:
        raise ValueError(
            "the checkpoint held out no faces, and those that it learned from can't show how sure it "
            "may be: train with --set holdout_fraction=0.04"
        )
    return [
        FaceSet(
            data / name,
            split="train",
            holdout_fraction=part,
            held_out=True,
            crop=checkpoint.contract.crop,
        )
        for name in names or dict.fromkeys(learned)
    ]


def _is_calibrated(checkpoint: Checkpoint) -> bool:
    """Whether nothing is left to do: what an extension learned after a calibration is."""
    done = checkpoint.card.get("calibration")
    added = {name for tasks in getattr(checkpoint.model.config, "extensions", ()) for name in tasks}
    return done is not None and not (added & set(checkpoint.contract.names)) - done.keys()


def _sets_of_new_tasks(checkpoint: Checkpoint) -> list[str] | None:
    """The sets that were learned from after a calibration; None where there was none: all are needed."""
    done = checkpoint.card.get("calibration")
    if done is None:
        return None
    added = getattr(checkpoint.model.config, "extensions", ())
    cards = checkpoint.card.get("extensions", [])
    new = [card for tasks, card in zip(added, cards, strict=True) if set(tasks) - done.keys()]
    return list(dict.fromkeys(source["name"] for card in new for source in card["sources"]))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train.calibrate", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "checkpoint", type=Path, help="the .safetensors file that training.train.finetune wrote"
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument(
        "--sets",
        help="only these, separated by commas (default: those learned from since the last calibration)",
    )
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--threads", type=int, help="of torch (default: all cores)")
    options = parser.parse_args(arguments)

    def work() -> None:
        take_cores(options.threads)
        names = words_of(options.sets) if options.sets else None
        loaded = load_checkpoint(options.checkpoint)
        if _is_calibrated(loaded):
            raise ValueError(f"{options.checkpoint} is calibrated already: give the one that it came from")
        names = names or _sets_of_new_tasks(loaded)
        result = calibrated(loaded, held_out_sets(loaded, options.data, names=names))
        save_checkpoint(options.output, result)
        before = loaded.card.get("calibration", {})
        fitted = {name: fit for name, fit in result.card["calibration"].items() if name not in before}
        print(json.dumps(fitted, indent=1))

    return run_cli("training.train.calibrate", work, place=options.output)


if __name__ == "__main__":
    sys.exit(main())

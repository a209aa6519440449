"""Probabilities that mean what they say: of the faces that get 0.8, eight in ten are so.

    python -m training.train.calibrate var/tiny/model.safetensors --data data/prepared --output FILE.safetensors

Trained logits are not as sure as they should be: of classes they are too sure, and of action units, which are
learned from a teacher's intensities rather than from yes and no, not sure enough. On the faces that training
set aside (`aside` of the run) each task of classes gets a temperature (Guo et al. 2017), and each independent
label a scale and a shift (Platt 1999) for "is it there", which is what a target of 0.5 or more says. Both are
folded into the map from queries to logits: the graph stays what it is, and no label changes its place in the
ranking of faces.

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
from torch.nn import functional

from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet
from training.models import Checkpoint, load_checkpoint, save_checkpoint
from training.models.checkpoint import round_to_half
from training.models.network import FaceNetwork
from training.tasks import Kind, Task
from training.train.command import take_cores

_BATCH = 64
# How far a scale's logarithm, and a shift, usually go: what few faces say beyond that is not believed.
_USUAL = (0.5, 2.0)
_STEPS = 200  # of L-BFGS, which needs a tenth
_FOLDS = 5
_ORIGINS = ("human", "teacher", "render")  # who labelled, the most trusted first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """What was found for one task: logits become `scale` * logit + `shift`.

    One number for classes; one a label, in the catalogue's order, for independent labels.
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    faces: int
    sets: tuple[str, ...]


def fit_classes(logits: Tensor, targets: Tensor) -> float:
    """The factor (one over the temperature) of logits [N, K] that makes targets [N, K] likeliest."""
    logits, targets = logits.double(), targets.double()

    def loss(numbers: Tensor) -> Tensor:
        told = functional.log_softmax(logits * numbers[0].exp(), dim=1)
        return (_strain(numbers) - (targets * told).sum()) / len(logits)

    return float(_least(loss, torch.zeros(1)).exp()[0])


def fit_label(logits: Tensor, present: Tensor) -> tuple[float, float]:
    """Scale and shift of one label's logits [N] for whether it is there [N], 0 or 1."""
    logits, present = logits.double(), present.double()

    def loss(numbers: Tensor) -> Tensor:
        told = logits * numbers[0].exp() + numbers[1]
        summed = functional.binary_cross_entropy_with_logits(told, present, reduction="sum")
        return (_strain(numbers) + summed) / len(logits)

    scale, shift = _least(loss, torch.zeros(2)).tolist()
    return float(np.exp(scale)), float(shift)


def calibrated(checkpoint: Checkpoint, sets: Sequence[FaceSet]) -> Checkpoint:
    """A checkpoint whose probabilities fit these faces; its card says how.

    ValueError for a network without queries, and where no face is labelled for any of its tasks.
    """
    model = checkpoint.model
    entries = {entry["name"]: entry for entry in checkpoint.contract["tasks"]}
    asked = [t for t in model.tasks if t.name in entries and t.kind in (Kind.CLASSES, Kind.MULTILABEL)]
    if all(model.logit_rows(task) is None for task in asked):
        raise ValueError(f"a {type(model).__name__} has no queries to calibrate: give a Q-Face checkpoint")
    for faces in sets:
        derive(faces, [task.name for task in asked])
    chosen = {task.name: _most_trusted(task, sets) for task in asked}
    needed = {faces.name: faces for there in chosen.values() for faces in there}
    if not needed:
        raise ValueError("none of these faces is labelled for a task with probabilities: name other sets")
    logits = {name: _logits(model, faces) for name, faces in needed.items()}
    fits: dict[str, Fit] = {}
    for task in asked:
        if not chosen[task.name]:
            continue
        said = torch.cat([logits[faces.name][task.name] for faces in chosen[task.name]])
        told = torch.from_numpy(np.concatenate([faces.columns[task.name] for faces in chosen[task.name]]))
        fits[task.name] = _fit(task, said, told, names=[faces.name for faces in chosen[task.name]])
    _fold(model, fits)
    if checkpoint.weights == "fp16":
        round_to_half(model)
    card = {**checkpoint.card, "calibration": {name: dataclasses.asdict(fit) for name, fit in fits.items()}}
    if "kept_out" in card:  # they were measured on the network as it came from training
        card["kept_out_before_calibration"] = card.pop("kept_out")
    return dataclasses.replace(checkpoint, card=card)


def _fit(task: Task, logits: Tensor, targets: Tensor, *, names: Sequence[str]) -> Fit:
    unknown = targets.isnan()
    rows = ~(unknown.any(dim=1) if task.kind is Kind.CLASSES else unknown.all(dim=1))
    logits, targets = logits[rows], targets[rows]
    numbers = _numbers(task, logits, targets)
    if not _helps(task, logits, targets):
        numbers = torch.tensor([1.0, 0.0]).expand_as(numbers)
    return Fit(
        scale=tuple(round(scale, 4) for scale in numbers[:, 0].tolist()),
        shift=tuple(round(shift, 4) for shift in numbers[:, 1].tolist()),
        faces=len(logits),
        sets=tuple(names),
    )


def _numbers(task: Task, logits: Tensor, targets: Tensor) -> Tensor:
    """Scale and shift [1 or K, 2] of the logits [N, K] of one task, whose targets [N, K] may have NaN."""
    if task.kind is Kind.CLASSES:
        return torch.tensor([[fit_classes(logits, targets), 0.0]])
    numbers = torch.tensor([[1.0, 0.0]]).repeat(len(task.labels), 1)
    for label in range(len(task.labels)):
        known = ~targets[:, label].isnan()
        if known.any():  # a label that was never learned stays as it is, and is not served
            numbers[label] = torch.tensor(fit_label(logits[known, label], targets[known, label] >= 0.5))
    return numbers


def _helps(task: Task, logits: Tensor, targets: Tensor) -> bool:
    """Whether faces that a fit has not seen are likelier with it, in a cross-validation."""
    gain = 0.0
    for fold in range(_FOLDS):
        left = torch.arange(len(logits)) % _FOLDS == fold
        if not left.any() or left.all():
            continue
        numbers = _numbers(task, logits[~left], targets[~left])
        fitted = logits[left] * numbers[:, 0] + numbers[:, 1]
        gain += _unlikelihood(task, logits[left], targets[left])
        gain -= _unlikelihood(task, fitted, targets[left])
    return gain > 0


def _unlikelihood(task: Task, logits: Tensor, targets: Tensor) -> float:
    """Minus the logarithm of how likely the targets are, summed over faces and known labels."""
    if task.kind is Kind.CLASSES:
        return -float((targets * functional.log_softmax(logits, dim=1)).sum())
    known = ~targets.isnan()
    present = (targets[known] >= 0.5).to(logits.dtype)
    return float(functional.binary_cross_entropy_with_logits(logits[known], present, reduction="sum"))


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


def _most_trusted(task: Task, sets: Sequence[FaceSet]) -> list[FaceSet]:
    """The sets with labels of a task from its most trusted origin."""
    there = [faces for faces in sets if task.name in faces.columns]
    origins = [_origin(task, faces) for faces in there]
    return [faces for faces, origin in zip(there, origins, strict=True) if origin == min(origins)]


def _origin(task: Task, faces: FaceSet) -> int:
    source = task.told_by[0] if task.told_by is not None else ""
    labelled_by: Mapping[str, str] = faces.manifest.get("labelled_by", {})
    who = labelled_by.get(task.name, labelled_by.get(source, _ORIGINS[0]))
    return _ORIGINS.index(who) if who in _ORIGINS else _ORIGINS.index("teacher")


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


def _strain(numbers: Tensor) -> Tensor:
    """Minus the logarithm of how likely a scale's logarithm, and a shift, are before any face is seen."""
    return (numbers / torch.tensor(_USUAL[: len(numbers)])).square().sum() / 2


def _least(loss: Any, start: Tensor) -> Tensor:
    """Where a smooth function of a few numbers is least, from `start` on."""
    numbers = start.double().requires_grad_(True)
    optimizer = torch.optim.LBFGS([numbers], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def evaluated() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(numbers)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(evaluated)  # type: ignore[no-untyped-call]
    return numbers.detach()


def sets_aside(checkpoint: Checkpoint, data: Path, *, names: Sequence[str] | None = None) -> list[FaceSet]:
    """The faces that a checkpoint's training set aside, of its own sets or of those named.

    ValueError for a checkpoint that says of none, and for sets that are not there.
    """
    part = float(checkpoint.card.get("aside", 0))
    learned = [source["name"] for source in checkpoint.card.get("sources", [])]
    if not part or not learned:
        raise ValueError(
            "the checkpoint set no faces aside, and those that it learned from say nothing of how sure it "
            "may be: train with --set aside=0.04"
        )
    return [
        FaceSet(data / name, split="train", holdout_fraction=part, held_out=True)
        for name in names or dict.fromkeys(learned)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="python -m training.train.calibrate", description=lines[0])
    parser.add_argument(
        "checkpoint", type=Path, help="the .safetensors file that training.train.finetune wrote"
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", help="only these, separated by commas (default: those it learned from)")
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--threads", type=int, help="of torch; all cores where nothing is said")
    options = parser.parse_args(arguments)
    take_cores(options.threads)
    names = [name.strip() for name in options.sets.split(",")] if options.sets else None
    try:
        loaded = load_checkpoint(options.checkpoint)
        if "calibration" in loaded.card:
            raise ValueError(f"{options.checkpoint} is calibrated already: give the one that it came from")
        result = calibrated(loaded, sets_aside(loaded, options.data, names=names))
        options.output.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(options.output, result)
    except (ValueError, OSError) as error:
        print(f"training.train.calibrate: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result.card["calibration"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

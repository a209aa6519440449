"""What a run will do, and all that is wrong with it, before anything is loaded or trained.

`check` reads the run and its sets' manifests alone: a fraction of a second, all faults at once. `describe`
is the plan in words, and `measure` what it takes, by a few steps of it (`--dry-run` of the commands that
train).
"""

import pathlib
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from training.data.prepared.face_set import FaceSet, crop_kind, read_manifest
from training.kinds import kind_of
from training.models import FaceNetwork, build_model
from training.models.pretrained_encoder import IMAGENET
from training.task_type import Task
from training.tasks import CATALOGUE
from training.train.loop.optimisation import Optimisation
from training.train.loop.training_loop import TrainingLoop
from training.train.run_config import RANDOM, Run
from training.train.watching import trackers

_STATE_BYTES = 16  # of a parameter: it, its average, and AdamW's two moments, fp32 each
_GIB = 2**30


def check(run: Run, *, tasks: Sequence[Task], data: pathlib.Path, folder: pathlib.Path, built: bool) -> None:
    """ValueError that names everything by which a run of these tasks can't reach its end, a line each.

    `built`: the network is there already, so that what `init` names is not asked for.
    """
    manifests, faults = _manifests([source.name for source in run.sources], data=data)
    faults += [
        f"{data / name} has no face for training (it has {_counts(manifest['faces'])})"
        for name, manifest in manifests.items()
        if not manifest["faces"].get("train")
    ]
    faults += _cut_otherwise(run, manifests)
    if manifests:
        faults += _unlabelled(run, tasks, manifests, built=built)
    if not built and run.init not in (RANDOM, IMAGENET) and not pathlib.Path(run.init).is_file():
        faults.append(f"init {run.init} is no file: give {RANDOM}, {IMAGENET} or a checkpoint")
    if run.distillation is not None and not pathlib.Path(run.distillation.path).exists():
        faults.append(
            f"the teacher {run.distillation.path} does not exist: set distillation.path, "
            "or distillation=none to go without"
        )
    with torch.device("meta"):
        parameters = _parameters(build_model(run.model))
    _raise(faults + trackers.faults(run.trackers) + _no_room(folder, parameters=parameters))


def check_unlabelled(
    names: Sequence[str], *, batch: int, data: pathlib.Path, tracked_by: Sequence[str] = ()
) -> None:
    """The same of a run that learns from faces without labels, `batch` a step."""
    manifests, faults = _manifests(names, data=data)
    faces = sum(int(manifest["faces"].get("train", 0)) for manifest in manifests.values())
    if not faults and batch > faces:
        faults.append(
            f"a batch of {batch} is larger than all {faces} faces of {', '.join(names)}: "
            f"set batch={max(1, faces // 8)} or less, or add sets"
        )
    _raise(faults + trackers.faults(tracked_by))


def describe(run: Run, model: FaceNetwork, *, tasks: Sequence[Task], sets: Sequence[FaceSet]) -> str:
    """The plan in words: network, steps, and for each set and task what is learned from how many faces."""
    config = run.model
    seen = run.steps * sum(source.batch for source in run.sources)
    lines = [
        f"{run.name}: {config.name}, {_parameters(model) / 1e6:.1f} M parameters, {config.input_size} px",
        f"{run.steps:,} steps, {seen:,} faces; {_rates(run)}; first weights: {run.init}",
    ]
    for source, faces in zip(run.sources, sets, strict=True):
        passes = run.steps * source.batch / len(faces)
        name = source.name if source.subset is None else f"{source.name} ({source.subset})"
        lines.append(f"  set {name}: {len(faces):,} faces, {source.batch} a step, {passes:.1f} passes")
    for task in tasks:
        labelled = {faces.name: kind_of(task).labelled(task, faces) for faces in sets}
        lines.append(
            f"  task {task.name}: {run.losses.get(task.name, task.loss)}, weight "
            f"{run.weights.get(task.name, 1):g}, from {', '.join(n for n, has in labelled.items() if has)}"
        )
    return "\n".join(lines)


def describe_unlabelled(optimisation: Optimisation, *, batch: int, sets: Sequence[FaceSet]) -> str:
    """The plan of a run without labels."""
    faces = sum(map(len, sets))
    passes = optimisation.steps * batch / faces
    return "\n".join(
        [f"{optimisation.steps:,} steps of {batch} faces, {passes:.1f} passes; {_rates(optimisation)}"]
        + [f"  set {of.name}: {len(of):,} faces" for of in sets]
    )


def measure(loop: TrainingLoop) -> str:
    """What a run takes in time, memory and room, by a few steps; the loop is of no use afterwards."""
    seconds, timed = loop.time_steps()
    device = loop.where.device
    if device.type == "cuda":
        memory, where = torch.cuda.max_memory_allocated(device) / _GIB, torch.cuda.get_device_name(device)
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory = peak / (_GIB if sys.platform == "darwin" else 2**20)  # macOS counts bytes, Linux KiB
        where = f"CPU, {torch.get_num_threads()} threads"
    room = 2 * _parameters(loop.objective) * _STATE_BYTES / _GIB
    return (
        f"time: {seconds:.2f} s a step, the median of {timed} ({where}), so {_duration(seconds, loop)}\n"
        f"memory: {memory:.1f} GiB a process; disk: {room:.2f} GiB in {loop.folder}, "
        f"of {_free(loop.folder) / _GIB:.0f} GiB that are free"
    )


def _raise(faults: Sequence[str]) -> None:
    if len(faults) == 1:
        raise ValueError(faults[0])
    if faults:
        raise ValueError("the run can't be trained:\n" + "\n".join(f"  - {fault}" for fault in faults))


def _manifests(names: Sequence[str], *, data: pathlib.Path) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """The manifests of the sets that can be read, and a fault for each other."""
    found: dict[str, Mapping[str, Any]] = {}
    absent, faults = [], []
    for name in dict.fromkeys(names):
        if not (data / name / "manifest.json").exists():
            absent.append(name)
            continue
        try:
            found[name] = read_manifest(data / name)
        except ValueError as error:
            faults.append(str(error))
    if absent:
        there = list(found) or sorted(path.parent.name for path in data.glob("*/manifest.json"))
        faults.append(
            f"{data} has no prepared set {', '.join(absent)}: make it with `python -m training.data prepare`"
            + (f", or take what is there with --sets {','.join(there)}" if there else "")
        )
    return found, faults


def _cut_otherwise(run: Run, manifests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence where the network's faces are cut otherwise than those of some sets."""
    wanted = run.model.face_crop
    kinds = {name: crop_kind(manifest) for name, manifest in manifests.items()}
    other = {name: kind for name, kind in kinds.items() if kind != wanted}
    if not other:
        return []
    kind = next(iter(other.values()))
    mended = f", or set model.crop={kind}" if hasattr(run.model, "crop") else ""
    return [
        f"the network's faces are cut as {wanted!r}, and those of {', '.join(other)} as {kind!r}: "
        f"prepare the sets with --crop {wanted} into another folder{mended}"
    ]


def _unlabelled(
    run: Run, tasks: Sequence[Task], manifests: Mapping[str, Mapping[str, Any]], *, built: bool
) -> list[str]:
    """Tasks without a label in any set, sets without a label of any task, and balances by nothing."""
    labelled = {name: set(manifest["labelled"]) for name, manifest in manifests.items()}
    everything = set().union(*labelled.values())
    origins = {task.name: _origins(task, run) for task in tasks}
    names = ", ".join(manifests)
    missing = [name for name, of in origins.items() if not of & everything]
    faults = []
    if missing:
        left = [name for name in run.model.all_tasks if name not in missing]
        faults.append(
            f"no face of {names} is labelled for task {', '.join(map(repr, missing))}: add a set that is"
            + ("" if built else f", or leave it out with --set model.tasks={','.join(left) or '...'}")
        )
    if run.distillation is None and len(missing) < len(tasks):
        wanted = set().union(*origins.values())
        faults += [
            f"{name} has no label of the run's tasks (it has {', '.join(sorted(own)) or 'none'}): "
            "leave it out with --sets"
            for name, own in labelled.items()
            if not own & wanted
        ]
    faults += [
        f"{source.name} can't be balanced by {balance.task}, of which it has no labels: "
        f"set sources.{source.name}.balance=none"
        for source in run.sources
        for balance in source.balance
        if source.name in labelled and not _origins(CATALOGUE[balance.task], run) & labelled[source.name]
    ]
    return faults


def _origins(task: Task, run: Run) -> set[str]:
    """The tasks whose labels make labels of this one (training.data.derived_labels)."""
    origins = {task.name}
    if task.derived_from is not None:
        origins.add(task.derived_from[0])
    if run.implied_labels:
        origins |= {implication.task for implication in task.implied_by}
    if run.assumed_visible and task.frontal_by:
        origins.add(task.aligned_to)
    return origins


def _no_room(folder: pathlib.Path, *, parameters: int) -> list[str]:
    """A sentence where the run's state has no place or no room; a new one is written beside the old."""
    if folder.exists() and not folder.is_dir():
        return [f"{folder} is a file: choose another --run folder"]
    free, wanted = _free(folder), parameters * _STATE_BYTES * (1 if (folder / "last.pt").exists() else 2)
    if free >= wanted:
        return []
    return [
        f"{folder} has {free / _GIB:.2f} GiB left and the run's state takes {wanted / _GIB:.2f}: "
        "make room, or choose another --run folder"
    ]


def _free(folder: pathlib.Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    return shutil.disk_usage(there).free


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _rates(run: Optimisation) -> str:
    return (
        f"learning rate {run.learning_rate:g} after {run.warmup_steps:,} steps of warm-up, "
        f"{'bf16 where the device has it' if run.bf16 else 'fp32'}"
    )


def _duration(seconds: float, loop: TrainingLoop) -> str:
    minutes = max(1, round(seconds * loop.optimisation.steps / 60))
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _counts(faces: Mapping[str, int]) -> str:
    return ", ".join(f"{count} for {split}" for split, count in faces.items()) or "none"

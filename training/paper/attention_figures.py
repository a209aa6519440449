"""Figures 4 and 5 of Q-Face (section 4.7), drawn of test faces of prepared sets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.evaluation.tables import markdown_table
from training.models import QFace, load_checkpoint
from training.paper.experiment import Experiment, Job
from training.research.figures.__main__ import save
from training.research.figures.attention import draw_attention, draw_stages
from training.research.query_attention import attention_of, stage_shares
from training.tasks import CATALOGUE

# The labels that section 4.7 speaks of: of the eyes' region, and of the mouth's.
LABELS = ("Eyeglasses", "Bushy_Eyebrows", "Smiling", "Mouth_Slightly_Open")
# What section 4.7 states: these rely on deeper features, the others on shallower ones.
DEEPER = ("expression", "age")
SHALLOWER = ("action_units", "attributes", "head_pose")
_FACES = 512  # of all sets together, in figure 5
_AT_ONCE = 32


def draw_label_attention(experiment: Experiment, job: Job, checkpoint: Path, sets: Sequence[FaceSet]) -> str:
    """FOLDER/figure4.png: a row a label, the face and a map a stage."""
    model = _network(checkpoint)
    labels = job.labels or LABELS
    faces = sets[0]
    row = _face_with(faces, labels)
    crop = faces.served_crops([row], size=model.config.input_size)[0]
    save(draw_attention(model, crop, names=labels), job.folder / f"{experiment.name}.png")
    return (
        f"![{experiment.title}]({experiment.name}.png)\n\nThe face is {faces.key(row)} of {faces.name}. "
        "The paper: the first two look at the eyes, the others at the mouth."
    )


def draw_task_stages(experiment: Experiment, job: Job, checkpoint: Path, sets: Sequence[FaceSet]) -> str:
    """FOLDER/figure5.png: a bar a task, and the same as a table beside what the paper states."""
    model = _network(checkpoint)
    each = max(1, _FACES // len(sets))
    crops = np.concatenate([_spread(faces, each, size=model.config.input_size) for faces in sets])
    save(draw_stages(model, crops[:_AT_ONCE]), job.folder / f"{experiment.name}.png")
    parts = [crops[start : start + _AT_ONCE] for start in range(0, len(crops), _AT_ONCE)]
    # The mean over faces of all parts, which differ in size only at the end.
    weights = np.array([len(part) for part in parts], np.float64)
    attention = np.average([attention_of(model, part) for part in parts], axis=0, weights=weights)
    shares = stage_shares(model, np.asarray(attention, np.float32))
    stages = [f"S{tokens.stage + 1}" for tokens in model.fusion.layout]
    lines = [
        [task, *(f"{share:.1%}" for share in found), _stated(task), _found(task, found)]
        for task, found in shares.items()
    ]
    table = markdown_table(("task", *stages, "the paper", "here"), lines)
    drawn = min(len(crops), _AT_ONCE)
    return (
        f"![{experiment.title}]({experiment.name}.png)\n\nDrawn of {drawn} faces; the table is of "
        f"{len(crops)}. `here`: whether the deepest stage or the shallowest has the larger share.\n\n{table}"
    )


def _network(path: Path) -> QFace:
    model = load_checkpoint(path).model
    if not isinstance(model, QFace):
        raise ValueError(f"{path} holds a network without queries, which has no attention to draw")
    return model


def _face_with(faces: FaceSet, labels: Sequence[str]) -> int:
    """The first face that people gave the most of these labels."""
    task = next((task for task in CATALOGUE.values() if labels[0] in task.labels), None)
    if task is None or task.name not in faces.columns:
        return 0
    places = [task.labels.index(label) for label in labels if label in task.labels]
    return int(np.nan_to_num(faces.columns[task.name][:, places]).sum(axis=1).argmax())


def _spread(faces: FaceSet, count: int, *, size: int) -> NDArray[np.uint8]:
    rows = np.unique(np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int))
    return faces.served_crops(rows, size=size)


def _stated(task: str) -> str:
    if task in DEEPER:
        return "deeper"
    return "shallower" if task in SHALLOWER else "-"


def _found(task: str, shares: NDArray[np.float32]) -> str:
    return "deeper" if shares[-1] > shares[0] else "shallower"

"""Samples with predictions: a few faces, what they are labelled with, and what the network answers.

The faces are held out of the run's training where it holds any out, else they are of the sets' test splits,
else training faces. They are read once; labels and answers are drawn and written by their kinds.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from runtime.contract import Contract
from training.data.prepared.face_set import FaceSet, read_manifest
from training.evaluation.evaluate import torch_predict
from training.evaluation.evaluated_task import EvaluatedTask, evaluated_task
from training.kinds import kind_of
from training.models import ExportWrapper
from training.render.contact_sheet import contact_sheet
from training.train.objectives.multi_task import MultiTaskObjective
from training.train.objectives.objective import Objective
from training.train.run_config import Run

_FACES = 8
_SIDE = 256  # pixels of a crop on the sheet
_TEXT_WIDTH, _LINE, _MARGIN = 560, 17, 8
_NAME, _LABELLED, _ANSWERED = 0, 150, 355  # where a line's columns begin
_COLUMNS = 2
_BRIGHT, _DIM, _BACK = (240, 240, 240), (150, 150, 160), (18, 18, 24)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleFace:
    """A face of the sheet."""

    title: str  # the set, and which part of it
    crop: NDArray[np.uint8]  # [S, S, 3]
    labels: Mapping[str, NDArray[Any]]  # rows by task, as Showing.label_rows gives them


class SampleSheet:
    """Draws what the network of an objective answers about always the same faces."""

    def __init__(self, faces: Sequence[SampleFace], *, contract: Contract, tasks: Sequence[str]) -> None:
        """`tasks` are those of the contract that are shown."""
        self.faces = tuple(faces)
        self._contract = contract
        found = [evaluated_task(entry, input_size=contract.input_size) for entry in contract.tasks]
        self._tasks: list[EvaluatedTask] = sorted(
            (one for one in found if one is not None and one.task.name in tasks),
            key=lambda one: not kind_of(one.task).drawn_first,
        )

    def __call__(self, objective: Objective) -> NDArray[np.uint8]:
        """RGB [H, W, 3]. The network is to be in eval mode."""
        assert isinstance(objective, MultiTaskObjective)
        answers = torch_predict(ExportWrapper(objective.model, self._contract))(
            np.stack([face.crop for face in self.faces])
        )
        rows = {
            one.task.name: kind_of(one.task).answer_rows(one, answers[one.task.name]) for one in self._tasks
        }
        tiles = [
            self._tile(face, {name: of[i] for name, of in rows.items()}) for i, face in enumerate(self.faces)
        ]
        return contact_sheet(tiles, columns=min(_COLUMNS, len(tiles)))

    def _tile(self, face: SampleFace, answers: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        """The crop with its labels, the same with the answers, and both in words."""
        pictures = [self._drawn(face.crop, rows) for rows in (face.labels, answers)]
        lines = [(face.title, "labelled", "answered")]
        for one in self._tasks:
            kind, name = kind_of(one.task), one.task.name
            labelled = kind.caption(one.task, face.labels[name]) if name in face.labels else ""
            answered = kind.caption(one.task, answers[name])
            if labelled or answered:
                lines.append((name.replace("_", " "), labelled or "-", answered))
        height = max(_SIDE, _LINE * len(lines)) + 2 * _MARGIN
        tile = Image.new("RGB", (2 * _SIDE + _TEXT_WIDTH + 4 * _MARGIN, height), _BACK)
        for i, picture in enumerate(pictures):
            tile.paste(Image.fromarray(picture), (_MARGIN + i * (_SIDE + _MARGIN), _MARGIN))
        pen, font = ImageDraw.Draw(tile), ImageFont.load_default(13)
        left = 2 * _SIDE + 3 * _MARGIN
        for i, line in enumerate(lines):
            for text, (column, end) in zip(
                line, ((_NAME, _LABELLED), (_LABELLED, _ANSWERED), (_ANSWERED, _TEXT_WIDTH)), strict=True
            ):
                colour = _DIM if i == 0 or column == _NAME else _BRIGHT
                shown = _cut(text, font, width=end - column - _MARGIN)
                pen.text((left + column, _MARGIN + i * _LINE), shown, fill=colour, font=font)
        return np.asarray(tile)

    def _drawn(self, crop: NDArray[np.uint8], rows: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        scaled = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
        picture = np.ascontiguousarray(scaled, np.uint8)
        for one in self._tasks:
            if one.task.name in rows:
                kind_of(one.task).draw(one.task, picture, rows[one.task.name])
        return picture


def sample_sheet(
    run: Run, *, sets: Sequence[FaceSet], contract: Contract, tasks: Sequence[str]
) -> SampleSheet:
    """A sheet of some faces of each of a run's training `sets`; ValueError for a set with damaged faces."""
    evaluated = [
        one
        for entry in contract.tasks
        if entry.name in tasks and (one := evaluated_task(entry, input_size=contract.input_size)) is not None
    ]
    by_name = {faces.name: faces for faces in sets}
    faces: list[SampleFace] = []
    for i, trained in enumerate(by_name.values()):
        wanted = (_FACES - len(faces)) // (len(by_name) - i) or (1 if len(faces) < _FACES else 0)
        if not wanted:
            break
        faces += _faces_of(trained, run=run, count=wanted, evaluated=evaluated, size=contract.input_size)
    return SampleSheet(faces, contract=contract, tasks=tasks)


def _faces_of(
    trained: FaceSet, *, run: Run, count: int, evaluated: Sequence[EvaluatedTask], size: int
) -> list[SampleFace]:
    """Faces that are spread evenly over the part of a set that is looked at."""
    faces, part = _looked_at(trained, run=run)
    if faces is not trained:
        run.complete_labels([faces], tasks=[one.task for one in evaluated])
    indices = np.unique(np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(np.int64))
    crops = faces.served_crops(indices, size=size)
    rows = {
        one.task.name: found
        for one in evaluated
        if (found := kind_of(one.task).label_rows(one.task, faces, indices, size=size)) is not None
    }
    return [
        SampleFace(
            title=f"{faces.name}, {part}", crop=crop, labels={name: of[i] for name, of in rows.items()}
        )
        for i, crop in enumerate(crops)
    ]


def _looked_at(trained: FaceSet, *, run: Run) -> tuple[FaceSet, str]:
    """A part of a set, and what to call it."""
    if run.holdout_fraction:
        try:
            held_out = FaceSet(trained.folder, holdout_fraction=run.holdout_fraction, held_out=True)
        except ValueError:  # of a few faces none may be held out
            pass
        else:
            return held_out, "held out"
    if read_manifest(trained.folder)["faces"].get("test"):
        return FaceSet(trained.folder, split="test"), "test"
    return trained, "trained"


def _cut(text: str, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", *, width: float) -> str:
    """As much of a text as has room."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"

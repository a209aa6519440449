"""How usable a crop is, measured: how much of what is known of its face the network still answers.

What is known of a face is its labels, and where a set has none the network's answer about the crop as it was.
Each kind states how much of a label an answer keeps (`Kind.kept`), 0..1. Two levels give that a meaning: what
answers about other faces keep by chance, and what answers about the crops as they were keep. Both are means
over some faces of the set, as Cohen's kappa takes chance out of an agreement (1960):

    usable = sum over tasks of (kept - chance) / sum over tasks of (level - chance), within 0..1

So 1 is as good as the network is about this set's faces, 0 is no better than an answer about anybody, and a
task that the network can't answer anyway has no weight.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.data.quality_set.degradations import Degraded
from training.evaluation.evaluated_task import EvaluatedTask, evaluated_task
from training.evaluation.predictors import BATCH, Predictions, Predictor
from training.kinds import kind_of
from training.kinds.base import Kind
from training.kinds.forms import Motion, Rows

_FACES = 256  # of each set, from which its levels are measured
_OTHERS = (1, 3, 7, 19)  # how far away the faces are that answers are compared with by chance
_LEAST = 0.02  # a task whose answers keep no more than this beyond chance does not count

Columns = dict[str, Rows]  # by task, as FaceSet.columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Levels:
    """What a task's answers keep of a set's faces."""

    chance: float
    whole: float  # where nothing is degraded


class Agreement:
    """Measures how usable degraded crops are to one network. ValueError where it answers nothing to go by."""

    def __init__(self, network: Predictor, *, leave_out: Sequence[str] = ()) -> None:
        """`leave_out` are tasks that don't count."""
        found = [
            evaluated_task(entry, input_size=network.input_size)
            for entry in network.tasks
            if entry.name not in leave_out and entry.served_by_default
        ]
        self.tasks = [evaluated for evaluated in found if evaluated is not None]
        self.network = network
        self._levels: dict[FaceSet, dict[str, Levels]] = {}
        if not self.tasks:
            raise ValueError("the network answers nothing that a degraded crop could be held to")

    def usable(self, faces: FaceSet, indices: NDArray[np.int64], degraded: Sequence[Degraded]) -> Rows:
        """[N], 0..1: how usable these crops are, which were made of these faces of a set."""
        known = self._known(faces, indices, self._answers(faces.served_crops(indices, size=self._size)))
        answers = self._answers(self._served(faces, [one.pixels for one in degraded]))
        motion = _motion(degraded, faces)
        moved = {
            name: self._kind(name).moved(
                self._task(name).task, rows, motion=motion, crop_size=faces.crop_size, margin=faces.margin
            )
            for name, rows in known.items()
        }
        kept = self._kept(answers, moved)
        best, beyond = np.zeros(len(indices)), np.zeros(len(indices))
        for name, level in self.levels(faces).items():
            counts = ~np.isnan(kept[name])
            best += counts * (level.whole - level.chance)
            beyond += np.where(counts, kept[name] - level.chance, 0)
        share = np.divide(beyond, best, out=np.zeros(len(best)), where=best > 0)
        return np.clip(share, 0, 1).astype(np.float32)

    def levels(self, faces: FaceSet) -> dict[str, Levels]:
        """The levels of a set, by task; those that don't count are left out. ValueError where none does."""
        if faces not in self._levels:
            indices = np.unique(np.linspace(0, len(faces) - 1, _FACES).astype(np.int64))
            answers = self._answers(faces.served_crops(indices, size=self._size))
            known = self._known(faces, indices, answers)
            whole = self._kept(answers, known)
            others = [
                self._kept({name: np.roll(rows, away, axis=0) for name, rows in answers.items()}, known)
                for away in _OTHERS
            ]
            found = {}
            for name, kept in whole.items():
                if np.isnan(kept).all():
                    continue
                level = Levels(
                    chance=float(np.nanmean([other[name] for other in others])), whole=float(np.nanmean(kept))
                )
                if level.whole - level.chance > _LEAST:
                    found[name] = level
            if not found:
                raise ValueError(
                    f"the network's answers about {faces.name} keep nothing beyond chance: "
                    "take a trained one, or other sets"
                )
            self._levels[faces] = found
        return self._levels[faces]

    @property
    def _size(self) -> int:
        return self.network.input_size

    def _task(self, name: str) -> EvaluatedTask:
        return next(evaluated for evaluated in self.tasks if evaluated.task.name == name)

    def _kind(self, name: str) -> Kind:
        return kind_of(self._task(name).task)

    def _answers(self, pixels: NDArray[np.uint8]) -> Predictions:
        parts = [self.network.predict(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _known(self, faces: FaceSet, indices: NDArray[np.int64], answers: Predictions) -> Columns:
        """The faces' labels; where there is none, the answers about the crops as they were."""
        columns = {}
        for evaluated in self.tasks:
            name = evaluated.task.name
            column = kind_of(evaluated.task).answered_column(evaluated, answers[name])
            if name in faces.columns:
                labels = faces.columns[name][indices]
                column = np.where(np.isnan(labels), column, labels)
            columns[name] = column
        return columns

    def _kept(self, answers: Predictions, columns: Mapping[str, Rows]) -> dict[str, NDArray[np.float64]]:
        """By task, [N]: how much of what is known the answers keep, NaN where nothing is."""
        kept = {}
        for evaluated in self.tasks:
            name, kind = evaluated.task.name, kind_of(evaluated.task)
            labels = kind.in_order(evaluated, columns[name])
            known = kind.known(labels)
            kept[name] = np.full(len(labels), np.nan)
            if known.any():
                faces = kind.per_face(evaluated, answers[name][known], labels[known])
                kept[name][known] = kind.kept(evaluated, faces)
        return kept

    def _served(self, faces: FaceSet, stored: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        return np.stack([faces.served(pixels, size=self._size) for pixels in stored])


def _motion(degraded: Sequence[Degraded], faces: FaceSet) -> Motion:
    """How the served part of the crops moved."""
    matrix = np.stack([one.matrix for one in degraded])
    matrix[:, :, 2] -= faces.margin
    return Motion(
        matrix=matrix,
        mirrored=np.zeros(len(degraded), bool),
        turned=np.array([one.turned for one in degraded]),
        covered=np.full((len(degraded), 4), np.nan),
        size=faces.crop_size,
    )

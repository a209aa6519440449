"""What a kind of answer defines on the training side, with the defaults that most kinds share.

From data to metric a kind reads labels, lays them out as numbers, moves them with the picture, makes
training targets and losses of them, turns the network's numbers into physical values in the exported
graph, and measures answers. Array shapes: N or B faces, K labels, S the side of the network's crop.
"""

import abc
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.kinds.forms import CALIBRATION, ErrorForm, Loss, Metric, Motion, PerFace, QueryAnswer, Rows
from training.kinds.showing import Showing
from training.task_type import Task

if TYPE_CHECKING:
    from torch import Tensor

    from training.data.prepared.face_set import FaceSet
    from training.evaluation.bootstrap import Values, Weights
    from training.evaluation.evaluated_task import EvaluatedTask


class Kind(Showing, abc.ABC):
    """One kind of answer. Methods get the task, whose fields decide what differs between tasks."""

    name: ClassVar[str]
    losses: ClassVar[dict[str, Loss]]  # by name
    metrics: ClassVar[tuple[Metric, ...]]
    unit: ClassVar[str] = ""  # of its answers' numbers, where a task names none; "": a task has to
    label_count: ClassVar[tuple[int, float]] = (1, math.inf)  # the fewest and the most of a task
    paper_metric: ClassVar[str] = ""  # the metric of the paper's table 5; "": the table has no such task
    has_sides: ClassVar[bool] = False  # labels may change places in a mirrored picture (Task.mirror)
    is_rotation: ClassVar[bool] = False  # its columns begin with yaw and pitch, in degrees
    partial_labels: ClassVar[bool] = False  # a network may serve the labels that it learned and no others
    threshold: ClassVar[float | None] = None  # the probability from which a label is active
    exclusive: ClassVar[bool] = False  # one of the labels is true of each face
    makes_groups: ClassVar[bool] = False  # labels split faces into groups (`groups`)
    query_answer: ClassVar[QueryAnswer] = QueryAnswer.NUMBER
    # Faces whose labels the best constant answer is learned from, where all would take too long.
    constant_faces: ClassVar[int | None] = None
    # A network with random weights adds this to a task's logits, and scales their weights: (offsets, scale).
    untrained_logits: ClassVar[tuple[tuple[float, ...], float] | None] = None

    def usual_queries(self, labels: Sequence[str]) -> int:
        """How many learnable queries a task with these labels has."""
        return len(labels)

    # Labels ---------------------------------------------------------------------------------------------

    @property
    def needs_places(self) -> bool:
        """Whether the network's answer needs features of places, and labels are pictures (masks)."""
        return self.query_answer is QueryAnswer.MAP

    @abc.abstractmethod
    def column_shape(self, task: Task) -> tuple[int, ...]:
        """The shape of one face's numbers in a prepared set; ValueError where labels are pictures."""

    @abc.abstractmethod
    def checked(self, task: Task, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
        """A label as it is written, in plain Python numbers; None where it holds nothing.

        `picture` is the width and height of the picture. Raises TypeError for a wrong form, and ValueError
        for a label that the task does not have or a number out of range.
        """

    def from_cell(self, task: Task, cell: Any) -> Any:
        """A table's cell, a text or a number, as a label is written; ValueError for one that is none."""
        return cell

    def from_numbers(self, task: Task, numbers: Mapping[str, float]) -> Any:
        """The label of numbers by its labels, of which some may be unknown, as it is written."""
        return dict(numbers)

    def numbers(self, task: Task, label: Any) -> Rows:
        """A checked label as float32 of `column_shape`, NaN where not known; points stay in their pixels."""
        row = np.full(self.column_shape(task), np.nan, np.float32)
        row[:] = label
        return row

    def written(self, task: Task, row: Rows) -> Any:
        """A face's numbers as its label is written; None where nothing is known."""
        return None if np.isnan(row).any() else [float(v) for v in row]

    def in_crop(self, task: Task, label: Any, forward: NDArray[Any]) -> Any:
        """A checked label of a picture, as it is in the crop that `forward` [2, 3] makes of it."""
        return label

    def stored(self, row: Rows, *, margin: int, size: int) -> Rows:
        """`numbers` in the stored crop's pixels -> as a prepared set keeps them (FaceSet.columns)."""
        return row

    def labelled(self, task: Task, faces: "FaceSet") -> bool:
        """Whether a set has labels of a task."""
        return task.name in faces.columns and bool((~np.isnan(faces.columns[task.name])).any())

    def learned(self, task: Task, faces: "FaceSet") -> NDArray[np.bool_]:
        """[K]: of which of its labels a set has samples."""
        column = faces.columns.get(task.name)
        none = np.zeros(len(task.labels), bool)
        return none if column is None else self._learned(task, column)

    def _learned(self, task: Task, column: Rows) -> NDArray[np.bool_]:
        return np.full(len(task.labels), bool((~np.isnan(column)).any()))

    def derived(self, source: Task, column: Rows, *, task: Task, label: str) -> Rows:
        """A column of `source`, which is of this kind -> one of `task`, whose classes follow from it.

        `label` is Task.derived_from's. ValueError for a kind that no classes follow from.
        """
        raise ValueError(
            f"task {task.name!r} is derived from {source.name!r}, whose kind {self.name} gives no classes"
        )

    def implied(
        self, task: Task, present: NDArray[np.bool_], *, known: NDArray[np.bool_], labels: Sequence[str]
    ) -> Rows:
        """Weak labels [N, ...] of faces of which it is `known` whether `labels` are `present`, both [N].

        See training.task_type.Implication; NaN where nothing follows. ValueError for a kind that has none.
        """
        raise ValueError(f"task {task.name!r} of the kind {self.name} has no labels that others imply")

    def strata(self, task: Task, column: Rows) -> NDArray[np.int64] | None:
        """[N]: which stratum each face is in (-1: none), for sets that are drawn in balance; or None."""
        groups = self.groups(task, column)
        return None if groups is None else groups[1]

    def groups(self, task: Task, column: Rows) -> tuple[tuple[str, ...], NDArray[np.int64]] | None:
        """The groups' names, and each face's group [N] (-1: none); None for a kind that makes no groups."""
        return None

    # Training -------------------------------------------------------------------------------------------

    def batch_target(
        self,
        task: Task,
        faces: "FaceSet",
        indices: NDArray[np.int64],
        *,
        motion: Motion,
        points: Rows | None = None,
    ) -> NDArray[Any]:
        """The targets of these faces of a set (see the kind's losses), not known where it has no labels.

        `points` are the same faces' moved points of the task `aligned_to`, where the set has them.
        """
        column = faces.columns.get(task.name)
        if column is None:
            rows = np.full((len(indices), *self.column_shape(task)), np.nan, np.float32)
        else:
            rows = np.asarray(column[indices], np.float32)
        return self.target(
            task, rows, motion=motion, crop_size=faces.crop_size, margin=faces.margin, points=points
        )

    def target(
        self, task: Task, rows: Rows, *, motion: Motion, crop_size: int, margin: int, points: Rows | None
    ) -> Rows:
        """A column's rows as targets; `crop_size` and `margin` are the stored crops'."""
        return rows

    def moved(self, task: Task, rows: Rows, *, motion: Motion, crop_size: int, margin: int) -> Rows:
        """A column's rows as they are in the network's crops; the arguments are those of `target`."""
        return self.target(task, rows, motion=motion, crop_size=crop_size, margin=margin, points=None)

    def noisy(self, task: Task, target: Rows, noise: NDArray[np.float64]) -> Rows:
        """A target with the noise that training adds to labels (Task.label_noise).

        `noise` [B, NOISE_NUMBERS] has standard normal distribution, and is the same for all tasks.
        """
        return target

    def has_target(self, target: "Tensor") -> "Tensor":
        """[B]: of which faces of a batch something is known."""
        return (~target.isnan()).flatten(1).any(dim=1)

    # Network --------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def physical(self, task: Task, raw: "Tensor", *, input_size: int) -> "Tensor":
        """The network's raw answers -> the values that they stand for, in the exported graph."""

    def levels(self, task: Task) -> int:
        """Over how many levels a network may answer a distribution in place of a number; 0: none."""
        return 0

    def pooled_numbers(self, task: Task) -> int:
        """How many outputs of a linear head answer a task."""
        return task.queries

    def from_pooled(self, numbers: "Tensor") -> "Tensor":
        """A linear head's outputs [B, `pooled_numbers`] -> raw answers as queries give them."""
        return numbers

    def error_form(self, task: Task, *, input_size: int) -> ErrorForm | None:
        """What can be stated of an answer's error; None for a kind whose answers are probabilities already.

        `input_size` is the side S of the network's crop.
        """
        return None

    def error_ranges(
        self, task: Task, answers: NDArray[Any], targets: NDArray[Any], *, input_size: int
    ) -> NDArray[np.float64]:
        """Answers (`physical`) and targets (`target`) of N faces -> how far the truth lies from the answer.

        [N, numbers, 2] in the error's unit, the least and the most where a label leaves a range: equal where
        it is exact, NaN where it is not known. Below 0: the truth is less than the answer.
        """
        raise ValueError(f"answers of the kind {self.name} have no expected error")

    def calibration(self, task: Task, logits: "Tensor", targets: "Tensor") -> "Tensor":
        """Scale and shift [1 or K, 2] with which logits [N, K] fit targets [N, K].

        ValueError for a kind whose answers are no probabilities (`has_probabilities`).
        """
        raise ValueError(f"answers of the kind {self.name} are no probabilities")

    def unlikelihood(self, logits: "Tensor", targets: "Tensor") -> float:
        """Minus the logarithm of the targets' probability, summed over faces and known labels."""
        raise ValueError(f"answers of the kind {self.name} are no probabilities")

    @property
    def has_probabilities(self) -> bool:
        """Whether answers are probabilities, which can be calibrated."""
        return CALIBRATION in self.metrics

    # Evaluation -----------------------------------------------------------------------------------------

    def known(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        """[N]: which faces have a label, of labels [N, ...] as FaceSet has them."""
        return np.asarray((~np.isnan(labels)).reshape(len(labels), -1).all(axis=1))

    @abc.abstractmethod
    def constants(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> list[NDArray[Any]]:
        """Labels -> the best answers of a network that does not look at the face, at least one."""

    @abc.abstractmethod
    def per_face(self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        """Answers and labels of some faces -> the numbers of each face that metrics are sums of."""

    @abc.abstractmethod
    def values(self, evaluated: "EvaluatedTask", faces: PerFace, weights: "Weights") -> "Values":
        """Every metric, once for each row of the weights [draws, N]. "f1/AU1" is of one label."""

    def kept(self, evaluated: "EvaluatedTask", faces: PerFace) -> NDArray[np.float64]:
        """[N], 0..1: how much of the labels answers keep, by `per_face`; NaN: the kind states none."""
        return np.full(len(next(iter(faces.values()))), np.nan)

    def answered_column(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> Rows:
        """Answers as a prepared set has labels; NaN for labels that the network does not answer."""
        rows = np.full((len(answers), *self.column_shape(evaluated.task)), np.nan, np.float32)
        rows[:, list(evaluated.order)] = answers
        return rows

    def answer_rows(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> NDArray[Any]:
        """Answers in the form of `label_rows`."""
        return self.answered_column(evaluated, answers)

    def positives(self, faces: PerFace) -> NDArray[np.int64] | None:
        """[K]: how many faces have each label; None for a kind without labels to have."""
        return None

    def fitted_thresholds(self, evaluated: "EvaluatedTask", faces: PerFace) -> tuple[float, ...]:
        """For each label the threshold with the best F1 on these faces; () for a kind without thresholds."""
        return ()

    def labels_of(
        self, evaluated: "EvaluatedTask", faces: "FaceSet", indices: NDArray[np.int64]
    ) -> NDArray[Any]:
        """The labels of these faces, in the order of the network's answer."""
        return self.in_order(evaluated, faces.columns[evaluated.task.name][indices])

    def in_order(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> NDArray[Any]:
        """Labels [N, ...] in the catalogue's order -> in the order of the network's answer."""
        return np.asarray(labels[:, list(evaluated.order)])

    @abc.abstractmethod
    def answer_shape(self, evaluated: "EvaluatedTask") -> tuple[int, ...]:
        """The shape of the answer about one face."""

    def invalid(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of the numbers of answers [N, ...] can't be an answer."""
        return np.asarray(~np.isfinite(answers))

    # How far an answer may be off -----------------------------------------------------------------------

    def ranges_of(
        self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]
    ) -> NDArray[np.float64]:
        """How far the truth lies from answers (`answer_shape`), by labels as a set stores them.

        [N, E, 2], as `error_ranges` gives of a step's targets; in the order of T_error. ValueError for a kind
        without expected errors.
        """
        raise ValueError(f"answers of the kind {self.name} have no expected error")

    def answered(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> NDArray[np.bool_]:
        """[N, K]: which labels are the answer about each face; ValueError for a kind without such labels."""
        raise ValueError(f"answers of the kind {self.name} are not some of the labels")

    def risk_and_certainty(
        self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """[N] how wrong each answer is (0..1), and [N] how certain the network was of it.

        None for a kind whose answers state no certainty of their own.
        """
        return None

    # A server's answers ---------------------------------------------------------------------------------

    @abc.abstractmethod
    def from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        """One of the client's typed answers (qface_client.results) as the network gives it."""

    def client_answer_in_crop(
        self, answer: Any, to_crop: ArrayLike, *, labels: Sequence[str], size: int
    ) -> NDArray[Any]:
        """A client's answer about a face of a photo, as a network gives it about a crop.

        `to_crop` [2, 3] cuts the crop [size, size] out of the photo.
        """
        return self.from_client(answer, labels)

    def client_answer_in_photo(self, answer: Any, *, width: int, height: int) -> NDArray[Any]:
        """A client's answer about a face of a photo in the photo's pixels, [height, width].

        ValueError for a kind that does not answer for pixels.
        """
        raise ValueError(f"answers of the kind {self.name} are no masks")

    def error_from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        """[E]: the expected error of one of the client's typed answers, as the network gives it."""
        raise ValueError(f"answers of the kind {self.name} have no expected error")

    def client_error_in_crop(self, answer: Any, to_crop: ArrayLike, *, labels: Sequence[str]) -> NDArray[Any]:
        """[E]: the expected error of an answer about a face of a photo, as a network gives it of a crop."""
        return self.error_from_client(answer, labels)


def sides_changed(task: Task, values: Rows, mirrored: NDArray[np.bool_]) -> Rows:
    """Left and right change places in the mirrored ones of rows [B, K, ...]."""
    if not task.mirror:
        return values
    which = mirrored.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.where(which, values[:, task.mirrored_order()], values), np.float32)


def by_label(task: Task, value: Any) -> dict[str, float]:
    """A label written as {label: number in 0..1}; TypeError and ValueError as `Kind.checked` raises them."""
    if not isinstance(value, Mapping):
        raise TypeError
    numbers = {}
    for label, number in value.items():
        if label not in task.labels:
            raise ValueError(f"{task.name} has label {label!r}, which the catalogue does not have")
        if not 0 <= float(number) <= 1:  # nor NaN
            raise ValueError(f"{task.name} {label} is {float(number):g}, out of 0 to 1")
        numbers[label] = float(number)
    return numbers


def finite_numbers(task: Task, value: Any, *, count: int) -> list[float]:
    """`count` finite numbers; TypeError and ValueError as `Kind.checked` raises them."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or len(value) != count:
        raise TypeError
    result = [float(number) for number in value]
    if not all(map(np.isfinite, result)):
        raise ValueError(f"{task.name} is not a finite number")
    return result


def metric_by_label(name: str, evaluated: "EvaluatedTask", values: NDArray[np.float64]) -> "Values":
    """Values [draws, K] of one metric as "name/label"."""
    return {f"{name}/{label}": values[:, i] for i, label in enumerate(evaluated.labels)}


def whole_labels(target: "Tensor") -> "Tensor":
    """1 for each face whose label is wholly known, else 0: [B]."""
    return (~target.isnan().flatten(1).any(dim=1)).float()


def known_only(labelled: "Tensor", losses: "Tensor") -> "Tensor":
    """The losses, and 0 where there is no label, with a slope of 0 too."""
    return losses.where(labelled.bool(), losses.new_zeros(()).expand_as(losses))

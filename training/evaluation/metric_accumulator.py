"""What is gathered of one task on one set while its faces are asked about, and the rows that come of it."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.evaluation.bootstrap import Values, Weights, clusters_of, intervals
from training.evaluation.evaluated_task import Question, checked, in_order
from training.evaluation.metrics import MEASURES, RAISED_BY_DRAWING, PerFace, best_of
from training.evaluation.predictors import Answers, Asking
from training.evaluation.protocols import deviation, judged_by
from training.evaluation.published_figures import figures
from training.evaluation.results import Estimate, Group, Row
from training.evaluation.subgroups import Grouping
from training.tasks import Kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are made."""

    draws: int  # 0: none are
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """A network's answers to a question about some faces of a set, as numbers a face."""

    question: Question
    indices: NDArray[np.int64]  # [N], of the faces
    stats: PerFace  # [N, ...]

    def only(self, indices: NDArray[np.int64]) -> "Measured":
        """Those of these faces that are among them."""
        chosen = np.isin(self.indices, indices)
        stats = {name: values[chosen] for name, values in self.stats.items()}
        return dataclasses.replace(self, indices=self.indices[chosen], stats=stats)

    def values(self, weights: Weights) -> Values:
        """Every metric for every draw."""
        return MEASURES[self.question.task.kind].values(self.question, self.stats, weights)

    def plain(self) -> dict[str, float]:
        """Every metric of the faces as they are; none without a face."""
        if not len(self.indices):
            return {}
        return {name: float(found[0]) for name, found in self.values(np.ones((1, len(self.indices)))).items()}

    def estimates(self, faces: FaceSet, bootstrap: Bootstrap) -> dict[str, Estimate]:
        """Every metric with its interval."""
        plain = self.plain()
        ends = intervals(
            self.values,
            clusters_of(faces.persons[self.indices]),
            count=bootstrap.draws,
            seed=bootstrap.seed,
            around={name: plain[name] for name in RAISED_BY_DRAWING if name in plain},
        )
        return {
            name: Estimate(value=value, low=ends[name][0], high=ends[name][1])
            if name in ends
            else Estimate(value=value)
            for name, value in plain.items()
        }

    def positives(self) -> dict[str, int]:
        """How many faces have each label, where they have labels."""
        if self.question.task.kind not in (Kind.CLASSES, Kind.MULTILABEL):
            return {}
        counts = self.stats["true"].sum(axis=0)
        return {label: int(count) for label, count in zip(self.question.labels, counts, strict=True)}


class Judged:
    """A question, put to a network and beside it to answers that look at no face."""

    def __init__(self, question: Question, *, constants: Sequence[NDArray[Any]] = ()) -> None:
        self.question = question
        self._constants = constants
        self._indices: list[NDArray[np.int64]] = []
        self._not_found: list[NDArray[np.int64]] = []
        # The network's numbers a face first, then those of each constant answer.
        self._parts: list[list[PerFace]] = [[] for _ in range(1 + len(constants))]

    def add(
        self,
        answered: Answers,
        faces: FaceSet,
        indices: NDArray[np.int64],
        *,
        found: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take the answers about those of these faces that were found (None: all)."""
        measure = MEASURES[self.question.task.kind]
        labels = labels_of(faces, self.question, indices)
        known = measure.known(labels)
        if found is not None:
            self._not_found.append(indices[known & ~found])
            indices, labels, known = indices[found], labels[found], known[found]
        if not known.any():
            return
        said = checked(self.question, answered, faces=faces, indices=indices)[known]
        labels = labels[known]
        self._indices.append(indices[known])
        self._parts[0].append(measure.per_face(self.question, said, labels))
        for constant, parts in zip(self._constants, self._parts[1:], strict=True):
            always = np.broadcast_to(constant, (len(labels), *constant.shape))
            parts.append(measure.per_face(self.question, always, labels))

    @property
    def not_found(self) -> NDArray[np.int64]:
        """The faces with a label that were not found."""
        return np.concatenate([np.empty(0, np.int64), *self._not_found])

    def measured(self) -> list[Measured]:
        """The network's numbers, then each constant answer's; empty where no face was judged."""
        if not self._indices:
            return []
        indices = np.concatenate(self._indices)
        return [
            Measured(question=self.question, indices=indices, stats=_joined(parts)) for parts in self._parts
        ]


def rows_of(
    judged: Judged,
    faces: FaceSet,
    *,
    bootstrap: Bootstrap,
    asking: Asking,
    beside: Judged | None = None,
    groupings: Sequence[Grouping] = (),
    with_published: bool = False,
) -> Iterator[Row]:
    """A row for the whole set, and one for each named part where there are several.

    `asking` is how the faces were asked about, and `beside` has judged another network on the same ones.
    ValueError where no face was found.
    """
    not_found = judged.not_found
    if not (measured := judged.measured()):
        if len(not_found):
            raise ValueError(
                f"none of the {len(not_found):,} faces of {faces.name} was found in its photo: name the "
                "folder that the set was prepared from"
            )
        return
    others = beside.measured() if beside is not None else []
    whole = _Part(
        faces=faces,
        bootstrap=bootstrap,
        sent=asking.sent,
        left_out=asking.left_out,
        measured=measured,
        beside=others,
        not_found=not_found,
    )
    yield whole.row(groupings=groupings, with_published=with_published)
    indices = measured[0].indices
    # A face may be in several parts: "make-up,blur".
    parts_of = [set(filter(None, str(text).split(","))) for text in faces.subsets]
    asked = [parts_of[i] for i in indices.tolist()]
    names = sorted(set().union(*asked))
    if names == [] or (len(names) == 1 and all(asked)):
        return
    for name in names:
        there = np.flatnonzero([name in parts for parts in parts_of])
        yield whole.only(there).row(subset=name, with_published=with_published)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """What was measured of a set, or of a part of its faces."""

    faces: FaceSet
    bootstrap: Bootstrap
    sent: str
    left_out: int
    measured: list[Measured]  # the network's, then the constant answers'
    beside: list[Measured]  # the other network's; empty without one
    not_found: NDArray[np.int64]

    def only(self, indices: NDArray[np.int64]) -> "_Part":
        return dataclasses.replace(
            self,
            left_out=0,  # of no part is known how many
            measured=[one.only(indices) for one in self.measured],
            beside=[one.only(indices) for one in self.beside],
            not_found=self.not_found[np.isin(self.not_found, indices)],
        )

    def row(
        self, *, subset: str = "", groupings: Sequence[Grouping] = (), with_published: bool = False
    ) -> Row:
        own, *trivial = self.measured
        faces, task = self.faces, own.question.task.name
        values = own.estimates(faces, self.bootstrap)
        # A task whose labels don't allow its usual metric (ages in bins) is judged by its kind's first.
        main = judged_by(task, faces.name)
        main = main if main in values else next(iter(values))
        published = {}
        # On fewer faces than the whole official part, what others reached is no yardstick.
        if with_published and not len(self.not_found):
            named = {name: figures(task, faces.name, subset=subset, metric=name) for name in values}
            published = {name: there for name, there in named.items() if there}
        return Row(
            task=task,
            set=faces.name,
            subset=subset,
            faces=len(own.indices),
            not_found=len(self.not_found),
            sent=self.sent,
            left_out=self.left_out,
            persons=self._persons(own),
            labelled_by=str(faces.manifest.get("labelled_by", {}).get(task, "human")),
            metric=main,
            values=values,
            beside=self.beside[0].estimates(faces, self.bootstrap) if self.beside else {},
            trivial=best_of(list(values), [constant.plain() for constant in trivial]),
            positives=own.positives(),
            published=published.get(main, ()),
            by_label={name: there for name, there in published.items() if "/" in name},
            deviation=deviation(task, faces.name),
            groups=tuple(group for grouping in groupings for group in self._groups(grouping, main)),
        )

    def _groups(self, grouping: Grouping, metric: str) -> Iterator[Group]:
        for number, label in enumerate(grouping.labels):
            there = np.flatnonzero(grouping.of == number)
            part = self.only(there)
            own = part.measured[0]
            if not len(own.indices):
                continue
            # Ages of one group may be known otherwise than those of all: then its own metric is another.
            value = own.estimates(self.faces, self.bootstrap).get(metric)
            beside = part.beside[0].estimates(self.faces, self.bootstrap) if part.beside else {}
            if value is not None:
                yield Group(
                    by=grouping.by,
                    label=label,
                    faces=len(own.indices),
                    persons=self._persons(own),
                    value=value,
                    beside=beside.get(metric),
                )

    def _persons(self, measured: Measured) -> int:
        persons = self.faces.persons[measured.indices]
        return len(set(persons[persons != ""].tolist()))


def labels_of(faces: FaceSet, question: Question, indices: NDArray[np.int64]) -> NDArray[Any]:
    """The labels of these faces, in the question's order."""
    name = question.task.name
    if question.task.kind is Kind.MASK:
        return in_order(question, faces.plain_mask(name, indices, size=question.input_size))
    return in_order(question, faces.columns[name][indices])


def has_labels(faces: FaceSet, question: Question) -> bool:
    """Whether anybody in the set is labelled for a task."""
    name = question.task.name
    if question.task.kind is Kind.MASK:
        return name in faces.masks
    return name in faces.columns and bool((~np.isnan(faces.columns[name])).any())


def _joined(parts: Sequence[PerFace]) -> PerFace:
    """The numbers of all faces from those of chunks."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

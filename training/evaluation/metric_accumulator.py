"""Accumulates one task's metrics on one set, batch by batch, and turns them into results."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.labels import HUMAN
from training.data.prepared.face_set import FaceSet
from training.evaluation.bootstrap import Values, Weights, clusters_of, intervals
from training.evaluation.confidence.measures import certainty_statistics, confidence_values, error_statistics
from training.evaluation.evaluated_task import EvaluatedTask, checked_errors, checked_predictions
from training.evaluation.metrics import best_of, metric_named
from training.evaluation.predictors import Predictions, PredictionSource
from training.evaluation.protocols import main_metric, protocol_deviation
from training.evaluation.published_figures import figures_for
from training.evaluation.results import Estimate, SubgroupResult, TaskResult
from training.evaluation.subgroups import Subgrouping
from training.kinds import kind_of
from training.kinds.forms import PerFace


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Settings of the intervals."""

    draws: int  # 0: no intervals
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceStatistics:
    """Numbers a face, from which every metric of one task is computed for any weights of the faces."""

    evaluated: EvaluatedTask
    indices: NDArray[np.int64]  # [N], of the faces
    stats: PerFace  # [N, ...]

    def only(self, indices: NDArray[np.int64]) -> "FaceStatistics":
        """Those of these faces that are among them."""
        chosen = np.isin(self.indices, indices)
        stats = {name: values[chosen] for name, values in self.stats.items()}
        return dataclasses.replace(self, indices=self.indices[chosen], stats=stats)

    def values(self, weights: Weights) -> Values:
        """Every metric of the answers for every draw."""
        return kind_of(self.evaluated.task).values(self.evaluated, self.stats, weights)

    def all_values(self, weights: Weights) -> Values:
        """The same, and every metric of how far the network knew that it may be off."""
        return self.values(weights) | confidence_values(self.evaluated.error, self.stats, weights)

    def plain(self, values: Callable[[Weights], Values] | None = None) -> dict[str, float]:
        """Every metric (None: of `all_values`) of the faces as they are; none without a face."""
        if not len(self.indices):
            return {}
        found = (values or self.all_values)(np.ones((1, len(self.indices))))
        return {name: float(draws[0]) for name, draws in found.items()}

    def estimates(
        self, faces: FaceSet, bootstrap: Bootstrap, *, answers_alone: bool = False
    ) -> dict[str, Estimate]:
        """Every metric with its interval; `answers_alone` leaves out those of confidence."""
        values = self.values if answers_alone else self.all_values
        plain = self.plain(values)
        ends = intervals(
            values,
            clusters_of(faces.persons[self.indices]),
            count=bootstrap.draws,
            seed=bootstrap.seed,
            around={name: value for name, value in plain.items() if metric_named(name).raised_by_drawing},
        )
        return {
            name: Estimate(value=value, low=ends[name][0], high=ends[name][1])
            if name in ends
            else Estimate(value=value)
            for name, value in plain.items()
        }

    def positives(self) -> dict[str, int]:
        """How many faces have each label, where they have labels."""
        counts = kind_of(self.evaluated.task).positives(self.stats)
        if counts is None:
            return {}
        return {label: int(count) for label, count in zip(self.evaluated.labels, counts, strict=True)}


class MetricAccumulator:
    """Accumulates the numbers a face of one task: the network's, and those of its constant baselines."""

    def __init__(self, evaluated: EvaluatedTask, *, constants: Sequence[NDArray[Any]] = ()) -> None:
        self.evaluated = evaluated
        self._constants = constants
        self._indices: list[NDArray[np.int64]] = []
        self._not_found: list[NDArray[np.int64]] = []
        # The network's numbers first, then those of each constant baseline.
        self._parts: list[list[PerFace]] = [[] for _ in range(1 + len(constants))]

    def add(
        self,
        predictions: Predictions,
        faces: FaceSet,
        indices: NDArray[np.int64],
        *,
        found: NDArray[np.bool_] | None = None,
    ) -> None:
        """Adds the predictions for those of these faces that were found (None: all)."""
        kind = kind_of(self.evaluated.task)
        labels = kind.labels_of(self.evaluated, faces, indices)
        known = kind.known(labels)
        if found is not None:
            self._not_found.append(indices[known & ~found])
            indices, labels, known = indices[found], labels[found], known[found]
        if not known.any():
            return
        values = checked_predictions(self.evaluated, predictions, faces=faces, indices=indices)[known]
        labels = labels[known]
        self._indices.append(indices[known])
        numbers = self._numbers(values, labels)
        if self.evaluated.error is not None:
            expected = checked_errors(self.evaluated, predictions, faces=faces, indices=indices)[known]
            numbers |= error_statistics(kind.ranges_of(self.evaluated, values, labels), expected)
        self._parts[0].append(numbers)
        for constant, parts in zip(self._constants, self._parts[1:], strict=True):
            parts.append(self._numbers(np.broadcast_to(constant, (len(labels), *constant.shape)), labels))

    def _numbers(self, answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        kind = kind_of(self.evaluated.task)
        numbers = kind.per_face(self.evaluated, answers, labels)
        stated = kind.risk_and_certainty(self.evaluated, answers, labels)
        return numbers if stated is None else numbers | certainty_statistics(*stated)

    @property
    def not_found(self) -> NDArray[np.int64]:
        """The faces with a label that were not found."""
        return np.concatenate([np.empty(0, np.int64), *self._not_found])

    def statistics(self) -> list[FaceStatistics]:
        """The network's numbers, then each constant baseline's; empty where no face was added."""
        if not self._indices:
            return []
        indices = np.concatenate(self._indices)
        return [
            FaceStatistics(evaluated=self.evaluated, indices=indices, stats=_joined(parts))
            for parts in self._parts
        ]


def results_of(
    accumulator: MetricAccumulator,
    faces: FaceSet,
    *,
    bootstrap: Bootstrap,
    source: PredictionSource,
    comparison: MetricAccumulator | None = None,
    subgroupings: Sequence[Subgrouping] = (),
    with_published: bool = False,
) -> Iterator[TaskResult]:
    """A result for the whole set, and one for each named part where there are several.

    `source` is what the predictions were made of, and `comparison` has another network's on the same faces.
    ValueError where no face was found.
    """
    not_found = accumulator.not_found
    if not (statistics := accumulator.statistics()):
        if len(not_found):
            raise ValueError(
                f"none of the {len(not_found):,} faces of {faces.name} was found in its photo: name the "
                "folder that the set was prepared from"
            )
        return
    compared = comparison.statistics() if comparison is not None else []
    whole = _Part(
        faces=faces,
        bootstrap=bootstrap,
        sent=source.sent,
        left_out=source.left_out,
        statistics=statistics,
        comparison=compared,
        not_found=not_found,
    )
    yield whole.result(subgroupings=subgroupings, with_published=with_published)
    indices = statistics[0].indices
    # A face may be in several parts: "make-up,blur".
    parts_of = [set(filter(None, str(text).split(","))) for text in faces.subsets]
    measured_parts = [parts_of[i] for i in indices.tolist()]
    names = sorted(set().union(*measured_parts))
    if names == [] or (len(names) == 1 and all(measured_parts)):
        return
    for name in names:
        members = np.flatnonzero([name in parts for parts in parts_of])
        yield whole.only(members).result(subset=name, with_published=with_published)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """The numbers of a set's faces, or of a part of them."""

    faces: FaceSet
    bootstrap: Bootstrap
    sent: str
    left_out: int
    statistics: list[FaceStatistics]  # the network's, then the constant baselines'
    comparison: list[FaceStatistics]  # the other network's; empty without one
    not_found: NDArray[np.int64]

    def only(self, indices: NDArray[np.int64]) -> "_Part":
        return dataclasses.replace(
            self,
            left_out=0,  # it is not known to which part they belong
            statistics=[one.only(indices) for one in self.statistics],
            comparison=[one.only(indices) for one in self.comparison],
            not_found=self.not_found[np.isin(self.not_found, indices)],
        )

    def result(
        self, *, subset: str = "", subgroupings: Sequence[Subgrouping] = (), with_published: bool = False
    ) -> TaskResult:
        own, *baselines = self.statistics
        faces, task = self.faces, own.evaluated.task.name
        values = own.estimates(faces, self.bootstrap)
        # Where the labels don't allow the task's metric (ages in bins), its kind's first one is the main one.
        main = main_metric(task, faces.name)
        main = main if main in values else next(iter(values))
        published = {}
        # Published figures hold for the whole official part only.
        if with_published and not len(self.not_found):
            named = {name: figures_for(task, faces.name, subset=subset, metric=name) for name in values}
            published = {name: found for name, found in named.items() if found}
        return TaskResult(
            task=task,
            set=faces.name,
            subset=subset,
            faces=len(own.indices),
            not_found=len(self.not_found),
            sent=self.sent,
            left_out=self.left_out,
            persons=self._persons(own),
            labelled_by=str(faces.manifest.get("labelled_by", {}).get(task, HUMAN)),
            metric=main,
            values=values,
            comparison=self.comparison[0].estimates(faces, self.bootstrap) if self.comparison else {},
            constant_baseline=best_of(list(values), [baseline.plain() for baseline in baselines]),
            positives=own.positives(),
            published=published.get(main, ()),
            published_by_label={name: found for name, found in published.items() if "/" in name},
            deviation=protocol_deviation(task, faces.name),
            subgroups=tuple(
                subgroup for subgrouping in subgroupings for subgroup in self._subgroups(subgrouping, main)
            ),
        )

    def _subgroups(self, subgrouping: Subgrouping, metric: str) -> Iterator[SubgroupResult]:
        for number, label in enumerate(subgrouping.labels):
            members = np.flatnonzero(subgrouping.subgroup_of == number)
            part = self.only(members)
            own = part.statistics[0]
            if not len(own.indices):
                continue
            # In one subgroup all ages may be exact, in another all binned: then the metrics differ.
            value = own.estimates(self.faces, self.bootstrap, answers_alone=True).get(metric)
            compared = (
                part.comparison[0].estimates(self.faces, self.bootstrap, answers_alone=True)
                if part.comparison
                else {}
            )
            if value is not None:
                yield SubgroupResult(
                    by=subgrouping.by,
                    label=label,
                    faces=len(own.indices),
                    persons=self._persons(own),
                    value=value,
                    comparison=compared.get(metric),
                )

    def _persons(self, statistics: FaceStatistics) -> int:
        persons = self.faces.persons[statistics.indices]
        return len(set(persons[persons != ""].tolist()))


def _joined(parts: Sequence[PerFace]) -> PerFace:
    """The numbers of all faces from those of chunks."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

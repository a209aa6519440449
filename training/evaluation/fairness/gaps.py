"""A metric on groups of a set's faces, and the gap between the worst and the best of them.

All groups are measured on the same draws of the bootstrap, so that the gap has an interval of its own: of
the two groups that are worst and best on the faces as they are. Of several groups of few faces some are
worse than others by chance alone; how large a gap is then, people's groups shuffled among them shows.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.evaluation.bootstrap import Values, clusters_of, draws, percentiles
from training.evaluation.metric_accumulator import Bootstrap, FaceStatistics
from training.evaluation.metrics import less_is_better
from training.evaluation.results import Estimate
from training.evaluation.subgroups import Subgrouping
from training.evaluation.targets.figures import Figure

SHUFFLES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupFigure:
    """A metric on one group."""

    label: str
    faces: int
    estimate: Estimate
    decides: bool  # it has enough faces for the gap


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupedFigure:
    """A metric on all groups of one grouping."""

    metric: str
    by: str  # the task whose labels make the groups
    groups: tuple[GroupFigure, ...]  # the worst first
    gap: Estimate | None  # between the worst and the best group that decide; None where there are not two
    by_chance: float  # 95 of 100 gaps between shuffled groups are smaller; NaN without a gap

    @property
    def worst_and_best(self) -> tuple[GroupFigure, GroupFigure]:
        """The groups of the gap."""
        deciding = [group for group in self.groups if group.decides]
        return deciding[0], deciding[-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnFigure:
    """A figure that is no metric of the task's kind."""

    name: str
    figure: Figure
    is_error: bool  # less is better


def grouped_figures(
    statistics: FaceStatistics,
    faces: FaceSet,
    subgrouping: Subgrouping,
    *,
    own: OwnFigure | None = None,
    bootstrap: Bootstrap,
    smallest: int,
) -> list[GroupedFigure]:
    """Each metric of the task's kind, or `own` alone, on every group that has faces.

    Groups of fewer than `smallest` faces are listed, and decide no gap.
    """
    group_of = subgrouping.subgroup_of[statistics.indices]
    members = {
        label: np.flatnonzero(group_of == number)
        for number, label in enumerate(subgrouping.labels)
        if (group_of == number).any()
    }
    parts = {label: _only(statistics, rows) for label, rows in members.items()}

    def values(weights: NDArray[np.float64]) -> dict[str, Values]:
        """By group."""
        return {label: _values(parts[label], weights[:, rows], own) for label, rows in members.items()}

    plain = values(np.ones((1, len(statistics.indices))))
    clusters = clusters_of(faces.persons[statistics.indices])
    blocks = [values(weights) for weights in draws(clusters, count=bootstrap.draws, seed=bootstrap.seed)]
    sizes = {label: len(rows) for label, rows in members.items()}
    deciding = [label for label, size in sizes.items() if size >= smallest]
    names = list(dict.fromkeys(name for found in plain.values() for name in found))
    decide = [members[label] for label in deciding]
    chance = _by_chance(statistics, decide, names, own, bootstrap)
    found = []
    for name in names:
        value = {label: float(values_of[name][0]) for label, values_of in plain.items() if name in values_of}
        value = {label: number for label, number in value.items() if not np.isnan(number)}
        drawn = {label: _joined(blocks, label, name) for label in value}
        is_error = less_is_better(name) if own is None else own.is_error
        order = sorted(value, key=value.__getitem__, reverse=is_error)
        found.append(
            GroupedFigure(
                metric=name,
                by=subgrouping.by,
                groups=tuple(
                    GroupFigure(
                        label=label,
                        faces=sizes[label],
                        estimate=_estimate(value[label], drawn[label]),
                        decides=label in deciding,
                    )
                    for label in order
                ),
                gap=_gap(value, drawn, [label for label in order if label in deciding]),
                by_chance=chance.get(name, float("nan")),
            )
        )
    return found


def _values(statistics: FaceStatistics, weights: NDArray[np.float64], own: OwnFigure | None) -> Values:
    if own is None:
        return statistics.values(weights)
    return {own.name: own.figure.values(statistics, weights)}


def _only(statistics: FaceStatistics, rows: NDArray[np.int64]) -> FaceStatistics:
    return dataclasses.replace(
        statistics,
        indices=statistics.indices[rows],
        stats={name: numbers[rows] for name, numbers in statistics.stats.items()},
    )


def _joined(blocks: Sequence[Mapping[str, Values]], label: str, name: str) -> NDArray[np.float64]:
    return np.concatenate([np.empty(0), *(block[label][name] for block in blocks)])


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    low, high = percentiles(drawn)
    return Estimate(value=value, low=low, high=high)


def _gap(
    value: Mapping[str, float], drawn: Mapping[str, NDArray[np.float64]], deciding: Sequence[str]
) -> Estimate | None:
    """Between the first and the last group, without a sign."""
    if len(deciding) < 2:
        return None
    worst, best = deciding[0], deciding[-1]
    sign = 1.0 if value[best] >= value[worst] else -1.0
    return _estimate(sign * (value[best] - value[worst]), sign * (drawn[best] - drawn[worst]))


def _by_chance(
    statistics: FaceStatistics,
    deciding: Sequence[NDArray[np.int64]],
    metrics: Sequence[str],
    own: OwnFigure | None,
    bootstrap: Bootstrap,
) -> dict[str, float]:
    """By metric the gap that 95 of 100 shuffles don't reach; empty without two groups or a bootstrap."""
    if len(deciding) < 2 or not bootstrap.draws:
        return {}
    rng = np.random.default_rng(bootstrap.seed)
    everyone = np.concatenate(deciding)
    weights = np.zeros((len(deciding), SHUFFLES, len(statistics.indices)))
    for shuffle in range(SHUFFLES):
        mixed = rng.permutation(everyone)
        start = 0
        for number, rows in enumerate(deciding):
            weights[number, shuffle, mixed[start : start + len(rows)]] = 1
            start += len(rows)
    of_groups = [_values(statistics, of_group, own) for of_group in weights]
    found = {}
    for name in metrics:
        values = [each[name] for each in of_groups if name in each]
        if len(values) > 1:
            spread = np.max(values, axis=0) - np.min(values, axis=0)
            known = spread[~np.isnan(spread)]
            found[name] = float(np.percentile(known, 95)) if len(known) else float("nan")
    return found

"""The parts of a request's time, of all kinds together."""

from collections.abc import Mapping, Sequence

from deploy.loadtest.results import Stage


def kind_weights(kinds: Sequence[str], stages: Sequence[Stage]) -> dict[str, float]:
    """The share of the answers of each kind; what is no kind (a model of several) shares the rest evenly."""
    answers: dict[str, int] = {}
    for stage in stages:
        for kind, latency in stage.latency_by_kind().items():
            answers[kind] = answers.get(kind, 0) + latency.count
    named = [kind for kind in kinds if kind in answers]
    others = sum(count for kind, count in answers.items() if kind not in named)
    counts = {
        kind: float(answers[kind]) if kind in answers else others / (len(kinds) - len(named))
        for kind in kinds
    }
    whole = sum(counts.values())
    return {kind: count / whole for kind, count in counts.items()} if whole else {}


def weighted_parts(
    parts_by_kind: Mapping[str, Mapping[str, float]], weights: Mapping[str, float]
) -> dict[str, float]:
    """Milliseconds of a request on average over the kinds that have a weight."""
    sums: dict[str, float] = {}
    for kind, weight in weights.items():
        for part, milliseconds in parts_by_kind[kind].items():
            sums[part] = sums.get(part, 0.0) + weight * milliseconds
    return sums


def mean_parts(stage: Stage) -> dict[str, float]:
    """Of a stage's kinds, by how often they were answered."""
    parts = stage.server.parts
    return weighted_parts(parts, kind_weights(list(parts), [stage]))

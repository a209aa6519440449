"""What a gateway counted between two looks at its page of metrics."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

_PREFIX = "qface_gateway_"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sums:
    """Of durations, in seconds."""

    seconds: float = 0.0
    count: float = 0.0

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(seconds=self.seconds - other.seconds, count=self.count - other.count)

    @property
    def mean_ms(self) -> float:
        return 1e3 * self.seconds / self.count if self.count > 0 else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """What is read of a page.

    queue       waits of admitted requests, by model
    answered    from a request's arrival to its answer, by model
    refused     requests turned away, by reason
    in_flight_limit     requests that may be with Triton at once, at that moment
    generation  the number of the Triton that gets requests
    """

    queue: Mapping[str, Sums] = dataclasses.field(default_factory=dict)
    answered: Mapping[str, Sums] = dataclasses.field(default_factory=dict)
    refused: Mapping[str, float] = dataclasses.field(default_factory=dict)
    in_flight_limit: float = 0.0
    generation: float = 0.0

    def __sub__(self, other: "Page") -> "Page":
        """What was counted since `other`; present values are this page's."""
        return Page(
            queue=_since(self.queue, other.queue),
            answered=_since(self.answered, other.answered),
            refused={
                reason: count - other.refused.get(reason, 0.0)
                for reason, count in self.refused.items()
                if count > other.refused.get(reason, 0.0)
            },
            in_flight_limit=self.in_flight_limit,
            generation=self.generation,
        )

    @property
    def went_back(self) -> bool:
        """Whether this, as a difference, is of counters that began anew in between."""
        return any(sums.count < 0 for sums in (*self.queue.values(), *self.answered.values()))


def _since(sums: Mapping[str, Sums], before: Mapping[str, Sums]) -> dict[str, Sums]:
    return {model: each - before.get(model, Sums()) for model, each in sums.items()}


def page_of(text: str) -> Page | None:
    """What a gateway's page has; None of a page that is no gateway's. ValueError for what is no page."""
    series: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(_PREFIX):
                series.setdefault(sample.name.removeprefix(_PREFIX), []).append(sample)
    if not series:
        return None
    refused: dict[str, float] = {}
    for sample in series.get("refused_total", ()):
        refused[sample.labels["reason"]] = refused.get(sample.labels["reason"], 0.0) + sample.value
    return Page(
        queue=_sums(series, "queue_seconds"),
        answered=_sums(series, "request_seconds", outcome="answered"),
        refused=refused,
        in_flight_limit=sum(sample.value for sample in series.get("in_flight_limit", ())),
        generation=sum(sample.value for sample in series.get("backend_generation", ())),
    )


def _sums(series: Mapping[str, list[Any]], name: str, **labels: str) -> dict[str, Sums]:
    """A histogram's sums and counts by model."""

    def by_model(suffix: str) -> dict[str, float]:
        return {
            sample.labels["model"]: sample.value
            for sample in series.get(name + suffix, ())
            if labels.items() <= sample.labels.items()
        }

    counts = by_model("_count")
    return {model: Sums(seconds=seconds, count=counts[model]) for model, seconds in by_model("_sum").items()}

"""What a gateway's /metrics says at one moment."""

import dataclasses
import urllib.request
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """Samples: name, labels, value."""

    samples: tuple[tuple[str, dict[str, str], float], ...]

    @classmethod
    def of(cls, gateway: Any) -> Self:
        """Reads the page of a GatewayServer."""
        with urllib.request.urlopen(f"http://{gateway.http_address}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        families = text_string_to_metric_families(text)
        return cls(
            samples=tuple(
                (sample.name, dict(sample.labels), sample.value)
                for family in families
                for sample in family.samples
            )
        )

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels; 0 where there is none."""
        return sum(
            value
            for found, having, value in self.samples
            if found == name and labels.items() <= having.items()
        )

    def by(self, label: str, name: str) -> dict[str, float]:
        """The samples of a name, summed by one of their labels."""
        sums: dict[str, float] = {}
        for found, having, value in self.samples:
            if found == name:
                sums[having[label]] = sums.get(having[label], 0.0) + value
        return sums

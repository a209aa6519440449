"""TritonSeries: Triton's own series passed on, as if one Triton had run since the gateway started.

A repair and a swap put a fresh Triton, with counters at 0, in the place of another. What counts up (counters,
histograms, a summary's `_sum` and `_count`) is added over all Tritons that there were, by name and labels;
what states a present value (gauges, a summary's quantiles) is the active Triton's alone.
"""

import contextlib
import dataclasses
import re
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]

_COUNTERS = re.compile(r"^# TYPE (\S+) counter$", re.MULTILINE)
_ADDED_SUFFIXES = ("_sum", "_count", "_bucket")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """One metric of a page."""

    name: str
    kind: str  # counter, gauge, histogram, summary, or unknown
    help: str
    samples: Mapping[Key, float]

    def adds_up(self, key: Key) -> bool:
        """Whether a sample goes on from its predecessor's value in a fresh Triton."""
        name, _labels = key
        return self.kind == "counter" or (
            self.kind in ("histogram", "summary") and name in {self.name + end for end in _ADDED_SUFFIXES}
        )


def parse(text: str) -> dict[str, Family]:
    """The families of a page in Prometheus' text format, under the names that the page gives them.

    ValueError where it can't be read.
    """
    # The parser appends _total to every counter's name; Triton's counters have none.
    plain = {name for name in _COUNTERS.findall(text) if not name.endswith("_total")}
    families: dict[str, Family] = {}
    for metric in text_string_to_metric_families(text):
        name = metric.name
        if metric.type == "counter" and name not in plain:
            name += "_total"
        families[name] = Family(
            name=name,
            kind=metric.type,
            help=metric.documentation,
            samples={
                (
                    name if metric.type == "counter" else sample.name,
                    tuple(sample.labels.items()),
                ): sample.value
                for sample in metric.samples
            },
        )
    return families


class TritonSeries:
    """The series of all Tritons of this gateway, by their generation."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}  # read, and not yet parsed
        self._latest: dict[int, dict[str, Family]] = {}
        self._retired: set[int] = set()
        self._base: dict[str, Family] = {}  # what counts up, of those that are gone

    def update(self, generation: int, text: str) -> None:
        """Takes a page that a Triton has just given; it is parsed when it is needed."""
        if text and generation not in self._retired:
            self._texts[generation] = text

    def retire(self, generation: int) -> None:
        """That Triton is gone: what it counted stays, what else it had to show does not."""
        self._parse(generation)
        self._retired.add(generation)
        for name, family in self._latest.pop(generation, {}).items():
            counted = {key: value for key, value in family.samples.items() if family.adds_up(key)}
            if counted:
                before = self._base[name].samples if name in self._base else {}
                self._base[name] = dataclasses.replace(family, samples=_sum(before, counted))

    def render(self, *, active: int | None = None) -> str:
        """All series in Prometheus' text format; gauges are those of the `active` generation."""
        for generation in list(self._texts):
            self._parse(generation)
        families = dict(self._base)
        for generation, page in self._latest.items():
            for name, family in page.items():
                shown = {
                    key: value
                    for key, value in family.samples.items()
                    if generation == active or family.adds_up(key)
                }
                if shown:
                    before = families[name].samples if name in families else {}
                    families[name] = dataclasses.replace(family, samples=_sum(before, shown))
        return "".join(_written(family) for family in families.values())

    def _parse(self, generation: int) -> None:
        text = self._texts.pop(generation, None)
        if text is not None:
            with contextlib.suppress(ValueError):  # cut off, perhaps; what was read before stays
                self._latest[generation] = parse(text)


def _sum(one: Mapping[Key, float], other: Mapping[Key, float]) -> dict[Key, float]:
    added = dict(one)
    for key, value in other.items():
        added[key] = added.get(key, 0.0) + value
    return added


def _written(family: Family) -> str:
    lines = [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {_kind(family.kind)}"]
    for (name, labels), value in family.samples.items():
        written = ",".join(f'{label}="{_escaped(text, quoted=True)}"' for label, text in labels)
        lines.append(f"{name}{{{written}}} {_number(value)}" if labels else f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _kind(kind: str) -> str:
    return "untyped" if kind == "unknown" else kind


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _escaped(text: str, *, quoted: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quoted else text

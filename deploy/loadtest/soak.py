"""One load for minutes or days: does it become slower, and does any process grow?"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

from deploy.loadtest.objectives import milliseconds
from deploy.loadtest.results import Stage, Window
from deploy.loadtest.stage import Settings
from qface_client.measuring.differences import difference, percentile
from qface_client.measuring.percentiles import percentile_name

SECTION = "soak"
WINDOWS = 120  # at the most: each keeps a histogram of each kind
_SHARES = (0.5, 0.99)
_DRIFT = 0.1  # from which on a difference is called one
_GROWN = 0.05  # of a process's memory

_T = TypeVar("_T")


def soak_settings(settings: Settings, minutes: float) -> Settings:
    """For so many minutes, in windows that are longer where they would be too many."""
    seconds = 60 * minutes
    return dataclasses.replace(settings, seconds=seconds, window=max(settings.window, seconds / WINDOWS))


def with_drift(stage: Stage, readings: Sequence[Mapping[str, int]] = ()) -> Stage:
    """The stage with sentences on what changed from the first third of it to the last.

    readings    memory by process through the measured part, at equal distances
    """
    notes = [note for note in (latency_drift(stage.measured), memory_drift(readings)) if note]
    server = dataclasses.replace(stage.server, notes=(*stage.server.notes, *notes))
    return dataclasses.replace(stage, server=server)


def latency_drift(windows: Sequence[Window]) -> str:
    """How the last third's percentiles differ from the first's; "" of fewer than three windows."""
    first, last = ([window.all_latency for window in part] for part in _outer_thirds(windows))
    if not any(each.count for each in first) or not any(each.count for each in last):
        return ""
    changes = {
        percentile_name(share): difference(percentile(first, share), percentile(last, share), floor=_DRIFT)
        for share in _SHARES
    }
    words = [
        f"{name} {milliseconds(change.before)} to {milliseconds(change.after)} ({change.change:+.0%})"
        for name, change in changes.items()
    ]
    drifted = [name for name, change in changes.items() if change.beyond_noise]
    verdict = (
        f"{' and '.join(drifted)} drifts by more than {_DRIFT:.0%} and beyond noise"
        if drifted
        else "latency does not drift"
    )
    return f"from the first third to the last: {', '.join(words)}: {verdict}"


def memory_drift(readings: Sequence[Mapping[str, int]]) -> str:
    """How the last third's memory of processes differs from the first's; "" of fewer than three readings."""
    first, last = _outer_thirds(readings)
    if not first:
        return ""
    before, after = _means(first), _means(last)
    total = (sum(before.values()), sum(after.values()))
    if not total[0]:
        return ""
    grown = [
        f"{name} {_mib(before[name])} to {_mib(after[name])} MiB"
        for name in before
        if after.get(name, 0.0) > before[name] * (1 + _GROWN)
    ]
    verdict = f"grown by more than {_GROWN:.0%}: {', '.join(grown)}" if grown else "no process grows"
    return f"from the first third to the last: memory {_mib(total[0])} to {_mib(total[1])} MiB: {verdict}"


def _outer_thirds(values: Sequence[_T]) -> tuple[Sequence[_T], Sequence[_T]]:
    third = len(values) // 3
    return (values[:third], values[-third:]) if third else ((), ())


def _means(readings: Sequence[Mapping[str, int]]) -> dict[str, float]:
    names = dict.fromkeys(name for reading in readings for name in reading)
    return {name: sum(reading.get(name, 0) for reading in readings) / len(readings) for name in names}


def _mib(size: float) -> int:
    return round(size / 2**20)

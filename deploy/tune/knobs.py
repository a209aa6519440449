"""What is tried: for each knob of a host's settings its positions, as the number of cores suggests them."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from build.serving.host_settings import HostSettings

FACE, PHOTO = "face in a photo", "photo of one face"  # what clients send while a knob is turned
DELAYS = (0, 100, 500, 2000)  # us


@dataclasses.dataclass(frozen=True, kw_only=True)
class Position:
    """A position of a knob."""

    name: str  # "2 of 1 thread"
    settings: HostSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knob:
    """Settings that are chosen together, the others being what they are."""

    name: str
    keys: tuple[str, ...]  # of the settings file
    workload: str  # what clients send while it is turned
    positions: Callable[[HostSettings], Iterable[Position]]

    def others(self, settings: HostSettings) -> list[Position]:
        """The positions that are not the settings' own, each once."""
        found: dict[HostSettings, Position] = {}
        for position in self.positions(settings):
            if position.settings != settings:
                found.setdefault(position.settings, position)
        return list(found.values())


@dataclasses.dataclass(frozen=True, kw_only=True, order=True)
class Form:
    """How a network is loaded: processes, threads of each, and streams over which each divides a batch."""

    instances: int
    threads: int
    streams: int

    def __str__(self) -> str:
        of = f"{self.threads} thread{'s' * (self.threads > 1)}"
        streams = f" in {self.streams} streams" if self.streams > 1 else ""
        return f"{self.instances} of {of}{streams}"

    @property
    def threads_per_stream(self) -> int:
        return max(1, self.threads // self.streams)


def forms(cores: int) -> list[Form]:
    """The forms of a network on so many cores: none takes more threads than there are cores.

    One process with a stream a core, one-thread processes, all cores on one batch; in between, on many cores,
    processes of four or eight one-thread streams, and of a quarter of the cores; and one thread alone.
    """
    found = [
        Form(instances=1, threads=cores, streams=cores),
        Form(instances=cores, threads=1, streams=1),
        Form(instances=1, threads=cores, streams=1),
        Form(instances=1, threads=1, streams=1),
    ]
    for share in (2, 4, 8):
        if cores > share:
            found.append(Form(instances=cores // share, threads=share, streams=share))
            found.append(Form(instances=cores // share, threads=share, streams=1))
    # A process has some 200 MB: no more than 16 of them.
    return list(dict.fromkeys(form for form in found if form.instances <= 16))


def counts(cores: int, *, most: int) -> list[int]:
    """How often a step could be loaded: 1, 2, 4 ... to about the cores, and at most `most`."""
    found = [1]
    while found[-1] * 2 <= min(max(2, cores), most):
        found.append(found[-1] * 2)
    return found


def knobs(cores: int, *, engine_forms: Iterable[Form]) -> list[Knob]:
    """All knobs in the order in which they are turned: what matters most comes first."""
    return [
        _form("engine", FACE, engine_forms),
        _number("engine", "queue_delay_us", FACE, DELAYS),
        _number("face_preprocess", "instances", FACE, counts(cores, most=32)),
        _number("face_preprocess", "queue_delay_us", FACE, DELAYS[:3]),
        _number("face_postprocess", "instances", FACE, counts(cores // 2, most=8)),
        _number("photo_analysis", "instances", PHOTO, [2 * n for n in counts(cores, most=32)]),
        _number("photo_analysis", "detector_threads", PHOTO, counts(cores // 2, most=4)),
    ]


def _form(network: str, workload: str, chosen: Iterable[Form]) -> Knob:
    def positions(settings: HostSettings) -> Iterable[Position]:
        for form in chosen:
            changed = dataclasses.replace(getattr(settings, network), **dataclasses.asdict(form))
            yield Position(name=str(form), settings=_with(settings, network, changed))

    keys = tuple(f"{network}.{field.name}" for field in dataclasses.fields(Form))
    return Knob(name=f"{network} form", keys=keys, workload=workload, positions=positions)


def _number(table: str, key: str, workload: str, numbers: Iterable[int]) -> Knob:
    def positions(settings: HostSettings) -> Iterable[Position]:
        for number in numbers:
            with contextlib.suppress(ValueError):  # what the rest of the settings rules out
                changed = dataclasses.replace(getattr(settings, table), **{key: number})
                yield Position(name=str(number), settings=_with(settings, table, changed))

    name = f"{table}.{key}"
    return Knob(name=name, keys=(name,), workload=workload, positions=positions)


def _with(settings: HostSettings, table: str, changed: Any) -> HostSettings:
    return dataclasses.replace(settings, **{table: changed})

"""The choice: knob after knob, each position is compared with the settings that are the best so far.

Both are measured in turns, round by round, and a round's numbers are compared with each other only: what
slows the machine for a while slows both. So it has a rule of its own: `qface_client.measuring.differences`
compares runs that were apart, and can't use that the rounds are pairs.
"""

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from build.serving.host_settings import HostSettings
from deploy.tune.knobs import Knob

# A challenger must be better by this much: settings that change with each run's noise are of no use.
FASTER = 1.05  # answers a second
CHEAPER = 0.98  # processor time of an answer ...
NO_SLOWER = 0.97  # ... at this rate or more


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """One round of one side."""

    rate: float  # answers a second
    core_ms: float  # of an answer, all processes and the client
    parts: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of it, by process


@dataclasses.dataclass(frozen=True, kw_only=True)
class Duel:
    """Two settings under the same load, measured in turns."""

    incumbent: tuple[Round, ...]
    challenger: tuple[Round, ...]

    @property
    def rate(self) -> float:
        """The challenger's answers a second over the incumbent's: the median of the rounds."""
        return statistics.median(self._ratios(_rate))

    @property
    def core_ms(self) -> float:
        """The same of the processor time of an answer."""
        return statistics.median(self._ratios(_core_ms))

    @property
    def won(self) -> bool:
        """Whether the challenger answers more, or as much for less processor time, in most rounds."""
        if self.rate >= FASTER and _mostly(ratio > 1 for ratio in self._ratios(_rate)):
            return True
        return (
            self.rate >= NO_SLOWER
            and self.core_ms <= CHEAPER
            and _mostly(ratio < 1 for ratio in self._ratios(_core_ms))
        )

    @property
    def lost(self) -> bool:
        """Whether the incumbent would have won as the challenger."""
        return Duel(incumbent=self.challenger, challenger=self.incumbent).won

    @property
    def reason(self) -> str:
        """The comparison in words."""
        return f"{self.rate:.2f} times the answers a second for {self.core_ms:.2f} times the processor time"

    def _ratios(self, number: Callable[[Round], float]) -> list[float]:
        return [number(new) / number(old) for new, old in zip(self.challenger, self.incumbent, strict=True)]


def _rate(side: Round) -> float:
    return side.rate


def _core_ms(side: Round) -> float:
    return side.core_ms


def _mostly(better: Iterable[bool]) -> bool:
    rounds = list(better)
    return sum(rounds) >= 0.75 * len(rounds)


class NotMeasured(Exception):
    """A comparison came to no end: a server did not start, or failed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """A position of a knob that was tried."""

    knob: Knob
    position: str
    incumbent: str  # the position that it was compared with
    duel: Duel | None  # None: it was not measured
    why_not: str = ""


# Incumbent, challenger, workload -> both in turns; NotMeasured.
Compare = Callable[[HostSettings, HostSettings, str], Duel]


def descend(
    start: HostSettings,
    knobs: Sequence[Knob],
    compare: Compare,
    *,
    time_left: Callable[[], bool],
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[HostSettings, list[Trial]]:
    """The settings after each knob was turned once, and all that was tried.

    Once `time_left` is false, the rest stays as it is.
    """
    settings, trials = start, list[Trial]()
    for knob in knobs:
        held = own_position(knob, settings)
        for position in knob.others(settings):
            duel, why_not = None, "there was no time"
            if time_left():
                try:
                    duel = compare(settings, position.settings, knob.workload)
                except NotMeasured as error:
                    why_not = str(error)
                progress(f"{knob.name}: {_sentence(position.name, held, duel, why_not)}")
            trials.append(
                Trial(knob=knob, position=position.name, incumbent=held, duel=duel, why_not=why_not)
            )
            if duel is not None and duel.won:
                settings, held = position.settings, position.name
    return settings, trials


def confirmed(checks: Iterable[Duel]) -> bool:
    """Whether settings, as challengers of the start's, are better for one load and worse for none.

    What was better step by step may have been so by chance.
    """
    duels = list(checks)
    return any(duel.won for duel in duels) and not any(duel.lost for duel in duels)


def own_position(knob: Knob, settings: HostSettings) -> str:
    """The position of a knob that the settings have, as its positions are called where it is one of them."""
    for position in knob.positions(settings):
        if position.settings == settings:
            return position.name
    values = []
    for key in knob.keys:
        table, _, name = key.partition(".")
        values.append(f"{name} {getattr(getattr(settings, table), name)}")
    return ", ".join(values)


def reasons(
    trials: Sequence[Trial], settings: HostSettings, *, not_confirmed: bool = False
) -> dict[str, str]:
    """By a key of the settings file, what of the trials its value follows from.

    `not_confirmed`: the settings are those of the start, whatever was taken.
    """
    found = {}
    if not_confirmed:
        found["device"] = (
            "What was better step by step was no better than the start when all of it was measured together, "
            "so these are the settings of the start."
        )
    for knob in dict.fromkeys(trial.knob for trial in trials):
        about = [
            _sentence(trial.position, trial.incumbent, trial.duel, trial.why_not)
            for trial in trials
            if trial.knob == knob
        ]
        held = own_position(knob, settings)
        found[knob.keys[0]] = f"{knob.name}: {held}. {' '.join(about)}"
    return found


def _sentence(position: str, incumbent: str, duel: Duel | None, why_not: str) -> str:
    if duel is None:
        return f"{position}: not measured, {why_not}."
    end = ", so it was taken." if duel.won else "."
    return f"{position} against {incumbent}: {duel.reason}{end}"

"""What a person sees of a run that trains: a line every so many steps, and in a terminal a live one below.

Where standard error is no terminal (a log, a pipe, a job of a cluster) there are the lines alone, without a
control character.
"""

import datetime
import sys
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

_SECONDS = 0.5  # between two pictures of the live line
_FORM = "{percentage:3.0f} % |{bar:30}| step {n_fmt}/{total_fmt}{postfix}"


class Display:
    """Lines, and the live one. Made by the leading process only."""

    def __init__(
        self,
        steps: int,
        *,
        start: int,
        log: TextIO | None = None,
        now: Callable[[], datetime.datetime] = datetime.datetime.now,
    ) -> None:
        """`start` steps of `steps` are done. `log` is standard error where it is None."""
        self._log = log or sys.stderr
        self._now = now
        self._bar: tqdm[Any] | None = None
        if self._log.isatty():
            # A thread that looks after bars that stand still is not wanted beside a training.
            tqdm.monitor_interval = 0
            self._bar = tqdm(
                total=steps,
                initial=start,
                file=self._log,
                bar_format=_FORM,
                dynamic_ncols=True,
                mininterval=_SECONDS,
                leave=False,
            )

    def step(self, *, seconds_left: float) -> None:
        """A step more is done; how long the others take."""
        if self._bar is not None:
            self._bar.set_postfix_str(self.remaining(seconds_left), refresh=False)
            self._bar.update()

    def line(self, text: str) -> None:
        """A line that stays, above the live one."""
        if self._bar is not None:
            self._bar.write(text, file=self._log)
            self._log.flush()
        else:
            print(text, file=self._log, flush=True)

    def remaining(self, seconds: float) -> str:
        """How long it takes, and when it ends: "1 h 20 min left, until 17:45"."""
        now = self._now()
        end = now + datetime.timedelta(seconds=seconds)
        day = "" if end.date() == now.date() else f"{end:%Y-%m-%d} "
        return f"{duration(seconds)} left, until {day}{end:%H:%M}"

    def close(self) -> None:
        """The live line goes, the others stay."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """ "1 h 05 min", "2 min 03 s", "12 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"

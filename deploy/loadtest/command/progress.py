"""What a load test writes to standard error while it runs."""

import math
import os
from pathlib import Path
from typing import TextIO

from deploy.loadtest.loads import Load
from deploy.loadtest.results import Stage
from deploy.loadtest.windows import Arrivals


def put(text: str, stream: TextIO) -> None:
    """Writes at once; where nobody reads the stream any more (`| head -1`), all that comes is thrown away."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


class ProgressLines:
    """A line for each stage; on a terminal also the last window, in a line that the next one replaces."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._name = ""

    def begin(self, section: str, load: Load) -> None:
        self._name = f"{section}: {load.name}"

    def window(self, place: int, window: Arrivals, *, seconds: float, warming: bool) -> None:
        """A window of so many seconds is over."""
        if self._live:
            part = "warm-up" if warming else "measured"
            failed = f", {window.failed} failed" if window.failed else ""
            self._write(
                f"\r\x1b[K{self._name}: {part}, {seconds * (place + 1):.0f} s: "
                f"{window.ended / seconds:.1f}/s, p50 {_ms(window.median)}, "
                f"{window.outstanding} under way{failed}"
            )

    def stage(self, stage: Stage) -> None:
        """Its line, once it is over."""
        latency, errors = stage.latency, stage.due - stage.codes["OK"]
        words = [
            f"{stage.rate:.1f} answers/s" if stage.seconds else "nothing measured",
            f"p50 {_ms(latency.percentile(0.5))}",
            f"p99 {_ms(latency.percentile(0.99))}",
            *([f"{errors} of {stage.due} failed"] if errors else []),
            *([] if stage.stable or stage.ended else ["not settled"]),
        ]
        self.line(f"{self._name}: {', '.join(words)}")
        for sentence in (stage.ended, stage.generator.limit):
            if sentence:
                self.line(f"  {sentence}")

    def line(self, text: str) -> None:
        self._write(("\r\x1b[K" if self._live else "") + text + "\n")

    def _write(self, text: str) -> None:
        put(text, self._stream)


def _ms(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{1e3 * seconds:.1f} ms"

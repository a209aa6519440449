"""How a run goes: a line every so many steps for people, for programs, and for TensorBoard."""

import json
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO


class Progress:
    """Means of the losses since the last line, faces a second, and the time that is left.

    Appends a JSON object a line to FOLDER/progress.jsonl, and writes FOLDER/tensorboard. Made by the
    leading process only.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        steps: int,
        every: int,
        start: int = 0,
        seconds: float = 0.0,
        tensorboard: bool = True,
        log: TextIO | None = None,
    ) -> None:
        self.folder, self.steps, self.every = folder, steps, every
        self.seconds = seconds  # spent in all, by this process and those before it
        self._log = log or sys.stderr
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self._since, self._begun_at, self._faces = time.monotonic(), start, 0
        self._forget(start)
        self._board: Any = None
        if tensorboard:
            # Takes a second to import.
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start or None)

    def add(
        self,
        step: int,
        *,
        sums: Mapping[str, float],
        counts: Mapping[str, float],
        faces: int,
        rate: float,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Step number `step` (from 1) is done: summed losses and how much they were summed over, by name.

        `weights`: what losses are multiplied by, where that is learned.
        """
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0.0) + counts[name]
        self._faces += faces
        if step % self.every == 0 or step == self.steps:
            self._line(step, rate, weights or {})

    def _forget(self, start: int) -> None:
        """Lines of steps that a killed process did after its last checkpoint will be written again."""
        path = self.folder / "progress.jsonl"
        if not path.exists():
            return
        lines = path.read_text().splitlines()
        kept = [line for line in lines if _step_of(line) <= start]
        if len(kept) != len(lines):
            partial = path.with_suffix(".partial")
            partial.write_text("".join(f"{line}\n" for line in kept))
            partial.replace(path)

    def _line(self, step: int, rate: float, weights: Mapping[str, float]) -> None:
        now = time.monotonic()
        spent = max(now - self._since, 1e-9)
        self.seconds += spent
        done = step - self._begun_at
        left = spent / done * (self.steps - step)
        losses = {
            name: round(value / self._counts[name], 5)
            for name, value in self._sums.items()
            if self._counts[name] > 0
        }
        line = {
            "step": step,
            "steps": self.steps,
            "losses": losses,
            "learning_rate": rate,
            "faces_per_second": round(self._faces / spent, 1),
            "seconds": round(self.seconds, 1),
            "seconds_left": round(left, 1),
        }
        if weights:
            line["weights"] = {name: round(value, 4) for name, value in weights.items()}
        with (self.folder / "progress.jsonl").open("a") as file:
            print(json.dumps(line), file=file)
        shown = "  ".join(
            f"{name} {value:.4g}" + (f" x {weights[name]:.3g}" if name in weights else "")
            for name, value in losses.items()
        )
        print(
            f"step {step}/{self.steps}  {shown}  {line['faces_per_second']} faces/s  {_duration(left)} left",
            file=self._log,
            flush=True,
        )
        if self._board is not None:
            for name, value in losses.items():
                self._board.add_scalar(f"loss/{name}", value, step)
            for name, value in weights.items():
                self._board.add_scalar(f"weight/{name}", value, step)
            self._board.add_scalar("learning_rate", rate, step)
            self._board.add_scalar("faces_per_second", line["faces_per_second"], step)
        self._sums, self._counts, self._faces = {}, {}, 0
        self._since, self._begun_at = now, step

    def spent(self) -> float:
        """Seconds in all up to now."""
        return self.seconds + time.monotonic() - self._since

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _step_of(line: str) -> float:
    """The step of a line; infinite for one that a kill cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"

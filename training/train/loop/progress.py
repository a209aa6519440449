"""How a run goes: a line every so many steps for people and for programs, and the same for trackers."""

import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from training.cli import Stopped
from training.train.loop.optimisation import Optimisation
from training.train.watching.terminal import Display, duration
from training.train.watching.tracker import ALWAYS_WRITTEN, Outcome
from training.train.watching.trackers import Trackers, open_trackers

T = TypeVar("T")
# Of how many of the last lines the time that is left is the mean: a checkpoint or an evaluation in one of
# them makes no other out of it.
_LINES = 5


class Progress:
    """Means of the losses since the last line, gradients, faces a second, and the time that is left.

    Appends a JSON object a line to FOLDER/progress.jsonl, and writes the same to `trackers`, which it closes.
    Made by the leading process only.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        steps: int,
        every: int,
        trackers: Trackers,
        display: Display,
        start: int = 0,
        seconds: float = 0.0,
    ) -> None:
        self.folder, self.steps, self.every = folder, steps, every
        self.seconds = seconds  # spent in all, by this process and those before it
        self._trackers, self._display = trackers, display
        self._since, self._begun_at = time.monotonic(), start
        self._paces: list[float] = []  # seconds a step, of the last lines
        # Of the steps since the last line.
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self._gradients: list[float] = []
        self._pulls: dict[str, float] = {}
        self._faces = 0
        self._forget(start)

    def add(
        self,
        step: int,
        *,
        sums: Mapping[str, float],
        counts: Mapping[str, float],
        faces: int,
        rate: float,
        gradient: float,
        pulls: Mapping[str, float] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Step number `step` (from 1) is done: summed losses and how much they were summed over, by name.

        `gradient` is the norm of all gradients before they are clipped; `pulls` the norm of each loss's own,
        where the step measured it; `weights` what losses are multiplied by, where that is learned.
        """
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0.0) + counts[name]
        self._gradients.append(gradient)
        self._pulls = dict(pulls or self._pulls)
        self._faces += faces
        if step % self.every == 0 or step == self.steps:
            self._line(step, rate, weights or {})
        self._display.step(seconds_left=self._left(step))

    def picture(self, name: str, pixels: NDArray[np.uint8], *, step: int) -> None:
        """RGB pixels [H, W, 3] of a step, into FOLDER/NAME/STEP.png and to the trackers.

        OSError where the file can't be written.
        """
        path = self.folder / name / f"{step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
        partial = path.with_suffix(".partial")
        partial.write_bytes(encoded.tobytes())
        partial.replace(path)
        self._trackers.picture(name, pixels, step=step)

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

    def _left(self, step: int) -> float:
        """Seconds; before the first line by the steps so far."""
        paces = self._paces or [(time.monotonic() - self._since) / (step - self._begun_at)]
        return float(np.mean(paces)) * (self.steps - step)

    def _line(self, step: int, rate: float, weights: Mapping[str, float]) -> None:
        now = time.monotonic()
        spent = max(now - self._since, 1e-9)
        self.seconds += spent
        self._paces = [*self._paces, spent / (step - self._begun_at)][-_LINES:]
        left = self._left(step)
        losses = {
            name: round(value / self._counts[name], 5)
            for name, value in self._sums.items()
            if self._counts[name] > 0
        }
        line: dict[str, Any] = {
            "step": step,
            "steps": self.steps,
            "losses": losses,
            "learning_rate": rate,
            "gradient_norm": _rounded(float(np.mean(self._gradients))),
            "largest_gradient_norm": _rounded(max(self._gradients)),
            "faces_per_second": round(self._faces / spent, 1),
            "seconds": round(self.seconds, 1),
            "seconds_left": round(left, 1),
        }
        if self._pulls:
            line["gradient_norms"] = {name: _rounded(value) for name, value in self._pulls.items()}
        if weights:
            line["weights"] = {name: round(value, 4) for name, value in weights.items()}
        with (self.folder / "progress.jsonl").open("a") as file:
            print(json.dumps(line), file=file)
        shown = "  ".join(
            f"{name} {value:.4g}" + (f" x {weights[name]:.3g}" if name in weights else "")
            for name, value in losses.items()
        )
        time_left = self._display.remaining(left) if left else f"after {duration(self.seconds)}"
        self._display.line(
            f"step {step}/{self.steps}  {shown}  gradient {line['gradient_norm']:.3g}  "
            f"{line['faces_per_second']} faces/s  {time_left}"
        )
        self._trackers.scalars(
            {
                **{f"loss/{name}": value for name, value in losses.items()},
                **{f"weight/{name}": value for name, value in weights.items()},
                **{f"gradient_norm/{name}": value for name, value in self._pulls.items()},
                ALWAYS_WRITTEN: rate,
                "gradient_norm/all": line["gradient_norm"],
                "gradient_norm/largest": line["largest_gradient_norm"],
                "faces_per_second": line["faces_per_second"],
            },
            step=step,
        )
        self._sums, self._counts, self._gradients, self._pulls, self._faces = {}, {}, [], {}, 0
        self._since, self._begun_at = now, step

    def spent(self) -> float:
        """Seconds in all up to now."""
        return self.seconds + time.monotonic() - self._since

    def close(self, outcome: Outcome) -> None:
        """How this process's part of the run ended."""
        self._display.close()
        self._trackers.close(outcome)


@contextlib.contextmanager
def watched_progress(
    optimisation: Optimisation,
    *,
    folder: pathlib.Path,
    settings: Mapping[str, Any],
    start: int,
    seconds: float,
) -> Iterator[Progress]:
    """The progress of a run that stands after step `start`, closed as it ends.

    `settings` are what trackers keep of the run; `seconds` were spent before. ValueError where a tracker
    can't be opened.
    """
    trackers = open_trackers(optimisation.trackers, folder, settings=settings, step=start)
    progress = Progress(
        folder,
        steps=optimisation.steps,
        every=optimisation.progress_every,
        trackers=trackers,
        display=Display(optimisation.steps, start=start),
        start=start,
        seconds=seconds,
    )
    outcome = Outcome.FAILED
    try:
        yield progress
        outcome = Outcome.FINISHED
    except Stopped:
        outcome = Outcome.STOPPED
        raise
    finally:
        progress.close(outcome)


def undisturbed(
    draw: Callable[[T], NDArray[np.uint8]], drawn: T, *, device: torch.device
) -> NDArray[np.uint8]:
    """What `draw` makes, with torch's random numbers as they were before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        return draw(drawn)


def is_due(step: int, every: int) -> bool:
    """Whether something is done at a step that is done every so many steps; 0: never."""
    return every > 0 and step % every == 0


def _rounded(value: float) -> float:
    """To five digits that count: gradients may be small."""
    return float(f"{value:.5g}")


def _step_of(line: str) -> float:
    """The step of a line; infinite for one that a kill cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")

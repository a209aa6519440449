"""Losses and the learning rate of training runs over their steps."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def add_curves(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `curves`."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.set_defaults(draw=lambda args: draw_curves(args.runs))


def read_progress(run: Path) -> list[dict[str, Any]]:
    """The lines of RUN/progress.jsonl in order of their steps.

    A run that was killed resumes from its last checkpoint: of a step that was done twice the later line is
    kept. ValueError where the file is missing, empty or something else.
    """
    path = run / "progress.jsonl" if run.is_dir() else run
    by_step: dict[int, dict[str, Any]] = {}
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ValueError(
            f"{path} can't be read ({error.strerror}): name the --run folder of a training run"
        ) from None
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            step, _ = int(line["step"]), dict(line["losses"])
        except (ValueError, KeyError, TypeError):
            if number == len(lines):  # cut short by a kill
                continue
            raise ValueError(
                f"line {number} of {path} is no line of progress: name the --run folder of a training run"
            ) from None
        by_step = {before: known for before, known in by_step.items() if before < step} | {step: line}
    if not by_step:
        raise ValueError(f"{path} has no line of progress yet: wait for the run's first one")
    return list(by_step.values())


def draw_curves(runs: Sequence[Path]) -> Figure:
    """A panel for each loss and for the learning rate, over the steps; a line a run."""
    read = {run: read_progress(run) for run in runs}
    losses = list(dict.fromkeys(name for lines in read.values() for line in lines for name in line["losses"]))
    rate = any("learning_rate" in line for lines in read.values() for line in lines)
    names = [*losses, *(["learning_rate"] if rate else [])]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3 * columns, 2.2 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        for lines in read.values():
            values = [line["losses"].get(name, line.get(name, np.nan)) for line in lines]
            axis.plot(
                [line["step"] for line in lines], values, linewidth=1, marker="." if len(lines) < 3 else ""
            )
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    if len(runs) > 1:
        figure.legend(axes[0].get_lines(), [str(run) for run in runs], loc="outside upper center", fontsize=8)
    return figure

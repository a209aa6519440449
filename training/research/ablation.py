"""Table 5 on one's own data: the gains from multi-task learning, queries and the fusion of stages.

  python -m training.research.ablation --data data/prepared --run var/ablation --config qface_test --steps 400
  python -m training.research.ablation --data data/prepared --run var/balances --table balance

The first trains the paper's four methods with the same steps, faces a step and seed: `task-specific` (a
network a task, on the sets that have its labels), `multi-head` (one encoder, a linear head a task), `without
fusion` (queries over the last stage alone) and `full`. The second compares the full network under fixed
task weights with learned ones (training.train.objectives.loss_weighting). Each network is a run of
training.train.finetune in a folder of its own: a killed run resumes, a finished one is kept. RUN/table.md and
RUN/table.json hold the result.

As in the paper, classification counts by macro F1, regression by concordance, and AVG is the plain mean of
the columns. Points and masks have no such number and stay out.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.cli import run_cli
from training.data.prepared.face_set import FaceSet, prepared_sets
from training.evaluation.published_figures import TABLE_5, TABLE_5_AVG, TABLE_5_COLUMNS
from training.evaluation.report import write_text
from training.evaluation.tables import markdown_table
from training.kinds import kind_of
from training.models import QFaceConfig
from training.research.trained_results import trained_results
from training.tasks import CATALOGUE
from training.train.loop.distributed import Distributed
from training.train.objectives.loss_weighting import LOSS_WEIGHTINGS
from training.train.overrides import overridden
from training.train.recipes import RECIPES, run_named
from training.train.run_config import Run
from training.train.run_options import add_run_options, adopt_own_tasks, place_of, take_cores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the table."""

    name: str
    marks: tuple[bool, ...]  # under the table's first columns
    change: Callable[[Run], Run]
    per_task: bool = False  # a network a task


def _pooled(run: Run) -> Run:
    assert isinstance(run.model, QFaceConfig)
    return dataclasses.replace(run, model=dataclasses.replace(run.model, head="pooled", mask_laterals=()))


def _without_fusion(run: Run) -> Run:
    assert isinstance(run.model, QFaceConfig)
    model = dataclasses.replace(run.model, stages=run.model.stages[-1:], fusion_block=False)
    return dataclasses.replace(run, model=model)


MARKS = ("MT", "QD", "MFF")  # many tasks, queries, fusion of several stages: table 5's own words
METHODS = (
    Method(name="task-specific", marks=(False, False, False), change=_pooled, per_task=True),
    Method(name="multi-head", marks=(True, False, False), change=_pooled),
    Method(name="without fusion", marks=(True, True, False), change=_without_fusion),
    Method(name="full", marks=(True, True, True), change=lambda run: run),
)


def _balanced(name: str) -> Method:
    return Method(name=name, marks=(), change=lambda run: dataclasses.replace(run, loss_weighting=name))


TABLES: dict[str, tuple[tuple[str, ...], tuple[Method, ...]]] = {
    "methods": (MARKS, METHODS),
    "balance": ((), tuple(_balanced(name) for name in LOSS_WEIGHTINGS)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablation:
    """A comparison of methods: what they train on, and what they are evaluated on."""

    run: Run  # of the full network, restricted to the tasks and sets below
    data: Path
    folder: Path
    limit: int | None = None  # faces of each set that methods are evaluated on; None: all

    @classmethod
    def on(
        cls, run: Run, *, data: Path, folder: Path, sets: Sequence[str] | None, limit: int | None
    ) -> "Ablation":
        """The run restricted to the sets at hand (or those named) and to the tasks that they train and test.

        ValueError where nothing is left, and for a network that the table's methods can't be made of.
        """
        if not isinstance(run.model, QFaceConfig):
            raise ValueError(
                f"{run.name} is no Q-Face, whose parts the table takes away: choose another --config"
            )
        names = list(sets) if sets is not None else list(dict.fromkeys(s.name for s in run.sources))
        present = [faces.name for faces in prepared_sets(data, split="train", names=sets)]
        names = [name for name in names if name in present]
        tasks: dict[str, list[str]] = {}  # by task, the sets that train and test it
        for name in names:
            train = FaceSet(data / name, split="train")
            if "test" not in train.manifest["faces"]:
                continue
            tested = FaceSet(data / name, split="test").columns
            for task in run.model.all_tasks:
                if kind_of(CATALOGUE[task]).paper_metric and task in train.columns and task in tested:
                    tasks.setdefault(task, []).append(name)
        if not tasks:
            raise ValueError(
                f"no set under {data} trains and tests a task of {run.name} that table 5 has a number for: "
                "prepare one, or name others with --sets"
            )
        sources = [name for name in names if any(name in places for places in tasks.values())]
        order = [task for task in run.model.all_tasks if task in tasks]
        model = dataclasses.replace(run.model, tasks=tuple(order), extensions=())
        kept = dataclasses.replace(run.with_sources(sources), model=model, kept_out=limit)
        return cls(run=kept, data=data, folder=folder, limit=limit)

    def runs(self, method: Method) -> dict[str, Run]:
        """The runs that a method takes, by the name of their folder."""
        slug = method.name.replace(" ", "-")
        run = method.change(self.run)
        if not method.per_task:
            return {slug: dataclasses.replace(run, name=slug)}
        runs = {}
        for task in run.model.all_tasks:
            sources = tuple(s for s in run.sources if task in self._train(s.name).columns)
            model = run.model.with_tasks((task,))
            name = f"{slug}-{task}"
            runs[name] = dataclasses.replace(run, name=name, model=model, sources=sources)
        return runs

    def result(self, method: Method, *, where: Distributed) -> list[dict[str, Any]]:
        """The results of a method as JSON rows, trained if need be; empty on all but the leading process."""
        return [
            row
            for name, run in self.runs(method).items()
            for row in trained_results(
                run, data=self.data, folder=self.folder / name, where=where, limit=self.limit
            )
            if not row["subset"]
        ]

    def _train(self, name: str) -> FaceSet:
        return FaceSet(self.data / name, split="train")


def as_table(rows_of: Mapping[str, Sequence[Mapping[str, Any]]], *, kind: str) -> str:
    """The table in Markdown, numbers times 100 as in the paper; with its published figures where it has any.

    `rows_of`: by method, the rows of its evaluation. The last line is half the width of the last method's
    95 % intervals: smaller differences are not significant.
    """
    heading, methods = TABLES[kind]
    shown = [method for method in methods if method.name in rows_of]
    columns = list(dict.fromkeys(_column(row) for method in shown for row in rows_of[method.name]))
    lines = []
    for method in shown:
        numbers = {_column(row): _value(row)[0] for row in rows_of[method.name]}
        lines.append(
            [method.name, *_marks(method.marks)]
            + [_hundred(numbers.get(column)) for column in columns]
            + [_hundred(average([numbers.get(column) for column in columns]))]
        )
    widths = {_column(row): _half_width(row) for row in rows_of[shown[-1].name]} if shown else {}
    lines.append(
        ["95 % interval, +-", *[""] * len(heading), *(_hundred(widths.get(column)) for column in columns), ""]
    )
    names = [f"{task} on {name} ({'CCC' if metric == 'ccc' else 'F1'})" for task, name, metric in columns]
    text = markdown_table(("method", *heading, *names, "AVG"), lines)
    if kind == "methods":
        text += f"\n\nThe paper's (on the whole sets, with 134 M parameters):\n\n{_published()}"
    return text + "\n"


def average(numbers: Sequence[float | None]) -> float | None:
    """AVG: the plain mean; None where a number is missing."""
    known = [number for number in numbers if number is not None]
    return float(np.mean(known)) if known and len(known) == len(numbers) else None


def _column(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["task"], row["set"], kind_of(CATALOGUE[row["task"]]).paper_metric


def _value(row: Mapping[str, Any]) -> list[float | None]:
    found: list[float | None] = row["values"][_column(row)[2]]
    return found


def _half_width(row: Mapping[str, Any]) -> float | None:
    _, low, high = _value(row)
    return None if low is None or high is None else (high - low) / 2


def _hundred(number: float | None) -> str:
    return "-" if number is None else f"{100 * number:.2f}"


def _marks(marks: Sequence[bool]) -> list[str]:
    return ["yes" if mark else "" for mark in marks]


def _published() -> str:
    marks = {method.name: _marks(method.marks) for method in METHODS}
    lines = [
        [name, *marks[name], *(f"{number:.2f}" for number in numbers), f"{TABLE_5_AVG[name]:.2f}"]
        for name, numbers in TABLE_5.items()
    ]
    return markdown_table(
        ("method", *MARKS, *(f"{task} on {name}" for task, name in TABLE_5_COLUMNS), "AVG"), lines
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status: 0, 2 with one sentence, or 128 and the signal's number."""
    parser = argparse.ArgumentParser(
        prog="python -m training.research.ablation",
        description=__doc__.partition("\n\n")[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_options(
        parser,
        folder="where networks and tables go",
        example="learning_rate=1e-3, accumulate=2",
    )
    parser.add_argument("--config", default="qface_test", help=f"the full method's: {', '.join(RECIPES)}")
    parser.add_argument("--table", choices=TABLES, default="methods", help="the comparison")
    parser.add_argument("--sets", help="take these sets, separated by commas, instead of the config's")
    parser.add_argument("--steps", type=int, help="of every network, instead of the config's")
    parser.add_argument("--limit", type=int, help="evaluate on so many faces of each set, evenly spread")
    options = parser.parse_args(arguments)

    def work() -> None:
        take_cores(options.threads)
        sets = None if options.sets is None else [name.strip() for name in options.sets.split(",")]
        adopt_own_tasks(options.tasks, data=options.data, sets=sets)
        settings = [*([f"steps={options.steps}"] if options.steps is not None else []), *options.settings]
        run = run_named(options.config)
        run = overridden(run if sets is None else run.with_sources(sets), settings)
        ablation = Ablation.on(run, data=options.data, folder=options.run, sets=sets, limit=options.limit)
        with place_of(options) as where:
            rows = {}
            for method in TABLES[options.table][1]:
                rows[method.name] = ablation.result(method, where=where)
                if where.leads:
                    text = as_table(rows, kind=options.table)
                    write_text(options.run / "table.md", text)
                    write_text(options.run / "table.json", json.dumps(rows, indent=1) + "\n")
            if where.leads:
                print(text)

    return run_cli("training.research.ablation", work, place=options.run)


if __name__ == "__main__":
    sys.exit(main())

"""What one network does better than another, and whether that is more than chance: paired intervals.

    python -m training.compare var/before var/after --data data/prepared --markdown table.md
    python -m training.compare weights/qface-tiny.safetensors var/tiny --data data/prepared --sets celeba

Each is the folder of a run, a checkpoint, an ONNX file or a server (`grpc://HOST:PORT`). Both answer the same
crops. The difference of each metric has the 95 % interval of a bootstrap that draws the same faces (or
persons) for both: what is hard for both makes neither better, so it is narrower than those of the two. Of two
folders the settings that differ are told, too.
"""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from training.cli import run_cli, words_of
from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet, prepared_sets
from training.evaluation.bootstrap import Values, Weights, clusters_of
from training.evaluation.bootstrap import intervals as bootstrap_intervals
from training.evaluation.evaluate import chunks
from training.evaluation.evaluated_task import EvaluatedTask, evaluated_task
from training.evaluation.metric_accumulator import FaceStatistics, MetricAccumulator
from training.evaluation.metrics import less_is_better
from training.evaluation.predictors import Predictor, load_predictor
from training.evaluation.protocols import main_metric
from training.evaluation.report import json_number, json_numbers, write_text
from training.evaluation.results import Estimate
from training.evaluation.tables import format_estimate, format_metric, markdown_table
from training.kinds import kind_of
from training.train.loop.run_state import differences, identity_of, load_state

BETTER, WORSE, ALIKE = "better", "worse", "-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric of one task on one set, of both networks."""

    task: str
    set: str
    metric: str
    faces: int
    first: float
    second: float
    difference: Estimate  # second - first

    @property
    def verdict(self) -> str:
        """Whether the second is better or worse by more than the interval; else "-"."""
        low, high = self.difference.low, self.difference.high
        if math.isnan(low) or low <= 0 <= high:
            return ALIKE
        return BETTER if (high < 0) == less_is_better(self.metric) else WORSE


def compare(
    first: Predictor,
    second: Predictor,
    sets: Sequence[FaceSet],
    *,
    every_metric: bool = False,
    limit: int | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> list[Difference]:
    """The differences of all tasks that both answer, on every set that labels them.

    By default the main metric of each; `every_metric` adds the others, but those of single labels.
    ValueError where there is nothing to compare.
    """
    ours, theirs = _tasks(first), _tasks(second)
    common = [name for name in ours if name in theirs]
    found: list[Difference] = []
    for faces in sets:
        derive(faces, common)
        labelled = [name for name in common if kind_of(ours[name].task).labelled(ours[name].task, faces)]
        pairs = {name: (MetricAccumulator(ours[name]), MetricAccumulator(theirs[name])) for name in labelled}
        if not pairs:
            continue
        for rows in chunks(len(faces), limit=limit):
            for side, network in enumerate((first, second)):
                answers = network.predict(faces.served_crops(rows, size=network.input_size))
                for pair in pairs.values():
                    pair[side].add(answers, faces, rows)
        for name, pair in pairs.items():
            one, other = (accumulator.statistics() for accumulator in pair)
            if one and other:
                found += _differences(
                    one[0], other[0], faces, task=name, draws=draws, seed=seed, every=every_metric
                )
    if not found:
        names = ", ".join(faces.name for faces in sets)
        raise ValueError(
            f"{first.name} and {second.name} share no task that {names} labels: prepare other sets"
        )
    return found


def _tasks(network: Predictor) -> dict[str, EvaluatedTask]:
    found = (evaluated_task(entry, input_size=network.input_size) for entry in network.tasks)
    return {one.task.name: one for one in found if one is not None}


def _differences(
    first: FaceStatistics,
    second: FaceStatistics,
    faces: FaceSet,
    *,
    task: str,
    draws: int,
    seed: int,
    every: bool,
) -> Iterator[Difference]:
    def between(weights: Weights) -> Values:
        before, after = first.values(weights), second.values(weights)
        return {name: after[name] - before[name] for name in before if name in after}

    before, after = first.plain(first.values), second.plain(second.values)
    ends = bootstrap_intervals(between, clusters_of(faces.persons[first.indices]), count=draws, seed=seed)
    main = main_metric(task, faces.name)
    main = main if main in before else next(iter(before))
    for name in [main, *(other for other in before if every and other != main and "/" not in other)]:
        low, high = ends.get(name, (math.nan, math.nan))
        yield Difference(
            task=task,
            set=faces.name,
            metric=name,
            faces=len(first.indices),
            first=before[name],
            second=after.get(name, math.nan),
            difference=Estimate(value=after.get(name, math.nan) - before[name], low=low, high=high),
        )


def as_markdown(found: Sequence[Difference], *, first: str, second: str) -> str:
    """The table, and how many differences are more than chance."""
    lines = [
        [
            one.task,
            one.set,
            f"{one.faces:,}",
            one.metric,
            format_metric(one.task, one.metric, one.first),
            format_metric(one.task, one.metric, one.second),
            format_estimate(one.task, one.metric, one.difference),
            one.verdict,
        ]
        for one in found
    ]
    heading = ("task", "set", "faces", "metric", first, second, "difference [95 %]", "")
    better, worse = (sum(one.verdict == verdict for one in found) for verdict in (BETTER, WORSE))
    return (
        f"{markdown_table(heading, lines)}\n\nOf {len(found)} rows {second} is better in {better} and worse "
        f"in {worse}, by more than the interval of the difference.\n"
    )


def network_of(place: str) -> str:
    """The network of a run's folder; anything else as it is. ValueError for a run that is not finished."""
    folder = Path(place)
    if not folder.is_dir():
        return place
    weights = folder / "model.safetensors"
    if not weights.exists():
        raise ValueError(f"{folder} has no model.safetensors: a run leaves it at its end")
    return str(weights)


def changed_settings(first: str, second: str) -> list[str]:
    """What differs between the settings and data of two runs' folders; empty for what is none."""
    states = [Path(place) / "last.pt" for place in (first, second)]
    if not all(state.is_file() for state in states):
        return []
    before, after = (identity_of(load_state(state)) for state in states)
    return differences(before, after, places=(f"in {first}", f"in {second}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.compare",
        description=__doc__.partition("\n\n")[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", metavar="RUN", help="what was before")
    parser.add_argument("second", metavar="RUN", help="what is to be better")
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", help="only these, separated by commas")
    parser.add_argument("--all-metrics", action="store_true", help="not only the main metric of each task")
    parser.add_argument("--limit", type=int, help="so many faces of each set, evenly spread")
    parser.add_argument("--bootstrap", type=int, default=1000, help="draws for the intervals (0: none)")
    parser.add_argument("--device", default="cpu", help="where torch runs a checkpoint: cpu or cuda")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    options = parser.parse_args(arguments)

    def work() -> None:
        if (options.limit is not None and options.limit < 1) or options.bootstrap < 0:
            raise ValueError("--limit must be 1 or more, and --bootstrap 0 or more")
        names = words_of(options.sets) if options.sets else None
        sets = prepared_sets(options.data, names=names)
        networks = [
            load_predictor(network_of(place), device=options.device)
            for place in (options.first, options.second)
        ]
        found = compare(
            networks[0],
            networks[1],
            sets,
            every_metric=options.all_metrics,
            limit=options.limit,
            draws=options.bootstrap,
        )
        table = as_markdown(found, first=options.first, second=options.second)
        for setting in changed_settings(options.first, options.second):
            table += f"\n- {setting}"
        print(table)
        if options.markdown:
            write_text(options.markdown, table.rstrip() + "\n")
        if options.json:
            write_text(options.json, _as_json(found, first=options.first, second=options.second))

    return run_cli("training.compare", work, place=Path())


def _as_json(found: Sequence[Difference], *, first: str, second: str) -> str:
    rows = [
        {
            "task": one.task,
            "set": one.set,
            "metric": one.metric,
            "faces": one.faces,
            "first": json_number(one.first),
            "second": json_number(one.second),
            "difference": json_numbers(one.difference),
            "verdict": one.verdict,
        }
        for one in found
    ]
    return json.dumps({"first": first, "second": second, "rows": rows}, indent=1, allow_nan=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())

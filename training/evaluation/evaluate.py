"""The metrics of a network on held-out faces, with those of constant baselines for comparison.

  python -m training.evaluation.evaluate weights/qface-tiny.safetensors --data data/prepared --markdown t.md
  python -m training.evaluation.evaluate var/build/qface-tiny/onnx/model.onnx --data data/prepared
  python -m training.evaluation.evaluate grpc://localhost:8001 --data data/prepared --sets lfwa --json t.json
  python -m training.evaluation.evaluate grpc://localhost:8001 --data data/prepared --photos celeba=DIR \\
      --beside weights/qface-tiny.safetensors --groups gender,age_group

The same code measures checkpoints, exported networks and servers, so their figures can be compared. Each
metric has the 95 % interval of a bootstrap over faces, or over persons where the set names them. `trivial`
is the best constant baseline: the most frequent class or the median, learned from the set's training split
where it has one.

A server receives the prepared crops, or, for the sets of --photos, the photos that they were prepared from:
then it detects and crops the face itself, and faces that it does not find are counted. --beside measures
another network on the crops of the same faces, --groups each task on subgroups of faces by human labels.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import TaskEntry
from training.cli import run_cli, words_of
from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet, in_split, prepared_sets
from training.data.sample import SPLITS
from training.evaluation.evaluated_task import EvaluatedTask, evaluated_task
from training.evaluation.metric_accumulator import Bootstrap, MetricAccumulator, results_of
from training.evaluation.predictors import (
    BATCH,
    SERVER,
    Predict,
    Predictions,
    PredictionSource,
    Predictor,
    check_crops,
    crop_source,
    load_predictor,
    photo_analysis,
    torch_predict,
)
from training.evaluation.published_figures import is_whole_test_set
from training.evaluation.results import Estimate, TaskResult, summary
from training.evaluation.subgroups import check_subgroup_tasks, subgroupings
from training.kinds import kind_of

__all__ = [
    "Predict",
    "Predictions",
    "Estimate",
    "TaskResult",
    "torch_predict",
    "evaluate",
    "prepared_sets",
    "summary",
]


def evaluate(
    predict: Predict,
    contract_tasks: Sequence[TaskEntry],
    sets: Sequence[FaceSet],
    *,
    input_size: int,
    limit: int | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    training: Sequence[FaceSet] = (),
    validation: Sequence[FaceSet] = (),
    sources: Mapping[str, PredictionSource] | None = None,
    comparison: Predictor | None = None,
    subgroups: Sequence[str] = (),
) -> list[TaskResult]:
    """A result for every task of the contract on every set (and named part of one) that has labels for it.

    `predict` maps crops [N <= 32, S, S, 3] to predictions: torch, an engine, a server. `contract_tasks` are
    the entries of its contract. `limit` takes so many faces of each set, evenly spread. `bootstrap` is the
    number of draws (0: no intervals). `training` are the same sets' training splits, from which constant
    baselines are learned; `validation` other faces, on which a threshold a label is fitted for multilabel
    tasks. `sources` replaces the crops of a set, by its name, as what predictions are made of. `comparison`
    is measured on the crops of those faces that were found. `subgroups` are tasks whose human labels split
    faces into subgroups. ValueError when a prediction is missing, not finite, or made for other labels than
    the catalogue's.
    """
    evaluated_tasks = _evaluated_tasks(contract_tasks, input_size=input_size)
    compared = _evaluated_tasks(comparison.tasks, input_size=comparison.input_size) if comparison else {}
    training_splits = {faces.name: [faces] for faces in training}
    validation_splits = {faces.name: faces for faces in validation}
    for faces in (*sets, *training, *validation):
        derive(faces, list(evaluated_tasks))
    results: list[TaskResult] = []
    for faces in sets:
        labelled = [one for one in evaluated_tasks.values() if kind_of(one.task).labelled(one.task, faces)]
        if faces.name in validation_splits:
            labelled = _with_fitted_thresholds(predict, labelled, validation_splits[faces.name], limit=limit)
        accumulators = {
            evaluated.task.name: MetricAccumulator(
                evaluated,
                constants=_constant_baselines(evaluated, [*training_splits.get(faces.name, ()), faces]),
            )
            for evaluated in labelled
        }
        if not accumulators:
            continue
        others = {name: MetricAccumulator(compared[name]) for name in accumulators if name in compared}
        source = (sources or {}).get(faces.name) or crop_source(predict, size=input_size)
        for indices in chunks(len(faces), limit=limit):
            batch = source.predict(faces, indices, labelled)
            for accumulator in accumulators.values():
                accumulator.add(batch.predictions, faces, indices, found=batch.found)
            if others and comparison is not None and batch.found.any():
                found = indices[batch.found]
                predictions = comparison.predict(faces.served_crops(found, size=comparison.input_size))
                for accumulator in others.values():
                    accumulator.add(predictions, faces, found)
        by_task = subgroupings(faces, subgroups)
        for name, accumulator in accumulators.items():
            results += results_of(
                accumulator,
                faces,
                bootstrap=Bootstrap(draws=bootstrap, seed=seed),
                source=source,
                comparison=others.get(name),
                subgroupings=by_task,
                with_published=is_whole_test_set(faces, limit=limit),
            )
    return results


def _evaluated_tasks(entries: Sequence[TaskEntry], *, input_size: int) -> dict[str, EvaluatedTask]:
    """The tasks of a contract's entries, by name."""
    found = [evaluated_task(entry, input_size=input_size) for entry in entries]
    return {evaluated.task.name: evaluated for evaluated in found if evaluated is not None}


def chunks(count: int, *, limit: int | None) -> Iterator[NDArray[np.int64]]:
    """Row numbers of `limit` faces (None: all) spread evenly over `count`, a batch at a time."""
    # Sets are often sorted by class or person: their first faces would be no sample of them.
    rows = np.arange(count) if limit is None or limit >= count else np.arange(limit) * count // limit
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _constant_baselines(evaluated: EvaluatedTask, candidates: Sequence[FaceSet]) -> list[NDArray[Any]]:
    """Predictions that depend on no face (at least one), learned from the first set that has labels."""
    kind = kind_of(evaluated.task)
    faces = next(faces for faces in candidates if kind.labelled(evaluated.task, faces))
    sample = chunks(len(faces), limit=kind.constant_faces)
    labels = np.concatenate([kind.labels_of(evaluated, faces, rows) for rows in sample])
    return kind.constants(evaluated, labels[kind.known(labels)])


def _with_fitted_thresholds(
    predict: Predict, evaluated_tasks: Sequence[EvaluatedTask], faces: FaceSet, *, limit: int | None
) -> list[EvaluatedTask]:
    """The tasks, those of several labels with the thresholds that are best on `faces`."""
    fits = [one for one in evaluated_tasks if _fits_thresholds(one, faces)]
    accumulators = {evaluated.task.name: MetricAccumulator(evaluated) for evaluated in fits}
    if not accumulators:
        return list(evaluated_tasks)
    size = evaluated_tasks[0].input_size
    for indices in chunks(len(faces), limit=limit):
        predictions = predict(faces.served_crops(indices, size=size))
        for accumulator in accumulators.values():
            accumulator.add(predictions, faces, indices)
    return [
        dataclasses.replace(
            evaluated,
            fitted=kind_of(evaluated.task).fitted_thresholds(
                evaluated, accumulators[name].statistics()[0].stats
            ),
        )
        if (name := evaluated.task.name) in accumulators
        else evaluated
        for evaluated in evaluated_tasks
    ]


def _fits_thresholds(evaluated: EvaluatedTask, faces: FaceSet) -> bool:
    kind = kind_of(evaluated.task)
    return kind.threshold is not None and kind.labelled(evaluated.task, faces)


def add_measured(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that measures a network: which one, on which faces."""
    parser.add_argument("network", help=f"a checkpoint, a .onnx file, or {SERVER}host:port")
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", help="only these, separated by commas")
    parser.add_argument(
        "--photos",
        nargs="+",
        default=[],
        metavar="SET=DIR",
        help="ask a server about these sets' photos, in the folders that they were prepared from",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    from training.evaluation.report import as_json, as_markdown, write_text

    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.evaluate",
        description=__doc__.partition("\n\n")[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_measured(parser)
    parser.add_argument("--beside", metavar="NETWORK", help="another one, measured on the same faces' crops")
    parser.add_argument(
        "--groups",
        metavar="TASKS",
        help="each task also on the faces that people labelled alike in these: gender,race,age_group",
    )
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--limit", type=int, help="so many faces of each set, evenly spread")
    parser.add_argument("--bootstrap", type=int, default=1000, help="draws for the intervals (0: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument(
        "--fit-thresholds",
        choices=("train", "validation"),
        help="F1 also with a threshold a label, fitted on this split of each set",
    )
    parser.add_argument("--device", default="cpu", help="where torch runs a checkpoint: cpu or cuda")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    options = parser.parse_args(arguments)

    def work() -> None:
        if (options.limit is not None and options.limit < 1) or options.bootstrap < 0:
            raise ValueError("--limit must be 1 or more, and --bootstrap 0 or more")
        check_seed(options.seed)
        subgroups = names_of(options.groups) or []
        check_subgroup_tasks(subgroups)
        predictor = load_predictor(options.network, device=options.device, crop=None)
        sets = prepared_sets(options.data, split=options.split, names=names_of(options.sets), crop=None)
        sources = _photo_sources(predictor, options.photos, sets)
        check_crops(predictor, [faces for faces in sets if faces.name not in sources])
        fitting = _fitting_sets(sets, options.fit_thresholds) if options.fit_thresholds else []
        comparison = (
            load_predictor(options.beside, device=options.device, crop=None) if options.beside else None
        )
        if comparison is not None:
            check_crops(comparison, sets)
        results = evaluate(
            predictor.predict,
            predictor.tasks,
            sets,
            input_size=predictor.input_size,
            limit=options.limit,
            bootstrap=options.bootstrap,
            seed=options.seed,
            training=in_split(sets, "train"),
            validation=fitting,
            sources=sources,
            comparison=comparison,
            subgroups=subgroups,
        )
        if options.fit_thresholds:
            _log_unfitted(predictor, sets, fitting=fitting, split=options.fit_thresholds)
        if not results:
            raise ValueError(
                f"{options.network} answers nothing that {', '.join(faces.name for faces in sets)} "
                "has labels for: prepare other sets"
            )
        tables = as_markdown(results, comparison=options.beside, precision=predictor.precision)
        print(tables)
        if options.json:
            write_text(
                options.json,
                as_json(results, predictor=predictor, comparison=comparison, options=vars(options)),
            )
        if options.markdown:
            write_text(options.markdown, tables)

    return run_cli("training.evaluation.evaluate", work, place=options.json or options.markdown or Path())


def names_of(words: str | None) -> list[str] | None:
    """The names among words separated by commas; None for none."""
    return words_of(words or "") or None


def check_seed(seed: int) -> None:
    """ValueError for a seed that can't be one."""
    if seed < 0:
        raise ValueError(f"--seed {seed} can't be one: take 0 or more")


def _fitting_sets(sets: Sequence[FaceSet], split: str) -> list[FaceSet]:
    """The split of these sets that thresholds are fitted on. ValueError where no set has it."""
    found = in_split(sets, split)
    if not found:
        raise ValueError(
            f"--fit-thresholds {split}: no set of {', '.join(faces.name for faces in sets)} has faces in "
            f"{split}: name the other split, or leave it out"
        )
    return found


def _log_unfitted(
    predictor: Predictor, sets: Sequence[FaceSet], *, fitting: Sequence[FaceSet], split: str
) -> None:
    """Names the sets for which nothing was fitted, of those that have labels of tasks with thresholds."""
    tasks = _evaluated_tasks(predictor.tasks, input_size=predictor.input_size).values()

    def fits(faces: FaceSet) -> bool:
        return any(_fits_thresholds(task, faces) for task in tasks)

    fitted = {faces.name for faces in fitting if fits(faces)}
    wanted = [faces for faces in sets if fits(faces)] or sets
    if unfitted := [faces.name for faces in wanted if faces.name not in fitted]:
        print(
            f"training.evaluation.evaluate: no threshold was fitted for {', '.join(unfitted)}: no face in "
            f"{split} has labels of a task that has thresholds",
            file=sys.stderr,
        )


def _photo_sources(
    predictor: Predictor, words: Sequence[str], sets: Sequence[FaceSet]
) -> Mapping[str, PredictionSource]:
    """The sources of --photos; imported only where there are any, as they need the client."""
    if not words:
        return {}
    from training.evaluation.served_photos import photo_source, set_photos

    analyze = photo_analysis(predictor)
    return {name: photo_source(photos, analyze) for name, photos in set_photos(words, sets).items()}


if __name__ == "__main__":
    sys.exit(main())

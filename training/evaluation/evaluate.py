"""What a network reaches on faces that it was not trained on, beside what needs no network.

    python -m training.evaluation.evaluate weights/qface-tiny.safetensors --data data/prepared --markdown table.md
    python -m training.evaluation.evaluate var/build/qface-tiny/onnx/model.onnx --data data/prepared
    python -m training.evaluation.evaluate grpc://localhost:8001 --data data/prepared --sets celeba --json served.json
    python -m training.evaluation.evaluate grpc://localhost:8001 --data data/prepared --photos celeba=DIR \\
        --beside weights/qface-tiny.safetensors --groups gender,age_group

One code measures all: what was trained, what was exported and what is served can be compared. Each metric
comes with the 95 % interval of a bootstrap over faces, or over persons where the set names them. `trivial`
is the best that always the same answer reaches: the most frequent class, the median, learned from the set's
training split where that is there.

A server is asked about the prepared crops, or, for the sets of --photos, about the photos that they were
prepared from: then it finds and crops the face itself, and faces that it does not find are counted.
--beside measures another network on the crops of the same faces, --groups each task on the faces that
people labelled alike.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet, prepared_sets
from training.data.sample import SPLITS
from training.evaluation.evaluated_task import Question, question_of
from training.evaluation.metric_accumulator import Bootstrap, Judged, has_labels, labels_of, rows_of
from training.evaluation.metrics import MEASURES, fitted_thresholds
from training.evaluation.predictors import (
    BATCH,
    SERVER,
    Answering,
    Answers,
    Asking,
    Subject,
    about_crops,
    answers_of,
    subject_of,
)
from training.evaluation.published_figures import comparable
from training.evaluation.results import Estimate, Row, summary
from training.evaluation.subgroups import check_groups, groupings
from training.tasks import Kind

__all__ = ["Answering", "Answers", "Estimate", "Row", "answers_of", "evaluate", "prepared_sets", "summary"]

_MASKS_OF_A_TRIVIAL_ANSWER = 500  # masks that the most frequent class of each pixel is counted over


def evaluate(
    answer: Answering,
    contract_tasks: Sequence[Mapping[str, Any]],
    sets: Sequence[FaceSet],
    *,
    input_size: int,
    limit: int | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    training: Sequence[FaceSet] = (),
    validation: Sequence[FaceSet] = (),
    photos: Mapping[str, Asking] | None = None,
    beside: Subject | None = None,
    groups: Sequence[str] = (),
) -> list[Row]:
    """A row for every task of the contract on every set (and named part of one) that has labels for it.

    `answer` is anything that answers crops [N <= 32, S, S, 3]: torch, an engine, a server; `contract_tasks`
    its contract's entries. `limit` takes so many faces of each set, evenly spread. `bootstrap` is the number
    of draws (0: no intervals). `training` are the same sets' training splits, from which trivial answers
    are learned; `validation` other faces, on which a threshold a label is fitted for multilabel tasks.
    `photos` are the sets, by name, whose faces are asked about in another way than by their crops. `beside`
    is measured on the crops of those faces that were found, and `groups` are tasks whose human labels put
    faces into groups. ValueError when an answer is missing, not finite, or made by other labels than the
    catalogue's.
    """
    questions = _questions(contract_tasks, input_size=input_size)
    compared = _questions(beside.tasks, input_size=beside.input_size) if beside else {}
    learned_from = {faces.name: [faces] for faces in training}
    fitted_on = {faces.name: faces for faces in validation}
    for faces in (*sets, *training, *validation):
        derive(faces, list(questions))
    rows: list[Row] = []
    for faces in sets:
        there = [question for question in questions.values() if has_labels(faces, question)]
        if faces.name in fitted_on:
            there = _fitted(answer, there, fitted_on[faces.name], limit=limit)
        judged = {
            question.task.name: Judged(
                question, constants=_trivial(question, [*learned_from.get(faces.name, ()), faces])
            )
            for question in there
        }
        if not judged:
            continue
        others = {name: Judged(compared[name]) for name in judged if name in compared}
        asking = (photos or {}).get(faces.name) or about_crops(answer, size=input_size)
        for indices in _chunks(len(faces), limit=limit):
            asked = asking.ask(faces, indices, there)
            for one in judged.values():
                one.add(asked.answers, faces, indices, found=asked.found)
            if others and beside is not None and asked.found.any():
                found = indices[asked.found]
                answers = beside.answer(faces.plain(found, size=beside.input_size))
                for one in others.values():
                    one.add(answers, faces, found)
        grouped = groupings(faces, groups)
        for name, one in judged.items():
            rows += rows_of(
                one,
                faces,
                bootstrap=Bootstrap(draws=bootstrap, seed=seed),
                asking=asking,
                beside=others.get(name),
                groupings=grouped,
                with_published=comparable(faces, limit=limit),
            )
    return rows


def _questions(entries: Sequence[Mapping[str, Any]], *, input_size: int) -> dict[str, Question]:
    """What a contract asks, by task."""
    found = [question_of(entry, input_size=input_size) for entry in entries]
    return {question.task.name: question for question in found if question is not None}


def _chunks(count: int, *, limit: int | None) -> Iterator[NDArray[np.int64]]:
    """Row numbers of `limit` faces (None: all) spread evenly over `count`, a batch at a time."""
    # Sets are often sorted by class or person: their first faces would be no sample of them.
    rows = np.arange(count) if limit is None or limit >= count else np.arange(limit) * count // limit
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _trivial(question: Question, sources: Sequence[FaceSet]) -> list[NDArray[Any]]:
    """Answers that look at no face, learned from the first of the sets that has labels; at least one."""
    measure = MEASURES[question.task.kind]
    few = _MASKS_OF_A_TRIVIAL_ANSWER if question.task.kind is Kind.MASK else None
    faces = next(faces for faces in sources if has_labels(faces, question))
    labels = np.concatenate([labels_of(faces, question, rows) for rows in _chunks(len(faces), limit=few)])
    return measure.constants(question, labels[measure.known(labels)])


def _fitted(
    answer: Answering, questions: Sequence[Question], faces: FaceSet, *, limit: int | None
) -> list[Question]:
    """The questions, those of several labels with the thresholds that are best on `faces`."""
    fits = [q for q in questions if q.task.kind is Kind.MULTILABEL and has_labels(faces, q)]
    judged = {question.task.name: Judged(question) for question in fits}
    if not judged:
        return list(questions)
    size = questions[0].input_size
    for indices in _chunks(len(faces), limit=limit):
        answered = answer(faces.plain(indices, size=size))
        for one in judged.values():
            one.add(answered, faces, indices)
    return [
        dataclasses.replace(question, fitted=fitted_thresholds(question, judged[name].measured()[0].stats))
        if (name := question.task.name) in judged
        else question
        for question in questions
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    from training.evaluation.report import as_json, as_markdown, write_text

    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.evaluate",
        description=__doc__.partition("\n\n")[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    try:
        if (options.limit or 1) < 1 or options.bootstrap < 0:
            raise ValueError("--limit must be 1 or more, and --bootstrap 0 or more")
        sets = prepared_sets(options.data, split=options.split, names=_chosen(options.sets))
        groups = _chosen(options.groups) or []
        check_groups(groups)
        subject = subject_of(options.network, device=options.device)
        beside = subject_of(options.beside, device=options.device) if options.beside else None
        rows = evaluate(
            subject.answer,
            subject.tasks,
            sets,
            input_size=subject.input_size,
            limit=options.limit,
            bootstrap=options.bootstrap,
            seed=options.seed,
            training=_same_sets(sets, split="train"),
            validation=_same_sets(sets, split=options.fit_thresholds),
            photos=_asking(subject, options.photos, sets),
            beside=beside,
            groups=groups,
        )
        if not rows:
            raise ValueError(
                f"{options.network} answers nothing that {', '.join(faces.name for faces in sets)} "
                "has labels for: prepare other sets"
            )
        tables = as_markdown(rows, beside=options.beside)
        print(tables)
        if options.json:
            write_text(options.json, as_json(rows, subject=subject, beside=beside, options=vars(options)))
        if options.markdown:
            write_text(options.markdown, tables)
    except ValueError as error:
        print(f"training.evaluation.evaluate: {error}", file=sys.stderr)
        return 2
    return 0


def _chosen(words: str | None) -> list[str] | None:
    """The names among words separated by commas; None for no words."""
    return None if words is None else [name.strip() for name in words.split(",")]


def _asking(subject: Subject, words: Sequence[str], sets: Sequence[FaceSet]) -> dict[str, Asking]:
    """How the sets of SET=DIR are asked about, by name; ValueError for what can't be meant."""
    if not words:
        return {}
    if subject.photo is None:
        raise ValueError(f"--photos are sent to a server, and {subject.name} is none: name {SERVER}host:port")
    from training.evaluation.served_photos import Photos, about_photos

    by_name = {faces.name: faces for faces in sets}
    found: dict[str, Asking] = {}
    for word in words:
        name, _, folder = word.partition("=")
        if name not in by_name or not folder or name in found:
            raise ValueError(
                f"--photos {word}: give SET=DIR once for a set that is measured ({', '.join(by_name)})"
            )
        found[name] = about_photos(Photos(by_name[name], Path(folder)), subject.photo)
    return found


def _same_sets(sets: Sequence[FaceSet], *, split: str | None) -> list[FaceSet]:
    """Another split of these sets, as far as they have it; none for None."""
    return [
        FaceSet(faces.folder, split=split) for faces in sets if split and split in faces.manifest["faces"]
    ]


if __name__ == "__main__":
    sys.exit(main())

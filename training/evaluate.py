"""What a network reaches on faces that it was not trained on, beside what needs no network.

    python -m training.evaluate weights/qface-tiny.safetensors --data data/prepared --markdown table.md
    python -m training.evaluate var/build/qface-tiny/onnx/model.onnx --data data/prepared
    python -m training.evaluate grpc://localhost:8001 --data data/prepared --sets celeba --json served.json

One code measures all three: what was trained, what was exported and what is served can be compared. Each
metric comes with the 95 % interval of a bootstrap over faces, or over persons where the set names them.
`trivial` is the best that always the same answer reaches: the most frequent class, the median, learned
from the set's training split where that is there.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.derived import derive
from training.data.faces import FaceSet, prepared_sets
from training.data.sample import SPLITS
from training.metrics import MEASURES, Measure, PerFace, best_of, fitted_thresholds, less_is_better
from training.protocols import deviation, judged_by
from training.published import Published, comparable, figures
from training.questions import Question, checked, in_order, question_of
from training.resample import clusters_of, intervals
from training.subjects import BATCH, Answering, Answers, answers_of, subject_of
from training.tasks import Kind

__all__ = ["Answering", "Answers", "Estimate", "Row", "answers_of", "evaluate", "prepared_sets", "summary"]

_MASKS_OF_A_TRIVIAL_ANSWER = 500  # masks that the most frequent class of each pixel is counted over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric and the ends of its 95 % interval (NaN where no bootstrap was made)."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """How well one task is answered on one set, or on a named part of it."""

    task: str
    set: str
    subset: str  # the named part; "" for the whole
    faces: int  # labelled for the task
    persons: int  # among them; 0 where the set does not say who they are
    labelled_by: str  # "human", or the teacher whose labels these are
    metric: str  # the one of `values` that the task is judged by
    values: Mapping[str, Estimate]
    trivial: Mapping[str, float]  # of each metric, the best that always the same answer reaches
    published: tuple[Published, ...]  # what others reached in `metric`
    by_label: Mapping[str, tuple[Published, ...]]  # and in metrics of single labels
    deviation: str  # what is not as in the set's official protocol; "" where all is

    @property
    def better(self) -> bool | None:
        """Whether the whole interval of the main metric lies on the better side of the trivial answer's.

        None without an interval.
        """
        main, trivial = self.values[self.metric], self.trivial[self.metric]
        if np.isnan(main.low):
            return None
        if less_is_better(self.metric):
            return main.high < trivial
        return main.low > trivial

    @property
    def place(self) -> str:
        """The set, with its part: "300w (common)"."""
        return f"{self.set} ({self.subset})" if self.subset else self.set


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
) -> list[Row]:
    """A row for every task of the contract on every set (and named part of one) that has labels for it.

    `answer` is anything that answers crops [N <= 32, S, S, 3]: torch, an engine, a server; `contract_tasks`
    its contract's entries. `limit` takes so many faces of each set, evenly spread. `bootstrap` is the number
    of draws (0: no intervals). `training` are the same sets' training splits, from which trivial answers
    are learned; `validation` other faces, on which a threshold a label is fitted for multilabel tasks.
    ValueError when an answer is missing, not finite, or made by other labels than the catalogue's.
    """
    questions = [question_of(entry, input_size=input_size) for entry in contract_tasks]
    asked = [question for question in questions if question is not None]
    learned_from = {faces.name: [faces] for faces in training}
    fitted_on = {faces.name: faces for faces in validation}
    for faces in (*sets, *training, *validation):
        derive(faces, [entry["name"] for entry in contract_tasks])
    rows: list[Row] = []
    for faces in sets:
        there = [question for question in asked if _has(faces, question)]
        if faces.name in fitted_on:
            there = _fitted(answer, there, fitted_on[faces.name], limit=limit)
        judged = [
            _Judged(
                question,
                constants=_trivial(question, [*learned_from.get(faces.name, ()), faces]),
                beside_others=comparable(faces, limit=limit),
            )
            for question in there
        ]
        if not judged:
            continue
        for indices in _chunks(len(faces), limit=limit):
            answered = answer(faces.plain(indices, size=input_size))
            for one in judged:
                one.add(answered, faces, indices)
        for one in judged:
            rows += one.rows(faces, bootstrap=bootstrap, seed=seed)
    return rows


def summary(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """The plain figures by "task on set": what a checkpoint's card keeps.

    Those of single labels are left out, and those that these faces don't define.
    """
    return {
        f"{row.task} on {row.place}": {
            "faces": row.faces,
            **{
                name: round(value, 5)
                for name, value in (
                    *((name, found.value) for name, found in row.values.items() if "/" not in name),
                    ("trivial", row.trivial[row.metric]),
                )
                if not np.isnan(value)
            },
        }
        for row in rows
    }


class _Judged:
    """What is gathered of one task on one set."""

    def __init__(
        self, question: Question, *, constants: Sequence[NDArray[Any]], beside_others: bool = False
    ) -> None:
        self.question, self.beside_others = question, beside_others
        self.measure: Measure = MEASURES[question.task.kind]
        self.constants = constants
        self.indices: list[NDArray[np.int64]] = []
        # The network's numbers a face first, then those of each trivial answer.
        self.parts: list[list[PerFace]] = [[] for _ in range(1 + len(constants))]

    def add(self, answered: Answers, faces: FaceSet, indices: NDArray[np.int64]) -> None:
        labels = _labels(faces, self.question, indices)
        known = self.measure.known(labels)
        if not known.any():
            return
        said = checked(self.question, answered, faces=faces, indices=indices)[known]
        labels = labels[known]
        self.indices.append(indices[known])
        self.parts[0].append(self.measure.per_face(self.question, said, labels))
        for constant, parts in zip(self.constants, self.parts[1:], strict=True):
            always = np.broadcast_to(constant, (len(labels), *constant.shape))
            parts.append(self.measure.per_face(self.question, always, labels))

    def rows(self, faces: FaceSet, *, bootstrap: int, seed: int) -> Iterator[Row]:
        """A row for the whole set, and one for each named part where there are several."""
        if not self.indices:
            return
        indices = np.concatenate(self.indices)
        gathered = [joined(parts) for parts in self.parts]
        yield self._row(faces, indices, gathered, subset="", bootstrap=bootstrap, seed=seed)
        # A face may be in several parts: "make-up,blur".
        parts_of = [set(filter(None, str(text).split(","))) for text in faces.subsets[indices]]
        names = sorted(set().union(*parts_of))
        if names == [] or (len(names) == 1 and all(parts_of)):
            return
        for name in names:
            chosen = np.array([name in parts for parts in parts_of])
            some = [{key: values[chosen] for key, values in stats.items()} for stats in gathered]
            yield self._row(faces, indices[chosen], some, subset=name, bootstrap=bootstrap, seed=seed)

    def _row(
        self,
        faces: FaceSet,
        indices: NDArray[np.int64],
        gathered: Sequence[PerFace],
        *,
        subset: str,
        bootstrap: int,
        seed: int,
    ) -> Row:
        question, measure = self.question, self.measure
        once = np.ones((1, len(indices)))
        values, *trivial = (
            {name: float(found[0]) for name, found in measure.values(question, stats, once).items()}
            for stats in gathered
        )
        persons = faces.persons[indices]
        found = intervals(
            lambda weights: measure.values(question, gathered[0], weights),
            clusters_of(persons),
            count=bootstrap,
            seed=seed,
        )
        task = question.task.name
        # A task whose labels don't allow its usual metric (ages in bins) is judged by its kind's first.
        main = judged_by(task, faces.name)
        main = main if main in values else next(iter(values))
        named = {name: figures(task, faces.name, subset=subset, metric=name) for name in values}
        published = {name: there for name, there in named.items() if there and self.beside_others}
        return Row(
            task=task,
            set=faces.name,
            subset=subset,
            faces=len(indices),
            persons=len(set(persons[persons != ""].tolist())),
            labelled_by=str(faces.manifest.get("labelled_by", {}).get(task, "human")),
            metric=main,
            values={
                name: Estimate(value=value)
                if name not in found
                else Estimate(value=value, low=found[name][0], high=found[name][1])
                for name, value in values.items()
            },
            trivial=best_of(list(values), trivial),
            published=published.get(main, ()),
            by_label={name: there for name, there in published.items() if "/" in name},
            deviation=deviation(task, faces.name),
        )


def joined(parts: Sequence[PerFace]) -> PerFace:
    """The numbers of all faces from those of chunks."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _has(faces: FaceSet, question: Question) -> bool:
    """Whether anybody in the set is labelled for a task."""
    name = question.task.name
    if question.task.kind is Kind.MASK:
        return name in faces.masks
    return name in faces.columns and bool((~np.isnan(faces.columns[name])).any())


def _labels(faces: FaceSet, question: Question, indices: NDArray[np.int64]) -> NDArray[Any]:
    """The labels of these faces, in the question's order."""
    name = question.task.name
    if question.task.kind is Kind.MASK:
        return in_order(question, faces.plain_mask(name, indices, size=question.input_size))
    return in_order(question, faces.columns[name][indices])


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
    faces = next(faces for faces in sources if _has(faces, question))
    labels = np.concatenate([_labels(faces, question, rows) for rows in _chunks(len(faces), limit=few)])
    return measure.constants(question, labels[measure.known(labels)])


def _fitted(
    answer: Answering, questions: Sequence[Question], faces: FaceSet, *, limit: int | None
) -> list[Question]:
    """The questions, those of several labels with the thresholds that are best on `faces`."""
    fits = [q for q in questions if q.task.kind is Kind.MULTILABEL and _has(faces, q)]
    judged = {question.task.name: _Judged(question, constants=()) for question in fits}
    if not judged:
        return list(questions)
    size = questions[0].input_size
    for indices in _chunks(len(faces), limit=limit):
        answered = answer(faces.plain(indices, size=size))
        for one in judged.values():
            one.add(answered, faces, indices)
    return [
        dataclasses.replace(question, fitted=fitted_thresholds(question, joined(judged[name].parts[0])))
        if (name := question.task.name) in judged
        else question
        for question in questions
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    from training.report import as_json, as_markdown, write_text

    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__.partition("\n\n")[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", help="a checkpoint, a .onnx file, or grpc://host:port")
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", help="only these, separated by commas")
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
        subject = subject_of(options.network, device=options.device)
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
        )
        if not rows:
            raise ValueError(
                f"{options.network} answers nothing that {', '.join(faces.name for faces in sets)} "
                "has labels for: prepare other sets"
            )
        print(as_markdown(rows))
        if options.json:
            write_text(options.json, as_json(rows, subject=subject, options=vars(options)))
        if options.markdown:
            write_text(options.markdown, as_markdown(rows))
    except ValueError as error:
        print(f"training.evaluate: {error}", file=sys.stderr)
        return 2
    return 0


def _chosen(words: str | None) -> list[str] | None:
    """The names among words separated by commas; None for no words."""
    return None if words is None else [name.strip() for name in words.split(",")]


def _same_sets(sets: Sequence[FaceSet], *, split: str | None) -> list[FaceSet]:
    """Another split of these sets, as far as they have it; none for None."""
    return [
        FaceSet(faces.folder, split=split) for faces in sets if split and split in faces.manifest["faces"]
    ]


if __name__ == "__main__":
    sys.exit(main())

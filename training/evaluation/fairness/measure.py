"""Every task that can be measured, by every grouping that people's labels make."""

import dataclasses
from collections.abc import Mapping, Sequence

from training.data.derived_labels import derive
from training.data.labels import HUMAN
from training.data.prepared.face_set import FaceSet
from training.evaluation.fairness.gaps import OwnFigure, grouped_figures
from training.evaluation.fairness.report import TaskGroups
from training.evaluation.metric_accumulator import Bootstrap
from training.evaluation.predictors import Predictor, photo_analysis
from training.evaluation.protocols import main_metric
from training.evaluation.served_photos import SetPhotos, photo_source
from training.evaluation.subgroups import Subgrouping, subgroupings
from training.evaluation.targets.answers import SetAnswers, answers_of, evaluated_tasks
from training.evaluation.targets.figures import MetricOf, ShareAnswered
from training.evaluation.targets.target import Condition, Target
from training.kinds import kind_of
from training.tasks import CATALOGUE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
    """How often a label is answered, of the faces of which people say something else: smiles."""

    task: str
    label: str
    given: tuple[str, str]  # a task, and one of its labels

    @classmethod
    def parse(cls, words: str) -> "Answered":
        """TASK.LABEL:TASK.LABEL; ValueError for others, and for what the catalogue does not have."""
        answered, _, given = words.partition(":")
        pairs = [tuple(name.partition(".")[::2]) for name in (answered, given)]
        for task, label in pairs:
            if task not in CATALOGUE or label not in CATALOGUE[task].labels:
                raise ValueError(
                    f"--answered {words}: give TASK.LABEL:TASK.LABEL with labels of training/tasks.py, what "
                    "is answered and what people say"
                )
        (task, label), (other, its_label) = pairs
        return cls(task=task, label=label, given=(other, its_label))

    def targets(self, name: str) -> list[tuple[Target, OwnFigure]]:
        """The share on a set's faces that have the other label, and on those that have not."""
        task, label = self.given
        return [
            (
                Target(
                    name=f"{self.label} answered where {word}{label}",
                    task=self.task,
                    sets=(name,),
                    figure=share,
                    where=(Condition(task=task, label=label, low=low, high=high),),
                ),
                OwnFigure(name=f"{metric}/{self.label}", figure=share, is_error=bool(word)),
            )
            for share in (ShareAnswered(label=self.label),)
            for word, metric, low, high in (
                ("", "answered", 0.5, 1.0),
                ("not ", "wrongly_answered", 0.0, 0.49),
            )
        ]


def measured_groups(
    predictor: Predictor,
    sets: Sequence[FaceSet],
    groups: Sequence[str],
    *,
    photos: Mapping[str, SetPhotos],
    bootstrap: Bootstrap,
    smallest: int,
    answered: Sequence[Answered] = (),
    limit: int | None = None,
) -> list[TaskGroups]:
    """The groups of every task on every set, those with the largest gap for its size first.

    `groups` are tasks whose human labels split faces. ValueError where no set has such labels.
    """
    found: list[TaskGroups] = []
    tasks = evaluated_tasks(predictor)
    for faces in sets:
        derive(faces, [*tasks, *groups])
        by_task = subgroupings(faces, groups)
        labelled = [
            name for name, one in tasks.items() if kind_of(one.task).labelled(one.task, faces) and by_task
        ]
        targets: list[tuple[Target, OwnFigure | None]] = [
            (Target(name=name, task=name, sets=(faces.name,), figure=MetricOf(metric="")), None)
            for name in labelled
        ]
        for one in answered if by_task else ():
            shares = [pair for pair in one.targets(faces.name) if len(pair[0].chosen(faces))]
            targets += [pair for pair in shares if pair[0].task in tasks]
        source = photo_source(photos[faces.name], photo_analysis(predictor)) if faces.name in photos else None
        asked = [target for target, _ in targets]
        answers = answers_of(predictor, faces, asked, source=source, limit=limit) if asked else None
        if answers is None:
            continue
        for target, own in targets:
            for subgrouping in by_task:
                of_task = _of_target(
                    target, answers, subgrouping, own=own, bootstrap=bootstrap, smallest=smallest
                )
                if of_task is not None:
                    found.append(of_task)
    if not found:
        raise ValueError(
            f"no set of {', '.join(faces.name for faces in sets)} has human labels of {', '.join(groups)} "
            "beside those of a task that the network answers: prepare one that has"
        )
    return sorted(found, key=_by_gap, reverse=True)


def _by_gap(one: TaskGroups) -> float:
    """How many times the gap is what chance makes of it."""
    gap, chance = one.main.gap, one.main.by_chance
    return 0.0 if gap is None or not chance > 0 else gap.value / chance


def _of_target(
    target: Target,
    answers: SetAnswers,
    subgrouping: Subgrouping,
    *,
    own: OwnFigure | None,
    bootstrap: Bootstrap,
    smallest: int,
) -> TaskGroups | None:
    statistics = answers.statistics(target)
    if statistics is None:
        return None
    faces = answers.faces
    figures = grouped_figures(statistics, faces, subgrouping, own=own, bootstrap=bootstrap, smallest=smallest)
    figures = [figure for figure in figures if figure.groups]
    if not figures:
        return None
    wanted = main_metric(target.task, faces.name)
    main = next((figure for figure in figures if figure.metric == wanted), figures[0])
    labelled_by = str(faces.manifest.get("labelled_by", {}).get(target.task, HUMAN))
    return TaskGroups(
        task=target.task,
        set=faces.name,
        sent=answers.sent,
        labelled_by=labelled_by if own is None else "",
        title=main.metric if own is None else target.name,
        figures=(main, *(figure for figure in figures if figure is not main)),
    )

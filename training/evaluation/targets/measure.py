"""Targets measured: the figure of each with its interval, for one network."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from training.data.prepared.face_set import FaceSet
from training.evaluation.bootstrap import Values, Weights, clusters_of, intervals
from training.evaluation.metric_accumulator import Bootstrap, FaceStatistics
from training.evaluation.predictors import Predictor, photo_analysis
from training.evaluation.results import Estimate
from training.evaluation.scores import mean
from training.evaluation.served_photos import SetPhotos, photo_source
from training.evaluation.targets.answers import SetAnswers, answers_of, evaluated_tasks
from training.evaluation.targets.faceless import photos_answered
from training.evaluation.targets.photo_masks import photo_mask_statistics
from training.evaluation.targets.target import Target


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetFigure:
    """A target's figure for one network."""

    estimate: Estimate
    faces: int
    not_found: int  # further faces, which the server's detector did not find
    sent: tuple[str, ...]  # what the network was asked about: "crop", "photo"
    sets: tuple[str, ...]  # whose faces these are


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """The numbers of a set's faces, what of them was not found, and what was sent."""

    faces: FaceSet
    statistics: FaceStatistics
    not_found: int
    sent: str


def measured_targets(
    predictor: Predictor,
    targets: Sequence[Target],
    sets: Sequence[FaceSet],
    *,
    photos: Mapping[str, SetPhotos],
    bootstrap: Bootstrap,
    faceless: Sequence[Path] = (),
    limit: int | None = None,
) -> dict[str, TargetFigure | str]:
    """By target's name its figure; or why there is none, in a few words.

    `photos` are sent for the sets that they are given of, where the network is a server; else crops are.
    `faceless` are photos without a face.
    """
    tasks = evaluated_tasks(predictor)
    # A checkpoint beside a server takes the crops of the same faces.
    given = photos if predictor.analyze_photo is not None else {}
    whole = [target for target in targets if target.in_photo and given.keys() & set(target.sets)]
    answers: dict[str, SetAnswers] = {}
    for faces in sets:
        about = [target for target in targets if faces.name in target.sets and target not in whole]
        source = photo_source(given[faces.name], photo_analysis(predictor)) if faces.name in given else None
        found = answers_of(predictor, faces, about, source=source, limit=limit) if about else None
        if found is not None:
            answers[faces.name] = found
    measured: dict[str, TargetFigure | str] = {}
    for target in targets:
        if target.faceless:
            measured[target.name] = _faceless(predictor, faceless, bootstrap)
            continue
        if target.task not in tasks:
            measured[target.name] = "not answered"
            continue
        if target in whole:
            parts = _whole_photo_parts(predictor, target, given, limit=limit)
        else:
            parts = _parts(target, answers)
        measured[target.name] = (
            _figure(target, parts, bootstrap) if parts else f"no such faces in {', '.join(target.sets)}"
        )
    return measured


def _parts(target: Target, answers: Mapping[str, SetAnswers]) -> list[_Part]:
    found = []
    for name in target.sets:
        if name not in answers:
            continue
        of_set = answers[name]
        statistics = of_set.statistics(target)
        if statistics is not None:
            lost = int(np.isin(of_set.not_found, target.chosen(of_set.faces)).sum())
            found.append(_Part(faces=of_set.faces, statistics=statistics, not_found=lost, sent=of_set.sent))
    return found


def _whole_photo_parts(
    predictor: Predictor, target: Target, photos: Mapping[str, SetPhotos], *, limit: int | None
) -> list[_Part]:
    evaluated = evaluated_tasks(predictor)[target.task]
    found = []
    for name in target.sets:
        if name not in photos:
            continue
        faces = photos[name].faces
        statistics, lost = photo_mask_statistics(
            photos[name], photo_analysis(predictor), evaluated, target.chosen(faces), limit=limit
        )
        if statistics is not None:
            found.append(_Part(faces=faces, statistics=statistics, not_found=lost, sent="photo"))
    return found


def _faceless(predictor: Predictor, photos: Sequence[Path], bootstrap: Bootstrap) -> TargetFigure | str:
    if predictor.faces_answered is None or not photos:
        return "no photos without faces are sent"
    answered = photos_answered(photos, predictor.faces_answered)
    ends = intervals(
        lambda weights: {"figure": mean(weights, answered)},
        np.arange(len(answered)),
        count=bootstrap.draws,
        seed=bootstrap.seed,
    )
    low, high = ends.get("figure", (float("nan"), float("nan")))
    return TargetFigure(
        estimate=Estimate(value=float(answered.mean()), low=low, high=high),
        faces=len(answered),
        not_found=0,
        sent=("photo",),
        sets=("photos without faces",),
    )


def _figure(target: Target, parts: Sequence[_Part], bootstrap: Bootstrap) -> TargetFigure | str:
    statistics = joined([part.statistics for part in parts])

    def values(weights: Weights) -> Values:
        return {"figure": target.figure.values(statistics, weights)}

    plain = float(values(np.ones((1, len(statistics.indices))))["figure"][0])
    if np.isnan(plain):
        return "not defined"  # no face has the label, or the network states no error
    persons = [
        # Two sets may call different people alike.
        np.where(
            part.faces.persons[part.statistics.indices] == "",
            "",
            np.char.add(f"{part.faces.name}/", part.faces.persons[part.statistics.indices]),
        )
        for part in parts
    ]
    ends = intervals(values, clusters_of(np.concatenate(persons)), count=bootstrap.draws, seed=bootstrap.seed)
    low, high = ends.get("figure", (float("nan"), float("nan")))
    return TargetFigure(
        estimate=Estimate(value=plain, low=low, high=high),
        faces=len(statistics.indices),
        not_found=sum(part.not_found for part in parts),
        sent=tuple(dict.fromkeys(part.sent for part in parts)),
        sets=tuple(part.faces.name for part in parts),
    )


def joined(parts: Sequence[FaceStatistics]) -> FaceStatistics:
    """The numbers of several sets' faces, in their order; the indices are those of each set."""
    first = parts[0]
    return FaceStatistics(
        evaluated=first.evaluated,
        indices=np.concatenate([part.indices for part in parts]),
        stats={name: np.concatenate([part.stats[name] for part in parts]) for name in first.stats},
    )

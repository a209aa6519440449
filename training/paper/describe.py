"""Experiments in words, before anything is made: the list of all, and each in full."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation.tables import format_metric, markdown_table
from training.paper.experiment import MEAN, Experiment
from training.paper.requirements import Wanted, prepare_command, sets_table
from training.train.run_config import Run


def as_list(
    lacking: Mapping[str, Sequence[str]], experiments: Sequence[Experiment], *, data: Sequence[Path]
) -> str:
    """All experiments with what they lack in the folders `data` (`lacking`: sets by experiment)."""
    lines = [
        [
            experiment.name,
            f"{experiment.paper.name}: {experiment.title}",
            ", ".join(experiment.sets),
            f"lacks {', '.join(lacking[experiment.name])}" if lacking[experiment.name] else "ready",
        ]
        for experiment in experiments
    ]
    folders = ", ".join(map(str, data))
    return "\n\n".join(
        [
            markdown_table(("experiment", "what", "measured on", f"in {folders}"), lines),
            "What is lacking counts the training too: --checkpoint FILE measures a network on what is there.",
            markdown_table(("set", "title", "licence", "where to ask for it"), sets_table(experiments)),
        ]
    )


def in_full(experiment: Experiment, *, run: Run, wanted: Wanted, data: Path) -> str:
    """An experiment with its sets, its training, its protocol and what is published."""
    paper = experiment.paper
    titles = {name: rest for name, *rest in sets_table([experiment])}
    sets = [
        [
            name,
            titles[name][0],
            _role(name, wanted),
            prepare_command(name, data=data, crop=wanted.crop, size=wanted.size),
        ]
        for name in wanted.sets
    ]
    settings = [
        [
            setting.name,
            "left open" if setting.published is None else str(setting.published),
            _shown(setting.ours(run)),
        ]
        for setting in paper.settings
    ]
    parts = [
        f"# {paper.name}: {experiment.title}",
        f"{paper.citation}. {experiment.protocol}",
        markdown_table(("set", "title", "for", "prepared by"), sets),
    ]
    if wanted.train:
        parts.append(markdown_table(("setting", "the paper", f"here ({run.name})"), settings))
    if experiment.claims:
        claims = [
            [
                claim.name,
                claim.task or "-",
                claim.set or "-",
                claim.metric,
                _value(experiment, claim.metric, i),
                claim.source,
            ]
            for i, claim in enumerate(experiment.claims)
        ]
        parts.append(markdown_table(("method", "task", "set", "metric", "published", "where"), claims))
    return "\n\n".join(parts)


def _role(name: str, wanted: Wanted) -> str:
    roles = {"pretraining": [wanted.unlabelled], "training": wanted.train, "measuring": wanted.test}
    return ", ".join(role for role, names in roles.items() if name in names)


def _shown(value: Any) -> str:
    return "-" if value is None or value == "" else str(value)


def _value(experiment: Experiment, metric: str, place: int) -> str:
    claim = experiment.claims[place]
    if metric == MEAN:
        return f"{100 * claim.value:.2f} %"
    return format_metric(claim.task, metric, claim.value)

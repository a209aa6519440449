"""The papers' tables and figures, each by one command, beside what is published.

  python -m training.paper list --data data/prepared
  python -m training.paper table1 table2 --data data/prepared --run var/paper
  python -m training.paper table4 --data data/prepared --run var/paper --checkpoint FILE
  python -m training.paper facexformer_landmarks --data data/prepared-box --run var/paper --checkpoint FILE
  python -m training.paper all --data data/prepared data/prepared-box --run var/paper

An experiment trains its networks by the paper's settings (or measures --checkpoint), evaluates them by its
protocol and writes RUN/NAME.md and .json: ours, published, the difference, and what keeps the two from being
comparable. What is lacking is told all at once, with where to ask for it. A stopped command goes on where it
was; trainings are shared: tables 1 to 4 and both figures of Q-Face are of one. `all` makes what can be made
and tells what was left out.

--quick takes a tiny network for a few steps, to see that every step works on what is there. Its figures mean
nothing, and neither do those of parts of sets: the reports say so.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from training.cli import run_cli, words_of
from training.evaluation.report import write_text
from training.paper.describe import as_list, in_full
from training.paper.experiment import Experiment, Job
from training.paper.making import Measured, make
from training.paper.registry import EXPERIMENTS, experiment_named
from training.paper.requirements import Wanted, best_folder
from training.train.finetune import plan
from training.train.loop.distributed import Distributed
from training.train.overrides import overridden
from training.train.run_config import RANDOM, Run
from training.train.run_options import (
    add_place_options,
    add_settings_option,
    adopt_own_tasks,
    place_of,
    take_cores,
)

LIST, ALL = "list", "all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment with what it is made from."""

    experiment: Experiment  # its sets are those that it is measured on here
    run: Run
    wanted: Wanted
    data: Path
    lacking: dict[str, str]  # by set or option, a sentence


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status: 0, 2 with what is wrong, or 128 and a signal's number."""
    options = _parser().parse_args(arguments)
    return run_cli("training.paper", lambda: _work(options), place=options.run or Path())


def _work(options: argparse.Namespace) -> None:
    if LIST in options.names:
        prepared = [_prepared(experiment, options, measured=None) for experiment in EXPERIMENTS.values()]
        lacking = {one.experiment.name: list(one.lacking) for one in prepared}
        print(as_list(lacking, list(EXPERIMENTS.values()), data=options.data))
        return
    everything = ALL in options.names
    names = list(EXPERIMENTS) if everything else options.names
    chosen = [experiment_named(name) for name in dict.fromkeys(names)]
    if options.run is None:
        raise ValueError("--run DIR is wanting: name the folder that networks and reports go to")
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit {options.limit} leaves no face: take 1 or more")
    take_cores(options.threads)
    for folder in options.data:
        adopt_own_tasks(None, data=folder)
    with place_of(options) as where:
        measured = None if options.checkpoint is None else Measured.of(options.checkpoint, where=where)
        prepared = [_prepared(experiment, options, measured=measured) for experiment in chosen]
        if options.dry_run:
            _describe(prepared, options, where=where)
            return
        ready = [one for one in prepared if not one.lacking]
        left_out = [one for one in prepared if one.lacking]
        if left_out and not (everything and ready):
            raise ValueError(_told(left_out))
        for one in ready:
            job = _job(one, options, where=where)
            text, content = make(one.experiment, job, measured=measured, quick=options.quick)
            if where.leads:
                write_text(options.run / f"{one.experiment.name}.md", text)
                write_text(options.run / f"{one.experiment.name}.json", json.dumps(content, indent=1) + "\n")
                print(text, flush=True)
        if left_out and where.leads:
            print(f"Left out. {_told(left_out)}")


def _prepared(experiment: Experiment, options: argparse.Namespace, *, measured: Measured | None) -> Prepared:
    paper, lacking = experiment.paper, {}
    run = paper.run(quick=options.quick)
    if options.sets:
        names = words_of(options.sets)
        own = {source.name for source in run.sources}
        run = run.with_sources(
            [name for name in names if name in own] or [source.name for source in run.sources]
        )
        sets = tuple(name for name in experiment.sets if name in names)
        if not sets:
            lacking["--sets"] = (
                f"{experiment.name} is measured on {', '.join(experiment.sets)}: name some of them in --sets"
            )
        experiment = dataclasses.replace(experiment, sets=sets)
    run = overridden(run, options.settings)
    pretrains = measured is None and run.init == RANDOM and not options.quick
    wanted = Wanted(
        train=() if measured is not None else tuple(dict.fromkeys(source.name for source in run.sources)),
        test=experiment.sets,
        unlabelled=paper.pretrains_on if pretrains else "",
        crop=run.model.face_crop if measured is None else measured.predictor.crop,
        size=run.model.input_size if measured is None else measured.predictor.input_size,
    )
    data, absent = best_folder(options.data, wanted)
    if wanted.unlabelled in absent:
        absent[wanted.unlabelled] += "; or begin with an encoder that is there, --set init=FILE"
    return Prepared(experiment=experiment, run=run, wanted=wanted, data=data, lacking=lacking | absent)


def _job(one: Prepared, options: argparse.Namespace, *, where: Distributed) -> Job:
    return Job(
        run=dataclasses.replace(one.run, kept_out=options.limit) if options.limit is not None else one.run,
        data=one.data,
        folder=options.run,
        where=where,
        limit=options.limit,
        checkpoint=options.checkpoint,
        pretraining=tuple(options.pretraining),
        labels=tuple(words_of(options.labels)) if options.labels else (),
    )


def _describe(prepared: Sequence[Prepared], options: argparse.Namespace, *, where: Distributed) -> None:
    """What would be done, with the training's plan where all is there; ValueError for what is lacking."""
    if where.leads:
        for one in prepared:
            print(in_full(one.experiment, run=one.run, wanted=one.wanted, data=one.data), end="\n\n")
    left_out = [one for one in prepared if one.lacking]
    if left_out:
        raise ValueError(_told(left_out))
    planned = set()
    for one in prepared:
        if one.wanted.train and one.run.name not in planned:
            planned.add(one.run.name)
            said = plan(one.run, data=one.data, folder=options.run / one.run.name, where=where)
            if where.leads:
                print(said, end="\n\n")


def _told(left_out: Sequence[Prepared]) -> str:
    """What several experiments lack, each thing once."""
    names = ", ".join(one.experiment.name for one in left_out)
    sentences = dict.fromkeys(sentence for one in left_out for sentence in one.lacking.values())
    lines = "\n".join(f"  - {sentence}" for sentence in sentences)
    trained = any(one.wanted.train for one in left_out)
    others = "--sets A,B goes without other sets, and reports say so" + (
        "; --checkpoint FILE measures a network without training one" if trained else ""
    )
    return f"{names} can't be made:\n{lines}\n{others}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.paper",
        description=__doc__.partition("\n\n")[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help=f"{LIST}, {ALL}, or of {', '.join(EXPERIMENTS)}"
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[Path("data/prepared")],
        help="folders of prepared sets; each experiment takes the one that has most of what it wants",
    )
    # torchrun takes --run for an abbreviation of its own --run-path, wherever it stands.
    parser.add_argument(
        "--run", "--output", type=Path, help="where networks and reports go (under torchrun: --output)"
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="measure this network instead of training one")
    parser.add_argument("--sets", help="learn from and measure on these alone, separated by commas")
    add_settings_option(parser, "--set", dest="settings", help_text="change the training")
    add_settings_option(
        parser, "--set-pretraining", dest="pretraining", help_text="change the encoder's pretraining"
    )
    parser.add_argument("--limit", type=int, help="measure on so many faces of each set, evenly spread")
    parser.add_argument("--labels", help="of figure 4, separated by commas, instead of the paper's")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny network for a few steps: no figure means a thing"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print sets, settings, protocol and what is published; make nothing",
    )
    add_place_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())

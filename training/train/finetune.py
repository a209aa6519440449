"""Train a network on prepared faces, all its tasks at once (Q-Face, section 3.4).

    python -m training.train.finetune qface_tiny --data data/prepared --run var/tiny [--set steps=1000 ...]
    torchrun --nproc-per-node 4 -m training.train.finetune qface_paper --data data/prepared --output var/paper

Every step draws a batch of every set and sums the weighted losses of all tasks (equation 8). A run that
was killed or stopped (SIGTERM) goes on with the same command, as if nothing had happened. At the end
RUN/model.safetensors holds the averaged weights, rounded to fp16, with what they reached on the faces kept
out; RUN/progress.jsonl and RUN/tensorboard record how it went.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

from training.cli import run_cli, words_of
from training.models import Checkpoint
from training.tasks import select
from training.train.loop.distributed import Distributed
from training.train.overrides import overridden
from training.train.plan import check
from training.train.recipes import RECIPES, run_named
from training.train.run_config import Run
from training.train.run_options import add_run_options, adopt_own_tasks, place_of, print_plan, take_cores
from training.train.trainer import Trainer


def finetune(run: Run, *, data: pathlib.Path, folder: pathlib.Path, where: Distributed) -> Checkpoint | None:
    """Train a run to its end and write FOLDER/model.safetensors, which the leading process returns."""
    trainer = Trainer(run, data=data, folder=folder, where=where)
    trainer.train()
    return trainer.finish()


def plan(run: Run, *, data: pathlib.Path, folder: pathlib.Path, where: Distributed) -> str:
    """What a run will do and take, in words. Raises ValueError for one that can't be trained."""
    check(run, tasks=select(run.model.all_tasks), data=data, folder=folder, built=False)
    # A teacher describes all faces before the first step, for many minutes.
    without = dataclasses.replace(run, distillation=None)
    said = Trainer(without, data=data, folder=folder, where=where).plan()
    if run.distillation is not None:
        said += f"\nnot counted: the teacher {run.distillation.path} describes every face once before"
    return said


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train.finetune", description=__doc__.splitlines()[0]
    )
    parser.add_argument("run_name", metavar="NAME", help=f"one of {', '.join(RECIPES)}")
    add_run_options(
        parser,
        folder="where checkpoints and progress go",
        example="steps=1000, model.drop_path=0.1, weights.age=2, sources.ict.batch=8",
    )
    parser.add_argument("--sets", help="take these sets, separated by commas, instead of the run's")
    options = parser.parse_args(arguments)

    def work() -> None:
        take_cores(options.threads)
        sets = words_of(options.sets) if options.sets else None
        adopt_own_tasks(options.tasks, data=options.data, sets=sets)
        run = run_named(options.run_name)
        if sets is not None:
            run = run.with_sources(sets)
        run = overridden(run, options.settings)
        with place_of(options) as where:
            if options.dry_run:
                print_plan(plan(run, data=options.data, folder=options.run, where=where), where=where)
                return
            checkpoint = finetune(run, data=options.data, folder=options.run, where=where)
        if checkpoint is not None:
            print(json.dumps(checkpoint.card, indent=1))

    return run_cli("training.train.finetune", work, place=options.run)


if __name__ == "__main__":
    sys.exit(main())

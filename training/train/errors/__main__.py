"""Teach a checkpoint how far its answers may be off, in years, degrees and pixels.

    python -m training.train.errors weights/qface-tiny.safetensors --data data/prepared --output FILE

Of each task that answers in a unit a small perceptron on the features of its queries learns the expected
absolute error of the answer, by Laplace's likelihood of the labels; the answers stay as they are. It learns
from the faces that training held out (`holdout_fraction` of the run), as they are and augmented, so that bad
crops get large errors. On the half of them that it has not seen, persons kept together, it is measured how
many expected errors away 50, 80 and 95 % of the truths lie. That goes into the contract, as `error` of the
task; the table that is printed goes into the card.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.cli import run_cli, words_of
from training.models import load_checkpoint, save_checkpoint
from training.train.calibrate import held_out_sets
from training.train.errors.coverage import table
from training.train.errors.fitted import with_error_heads
from training.train.run_options import take_cores

PROGRAM = "training.train.errors"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="the .safetensors file of a trained Q-Face")
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", help="only these, separated by commas (default: those it learned from)")
    parser.add_argument("--tasks", help="only these, separated by commas (default: all that can)")
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument(
        "--draws", type=int, default=3, help="times that each face is drawn augmented (default: 3)"
    )
    parser.add_argument("--limit", type=int, default=1500, help="faces of a set (default: 1500)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--threads", type=int, help="of torch (default: all cores)")
    options = parser.parse_args(arguments)

    def work() -> None:
        if options.draws < 0 or options.limit < 1:
            raise ValueError("--draws must be 0 or more and --limit 1 or more")
        take_cores(options.threads)
        loaded = load_checkpoint(options.checkpoint)
        result, rows = with_error_heads(
            loaded,
            held_out_sets(loaded, options.data, names=_names(options.sets)),
            tasks=_names(options.tasks),
            draws=options.draws,
            limit=options.limit,
            seed=options.seed,
            log=lambda line: print(line, file=sys.stderr, flush=True),
        )
        save_checkpoint(options.output, result)
        print(table(rows))

    return run_cli(PROGRAM, work, place=options.output)


def _names(text: str | None) -> list[str] | None:
    return words_of(text) if text else None


if __name__ == "__main__":
    sys.exit(main())

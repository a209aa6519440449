"""Average the weights of two checkpoints of one network: often better than either (Wortsman et al. 2022).

    python -m training.train.average NEW OLD --share 0.6 --output var/mean.safetensors

Both must have begun at the same weights, as when a network was trained further: the mean of unrelated ones
answers nothing. NEW is described by the result's contract and card; weights that OLD lacks, or has in another
shape, stay NEW's and are named.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from training.cli import run_cli
from training.models import Checkpoint, load_checkpoint, save_checkpoint
from training.models.checkpoint import round_to_half
from training.train.checkpoint_card import provenance

_OF_ONE_STATE = ("calibration", "kept_out", "kept_out_before_calibration")


def averaged(new: Checkpoint, old: Checkpoint, *, share: float) -> tuple[Checkpoint, list[str]]:
    """`share` of the weights of `new`, the rest those of `old`, and the names of weights that stay new's.

    `new` becomes the result. Raises ValueError for networks without a weight in common.
    """
    if not 0 < share < 1:
        raise ValueError(f"a share of {share:g} is no mean: take a number between 0 and 1")
    weights, others = new.model.state_dict(), old.model.state_dict()
    common = {
        name
        for name, weight in weights.items()
        if name in others and others[name].shape == weight.shape and weight.is_floating_point()
    }
    if not common:
        raise ValueError("the two networks have no weight in common: average two states of one network")
    for name in common:
        weights[name] = share * weights[name] + (1 - share) * others[name]
    new.model.load_state_dict(weights)
    round_to_half(new.model)
    # Neither what was measured on `new` nor its calibration is the mean's.
    kept = {name: value for name, value in new.card.items() if name not in _OF_ONE_STATE}
    card = {**kept, "averaged": {"share": share, "with": provenance(old.card)}}
    own = sorted(
        name for name, weight in weights.items() if weight.is_floating_point() and name not in common
    )
    return Checkpoint(model=new.model, contract=new.contract, card=card), own


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train.average", description=__doc__.splitlines()[0]
    )
    parser.add_argument("new", type=pathlib.Path, metavar="NEW", help="whose contract and card it keeps")
    parser.add_argument("old", type=pathlib.Path, metavar="OLD")
    parser.add_argument("--share", type=float, default=0.5, help="of NEW in the mean; default: a half")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the checkpoint that is written")
    options = parser.parse_args(arguments)

    def work() -> None:
        new, old = load_checkpoint(options.new), load_checkpoint(options.old)
        mean, own = averaged(new, old, share=options.share)
        save_checkpoint(options.output, mean)
        print(f"{options.output}: {options.share:g} of {options.new}, {1 - options.share:g} of {options.old}")
        if own:
            print(f"as in {options.new}: {', '.join(own)}")

    return run_cli("training.train.average", work, place=options.output)


if __name__ == "__main__":
    sys.exit(main())

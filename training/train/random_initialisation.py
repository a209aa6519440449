"""A checkpoint of random weights: what a network's structure and speed are tried on.

    python -m training.train.random_initialisation qface_base --output var/random.safetensors

The weights are random numbers, the same ones for the same seed, and its card states it. It exports, builds
and runs as a trained one does; its answers mean nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from training.cli import run_cli
from training.contract import LAPLACE, with_errors
from training.kinds import kind_of
from training.models import CONFIGS, Checkpoint, NetworkConfig, build_model, save_checkpoint
from training.models.checkpoint import round_to_half

NOTE = "random weights: for trying structure and speed; its answers mean nothing"


def random_checkpoint(config: NetworkConfig, *, seed: int) -> Checkpoint:
    """The configuration's network with random weights, rounded to fp16, answering all its tasks.

    Torch's own generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(config)
        for name, parameter in model.named_parameters():
            # Trained ones are not zero, and a bias of zero can't go to a wrong place.
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
        with torch.no_grad():
            # Where random logits would be no usual answer (Kind.untrained_logits).
            for task in model.tasks:
                rows, logits = model.logit_rows(task), kind_of(task).untrained_logits
                if rows is not None and logits is not None:
                    rows.bias.add_(torch.tensor(logits[0]))
                    rows.weight.mul_(logits[1])
    round_to_half(model)
    contract = with_errors(model.contract(), dict.fromkeys(model.error_tasks, LAPLACE), tasks=model.tasks)
    card = {"trained": False, "seed": seed, "note": NOTE}
    return Checkpoint(model=model.eval(), contract=contract, card=card)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train.random_initialisation", description=__doc__.splitlines()[0]
    )
    parser.add_argument("model", choices=CONFIGS, help="the configuration")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights (default: 0)")
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors file to write")
    options = parser.parse_args(arguments)

    def work() -> None:
        save_checkpoint(options.output, random_checkpoint(CONFIGS[options.model], seed=options.seed))
        size = options.output.stat().st_size / 1e6
        print(f"{options.output}: {options.model} with random weights, {size:.1f} MB")

    return run_cli("training.train.random_initialisation", work, place=options.output)


if __name__ == "__main__":
    sys.exit(main())

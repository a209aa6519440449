"""torch.compile of a network, where it can be done."""

import sys
from collections.abc import Mapping

import torch
from torch import Tensor

from training.train.loop.freezing import train_mode
from training.train.objectives.objective import Objective


def compile_network(objective: Objective, faces: Mapping[str, Tensor], *, bf16: bool, tell: bool) -> None:
    """Compiles an objective's network in place, and tries it out on some faces, forward and backward.

    Where torch can't, the network stays as it was, and a line tells. Gradients and buffers are afterwards
    what they were.
    """
    # Takes a second to import.
    from torch._dynamo.exc import TorchDynamoException

    network = objective.network()
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    train_mode(objective)
    network.compile()
    try:
        counted = objective.counts(faces)
        counts = {name: torch.ones((), device=count.device) for name, count in counted.items()}
        device = next(iter(faces.values())).device.type
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            total, _ = objective(faces, counts, 1.0)
        total.backward()
    except TorchDynamoException as error:
        network._compiled_call_impl = None  # torch has no public way back
        if tell:
            reason = " ".join(str(error).split("\n\n")[0].split())
            print(
                f"compile: torch can't compile this network here ({reason}): it runs as it is",
                file=sys.stderr,
                flush=True,
            )
    finally:
        objective.zero_grad(set_to_none=True)
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])

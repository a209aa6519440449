"""One process, or one of several that torchrun started: gloo between CPUs, NCCL between GPUs."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distributed:
    """This process's place among those that train together."""

    rank: int
    world: int  # processes in all
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and progress."""
        return self.rank == 0

    def summed(self, values: Tensor) -> Tensor:
        """The sum of every process's `values` [N], the same for all of them."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def gathered(self, thing: Any) -> list[Any]:
        """Every process's (picklable) thing, in order of rank."""
        if self.world == 1:
            return [thing]
        things: list[Any] = [None] * self.world
        dist.all_gather_object(things, thing)
        return things


@contextlib.contextmanager
def distributed(device: str = "auto") -> Iterator[Distributed]:
    """The place that torchrun gave this process; alone without torchrun.

    `device`: "cpu", "cuda", or "auto" for a GPU where there is one. ValueError where "cuda" is asked
    for and is not there, or where there are fewer GPUs than processes.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"there is no device {device!r}: choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch finds no CUDA device here: choose --device cpu, or install a driver")
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch.device("cpu")
    if device != "cpu" and torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"process {local} of this machine has no GPU of its own (there are "
                f"{torch.cuda.device_count()}): start fewer with --nproc-per-node, or choose --device cpu"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    if world > 1:
        dist.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo",
            device_id=chosen if chosen.type == "cuda" else None,
        )
    yield Distributed(rank=rank, world=world, device=chosen)
    # Not after an error: the others may wait in a collective, and torchrun ends them.
    if world > 1:
        dist.destroy_process_group()

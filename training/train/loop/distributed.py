"""One process, or one of several that torchrun started: gloo between CPUs, NCCL between GPUs."""

import contextlib
import dataclasses
import datetime
import os
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

# How long a process waits for the others: at the end of a run they wait for the one that evaluates.
PATIENCE = datetime.timedelta(hours=24)


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

    def check_bf16(self) -> None:
        """ValueError where this process's GPU has no bf16 of its own; a CPU always counts as having it."""
        if self.device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ValueError(
                f"this GPU ({torch.cuda.get_device_name(self.device)}) can't calculate in bf16: "
                "give --set bf16=false"
            )

    def wait(self) -> None:
        """Until every process has come here."""
        if self.world > 1:
            dist.barrier()


@contextlib.contextmanager
def distributed(device: str = "auto") -> Iterator[Distributed]:
    """The place that torchrun gave this process; alone without torchrun.

    `device`: "cpu", "cuda", or "auto" for a GPU where there is one. ValueError where "cuda" is named
    and is not there, or where there are fewer GPUs than processes.
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
            timeout=PATIENCE,
            device_id=chosen if chosen.type == "cuda" else None,
        )
    where = Distributed(rank=rank, world=world, device=chosen)
    yield where
    # Not after an error: the others may wait in a collective, and torchrun ends them. Without one all end
    # together: torchrun's own patience between machines is five minutes.
    if world > 1:
        where.wait()
        dist.destroy_process_group()


def share_batch_norm(module: Module, *, where: Distributed) -> Module:
    """The module with BatchNorm over all processes' faces, where that is possible."""
    has = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())
    if where.world == 1 or not has:
        return module
    if where.device.type == "cuda":
        # Torch's own would lose the activation that some of timm's BatchNorms hold.
        converted: Module = convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return converted
    if where.leads:
        warnings.warn(
            "on CPUs BatchNorm normalises each process's faces on their own: the result differs a "
            "little from one process's",
            stacklevel=3,
        )
    return module

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

from training.cli import PeersLost

Module = TypeVar("Module", bound=nn.Module)

# How long a process waits for the others outside of steps: at the end of a run for the one that evaluates.
LONG = datetime.timedelta(hours=24)
# And within a step: after that they count as lost, as those of a machine without power do.
PATIENCE = datetime.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distributed:
    """This process's place among those that train together."""

    rank: int
    world: int  # processes in all
    device: torch.device
    waiting: dist.ProcessGroup | None = None  # all processes, for waits that may take long

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and progress."""
        return self.rank == 0

    def summed(self, values: Tensor) -> Tensor:
        """The sum of every process's `values` [N], the same for all of them."""
        if self.world > 1:
            with self.noticing_loss():
                dist.all_reduce(values)
        return values

    def gathered(self, thing: Any) -> list[Any]:
        """Every process's (picklable) thing, in order of rank."""
        if self.world == 1:
            return [thing]
        things: list[Any] = [None] * self.world
        with self.noticing_loss():
            dist.all_gather_object(things, thing, group=self.waiting)
        return things

    @property
    def device_name(self) -> str:
        """What a person calls this process's device."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "this processor"

    def has_bf16(self) -> bool:
        """Whether this process's device calculates in bf16 itself, rather than by way of fp32."""
        if self.device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        capabilities = torch.cpu.get_capabilities()
        # Of other processors nothing is known.
        return capabilities.get("architecture") != "x86_64" or any(
            capabilities.get(name) for name in ("avx512_bf16", "amx_bf16")
        )

    def wait(self) -> None:
        """Until every process has come here."""
        if self.world > 1:
            with self.noticing_loss():
                dist.barrier(group=self.waiting)

    @contextlib.contextmanager
    def noticing_loss(self) -> Iterator[None]:
        """PeersLost in the place of what gloo and NCCL raise where others are gone."""
        try:
            yield
        except RuntimeError as error:
            if self.world == 1 or not (reason := _loss(error)):
                raise
            raise PeersLost(reason, rank=self.rank) from None


@contextlib.contextmanager
def distributed(device: str = "auto", *, patience: datetime.timedelta = PATIENCE) -> Iterator[Distributed]:
    """The place that torchrun gave this process; alone without torchrun.

    `device`: "cpu", "cuda", or "auto" for a GPU where there is one. `patience` with other processes within a
    step. ValueError where "cuda" is named and is not there, or where there are fewer GPUs than processes.
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
    where = Distributed(rank=rank, world=world, device=chosen)
    if world > 1:
        with where.noticing_loss():
            dist.init_process_group(
                "nccl" if chosen.type == "cuda" else "gloo",
                timeout=patience,
                device_id=chosen if chosen.type == "cuda" else None,
            )
            # By gloo on GPUs too: NCCL's waits keep a GPU busy.
            where = dataclasses.replace(where, waiting=dist.new_group(backend="gloo", timeout=LONG))
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


def _loss(error: RuntimeError) -> str | None:
    """Why the others are gone, by what gloo or NCCL raised; None for any other error."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if isinstance(error, dist.DistError):
        return text
    place, bracket, reason = text.partition("] ")
    return reason if bracket and "gloo" in place else None

"""Weights, gradients and moments divided among the processes (FSDP2, torch's fully_shard; Zhao et al. 2023).

Each process holds its part of the network's parameters, and gathers a block's weights for as long as it
computes the block. What is written and read is whole, so that a run goes on with or without. Each process
has all of what lies outside the network (learned weights of losses), and scalars, which can't be divided.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from training.models.recomputation import transformer_blocks
from training.train.loop.distributed import Distributed
from training.train.objectives.objective import Objective


def divide(objective: Objective, *, where: Distributed) -> None:
    """Leaves this process its part of an objective's parameters, which stands on its device."""
    undivided = set(_undivided(objective))
    mesh = init_device_mesh(where.device.type, (where.world,))
    for block in transformer_blocks(objective):
        fully_shard(block, mesh=mesh, ignored_params=undivided)
    fully_shard(objective, mesh=mesh, ignored_params=undivided)


def average_undivided(objective: Objective, *, world: int) -> None:
    """Brings the gradients of what is not divided to their mean over the processes."""
    for parameter in _undivided(objective):
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= world


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """The norm of all gradients before they are clipped to `limit`: of divided ones and others."""
    divided: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        if parameter.grad is not None:
            divided[isinstance(parameter, DTensor)].append(parameter)
    if not divided[True]:
        return nn.utils.clip_grad_norm_(divided[False], limit)
    parts = [part for part in divided.values() if part]
    norms = [nn.utils.get_total_norm([p.grad for p in part if p.grad is not None]) for part in parts]
    norm: Tensor = torch.stack([n.full_tensor() if isinstance(n, DTensor) else n for n in norms]).norm()
    for part in parts:
        nn.utils.clip_grads_with_norm_(part, limit, norm)
    return norm


def whole(state: Any) -> Any:
    """A tensor or state with all parts of what is divided, those on the CPU. All processes call it."""
    if isinstance(state, DTensor):
        return state.full_tensor().cpu()
    if isinstance(state, dict):
        return {name: whole(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(whole, state))
    return state


def load_weights(module: nn.Module, state: dict[str, Tensor]) -> None:
    """A whole state into a module, divided or not."""
    own = module.state_dict()
    module.load_state_dict({name: _like(own.get(name), value) for name, value in state.items()})


def load_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """A whole state into an optimizer, whose parameters may be divided."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        number: {
            name: _like(parameters[number], value) if value.shape == parameters[number].shape else value
            for name, value in of_one.items()
        }
        for number, of_one in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})


def _like(own: Tensor | None, value: Tensor) -> Tensor:
    if not isinstance(own, DTensor):
        return value
    value = value.to(own.device)
    # Each process has all of it: nothing is sent.
    return distribute_tensor(value, own.device_mesh, own.placements, src_data_rank=None)


def _undivided(objective: Objective) -> list[nn.Parameter]:
    network = {id(parameter) for parameter in objective.network().parameters()}
    return [p for p in objective.parameters() if p.dim() == 0 or id(p) not in network]

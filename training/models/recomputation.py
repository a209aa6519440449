"""Activation checkpointing (Chen et al. 2016): a block keeps its input alone, and is computed again backward.

Of qface_base's activations most are those of its transformer blocks. The numbers are the same, stochastic
depth included; a step takes about a third longer.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class RecomputableBlock(nn.Module):
    """A block that may be computed again; whoever wants that possible calls it by `computed`."""

    recompute = False


def computed(block: nn.Module, *tensors: Tensor, **more: Any) -> Tensor:
    """A block's output; its activations are not kept where it is to be computed again."""
    if getattr(block, "recompute", False) and block.training and torch.is_grad_enabled():
        again: Tensor = checkpoint(block, *tensors, use_reentrant=False, **more)
        return again
    output: Tensor = block(*tensors, **more)
    return output


def recompute_blocks(network: nn.Module) -> None:
    """From now on the blocks of all transformers in a network are computed again.

    Convolutional encoders are left as they are: their BatchNorm would count each face twice.
    """
    part: Any  # a module of ours or timm's
    for part in network.modules():
        if isinstance(part, RecomputableBlock):
            part.recompute = True
        elif _is_vit(part):
            part.set_grad_checkpointing(True)


def transformer_blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks of all transformers in a network."""
    blocks: list[nn.Module] = []
    for part in network.modules():
        if isinstance(part, RecomputableBlock):
            blocks.append(part)
        elif _is_vit(part):
            blocks += part.get_submodule("blocks").children()
    return blocks


def _is_vit(part: Any) -> bool:
    """Whether this is one of timm's."""
    blocks = getattr(part, "blocks", None)
    return hasattr(part, "set_grad_checkpointing") and isinstance(blocks, nn.Sequential)

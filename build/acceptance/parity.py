"""How far two engines' answers to the same pictures lie apart, output by output.

How a difference is measured, and how large it may be, is defined by each task's kind (`runtime.kinds`).
"""

from collections.abc import Mapping

import numpy as np

from runtime.contract import Contract
from runtime.heads import heads_of
from runtime.kinds.base import Tensors


def differences(
    contract: Contract, expected: Tensors, answered: Tensors, *, in_units: bool
) -> dict[str, float]:
    """The largest difference of each output of `expected`, by its name.

    `in_units`: in the unit that people read (a rotation by its angle in degrees), else in the output's own
    numbers. An output that is missing, has another shape, or holds NaN is infinitely far.
    """
    found, heads = {}, heads_of(contract)
    for name, values in expected.items():
        other = answered.get(name)
        if other is None or other.shape != values.shape:
            found[name] = float("inf")
        else:
            found[name] = heads[name].kind.difference(values, other, in_units=in_units)
    return found


def tolerances(contract: Contract, *, precision: str) -> dict[str, float]:
    """The largest difference allowed for each output at a precision."""
    return {name: head.kind.tolerance(precision) for name, head in heads_of(contract).items()}


def worst_beyond_tolerance(
    by_batch: Mapping[str, Mapping[str, float]], allowed: Mapping[str, float]
) -> tuple[str, float] | None:
    """The output that lies furthest beyond what is allowed for it, and how far; None if all are allowed."""
    worst = max(
        ((name, value) for by_output in by_batch.values() for name, value in by_output.items()),
        key=lambda found: found[1] / allowed[found[0]],
    )
    return None if worst[1] <= allowed[worst[0]] else worst


def nearly_constant(contract: Contract, answers: Tensors) -> list[str]:
    """The outputs that would pass at low precision though they always gave the same answer for these faces.

    `answers` are those for all the faces. About such an output a comparison on these faces shows nothing.
    """
    allowed = tolerances(contract, precision="bf16")
    constant = {
        name: np.broadcast_to(np.median(values, axis=0).astype(values.dtype), values.shape)
        for name, values in answers.items()
    }
    apart = differences(contract, answers, constant, in_units=True)
    return [name for name, value in apart.items() if value <= allowed[name]]

"""Whether an engine's answers are torch's, up to the tolerance of its precision."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from build.acceptance.parity import differences, tolerances
from build.backends.base import Infer
from build.precisions import format_of
from runtime.contract import Contract
from runtime.kinds.base import Tensors


def differences_by_batch(
    contract: Contract,
    *,
    infer: Infer,
    pixels: NDArray[np.uint8],
    expected: Tensors,
    precision: str,
    batches: Sequence[int],
) -> dict[str, dict[str, float]]:
    """The largest difference of each output in its unit, by batch size.

    `expected` are the answers for all of `pixels` [N, S, S, 3]. At full precision a rotation is compared
    entry by entry: the angle between two rotations would drown in their own rounding.
    """
    in_units = not format_of(precision).full
    found = {}
    for batch in batches:
        part = {name: values[:batch] for name, values in expected.items()}
        found[str(batch)] = differences(contract, part, infer(pixels[:batch]), in_units=in_units)
    return found


def answer_fault(
    by_batch: Mapping[str, Mapping[str, float]], *, contract: Contract, precision: str
) -> str | None:
    """Each output that lies outside its tolerance, and by how much; None when all are inside."""
    allowed = tolerances(contract, precision=precision)
    worst: dict[str, tuple[float, str]] = {}
    for batch, by_output in by_batch.items():
        for name, value in by_output.items():
            if not value <= allowed[name] and value >= worst.get(name, (0.0, ""))[0]:
                worst[name] = (value, batch)
    if not worst:
        return None
    parts = [
        f"{name} by {value:.3g} (allowed {allowed[name]:g}, batch {batch})"
        for name, (value, batch) in worst.items()
    ]
    return f"it differs from torch in {', '.join(parts)}"

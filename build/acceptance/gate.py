"""Whether an engine is what it is called, and answers as torch does.

One that isn't or doesn't is not served.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.acceptance.parity import differences, tolerances
from build.backends.base import Infer, Layer
from build.errors import BuildError
from runtime.contract import Contract
from runtime.kinds.base import Tensors

# The largest share of the multiplying layers that may have stayed in fp32 without being on the keep list.
FULL_SHARE = 0.05
# The smallest share that must be in int8 or fp8: a quantiser may leave layers at 16 bits.
QUANTISED_SHARE = 0.5
# Beside its weights a plan holds kernels and tables: of TensorRT-RTX 1.7 they were 8 to 9 MB.
_KERNELS = 12 << 20


class GateError(BuildError):
    """An engine that must not be served; `report` says all that was measured of it."""

    def __init__(self, message: str, *, report: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.report = report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shares:
    """What an engine's multiplying layers are."""

    counts: Mapping[str, int]  # by precision
    kept: int  # in fp32 because they are on the keep list
    full: float  # share of those in fp32 without being kept, 0 to 1


def shares(layers: Sequence[Layer], *, kept: Sequence[str]) -> Shares:
    """Counts the layers by precision; a layer is kept when its name holds a kept node's.

    `kept` are the nodes on the keep list, and no others: what a converter left in fp32 of its own accord
    counts as what stayed fp32.
    """
    counts = Counter(layer.precision for layer in layers)
    full = [layer for layer in layers if layer.precision == "fp32"]
    on_list = sum(1 for layer in full if any(_is_of(layer, node) for node in kept))
    return Shares(counts=dict(counts), kept=on_list, full=(len(full) - on_list) / max(len(layers), 1))


def layer_fault(found: Shares, *, precision: str) -> str | None:
    """What is wrong with the layers for this precision, or None."""
    total = sum(found.counts.values())
    shown = ", ".join(f"{count} in {name}" for name, count in sorted(found.counts.items()))
    if not total:
        return "no multiplying layer was found in it, so nobody can tell its precision"
    if "unknown" in found.counts:
        return f"the types of some of its multiplying layers can't be read ({shown})"
    if precision == "fp32":
        return None if set(found.counts) == {"fp32"} else f"it is not fp32: of its layers {shown}"
    if found.full > FULL_SHARE:
        return (
            f"{found.full:.0%} of its multiplying layers stayed fp32 ({shown}), more than {FULL_SHARE:.0%} "
            "beside the keep list"
        )
    if precision in ("int8", "fp8"):
        share = found.counts.get(precision, 0) / total
        return (
            None if share >= QUANTISED_SHARE else f"only {share:.0%} of its layers are {precision} ({shown})"
        )
    share = found.counts.get(precision, 0) / max(total - found.kept, 1)
    return None if share >= 1 - FULL_SHARE else f"only {share:.0%} of its layers are {precision} ({shown})"


def size_fault(size: int, *, parameters: int, precision: str) -> str | None:
    """Whether a file of `size` bytes can't be at this precision with so many parameters; None if it can."""
    if precision == "fp32":
        return None
    limit = 2.2 * parameters + _KERNELS  # two bytes a parameter, and a tenth for what stays fp32
    if size <= limit:
        return None
    return (
        f"it is {size / 1e6:.0f} MB, but {parameters / 1e6:.1f} million parameters in {precision} need less"
    )


def parity(
    contract: Contract,
    *,
    infer: Infer,
    pixels: NDArray[np.uint8],
    expected: Tensors,
    precision: str,
    batches: Sequence[int],
) -> dict[str, dict[str, float]]:
    """The largest difference of each output in its unit, by batch size.

    `expected` are the answers for all of `pixels` [N, S, S, 3]. In fp32 a rotation is compared entry by
    entry: the angle between two rotations would drown in their own rounding.
    """
    found = {}
    for batch in batches:
        part = {name: values[:batch] for name, values in expected.items()}
        found[str(batch)] = differences(contract, part, infer(pixels[:batch]), in_units=precision != "fp32")
    return found


def parity_fault(
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


def _is_of(layer: Layer, node: str) -> bool:
    """Whether a runtime's layer was made of this ONNX node: as a whole word of its name."""
    words = layer.name.replace("(", " ").replace(")", " ").replace("+", " ").replace(",", " ").split()
    return node in words

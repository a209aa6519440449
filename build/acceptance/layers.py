"""Whether an engine's layers multiply in the precision that it is called by."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from build.backends.base import Layer
from build.precisions import FULL_PRECISION, format_of

# The largest share of the multiplying layers that may have stayed in fp32 without being excluded.
TOLERATED_FP32_SHARE = 0.05
# The smallest share that must be quantised: a quantiser may leave layers at 16 bits.
QUANTISED_SHARE = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerShares:
    """The precisions of an engine's multiplying layers."""

    counts: Mapping[str, int]  # by precision
    excluded: int  # in fp32 because the precision exclusions name them
    full: float  # share of those in fp32 without being excluded, 0 to 1


def layer_shares(layers: Sequence[Layer], *, excluded: Sequence[str]) -> LayerShares:
    """Counts the layers by precision; a layer is excluded when its name contains an excluded node's.

    `excluded` are the nodes that `build.lowering.precision_exclusions` names, and no others: what a converter
    left in fp32 by itself counts as what stayed fp32.
    """
    counts = Counter(layer.precision for layer in layers)
    full = [layer for layer in layers if layer.precision == FULL_PRECISION]
    named = sum(1 for layer in full if any(_is_of(layer, node) for node in excluded))
    return LayerShares(counts=dict(counts), excluded=named, full=(len(full) - named) / max(len(layers), 1))


def layer_fault(shares: LayerShares, *, precision: str) -> str | None:
    """What is wrong with the layers for this precision, or None."""
    form, total = format_of(precision), sum(shares.counts.values())
    shown = ", ".join(f"{count} in {name}" for name, count in sorted(shares.counts.items()))
    if not total:
        return "no multiplying layer was found in it, so nothing shows its precision"
    if "unknown" in shares.counts:
        return f"the types of some of its multiplying layers can't be read ({shown})"
    if form.full:
        return None if set(shares.counts) == {precision} else f"it is not {precision}: of its layers {shown}"
    if shares.full > TOLERATED_FP32_SHARE:
        return (
            f"{shares.full:.0%} of its multiplying layers stayed {FULL_PRECISION} ({shown}), more than "
            f"{TOLERATED_FP32_SHARE:.0%} beside the precision exclusions"
        )
    count = shares.counts.get(precision, 0)
    if form.quantised:
        share, least = count / total, QUANTISED_SHARE
    else:
        share, least = count / max(total - shares.excluded, 1), 1 - TOLERATED_FP32_SHARE
    return None if share >= least else f"only {share:.0%} of its layers are {precision} ({shown})"


def _is_of(layer: Layer, node: str) -> bool:
    """Whether a runtime's layer was made of this ONNX node: as a whole word of its name."""
    words = layer.name.replace("(", " ").replace(")", " ").replace("+", " ").replace(",", " ").split()
    return node in words

"""Faces whose quality is too low to be answered: how likely it is that each can be analysed at all.

The network states that as one of its answers; the contract's `quality` names which. A request chooses the
least by `min_quality`.
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from runtime.contract import Contract, QualityEntry
from runtime.kinds import kind_of
from runtime.parameters import Parameter

MIN_QUALITY = "min_quality"  # the request's parameter
FACES_BELOW_QUALITY = "faces_below_quality"  # the answer's tensor: how many faces were left out, INT32 [1]


def quality_parameters(contract: Contract) -> dict[str, Parameter]:
    """The request parameters of a model that leaves faces out by their quality; none without a quality."""
    if contract.quality is None:
        return {}
    return {
        MIN_QUALITY: Parameter(
            type="number",
            minimum=0.0,
            maximum=1.0,
            default=contract.quality.minimum,
            description="the least probability that a face can be analysed at all; faces below are left out "
            f"of the answer and counted in {FACES_BELOW_QUALITY}. 0: every face is answered",
        )
    }


def check_quality(contract: Contract) -> None:
    """Raises ValueError where the contract's quality is no probability."""
    if contract.quality is None:
        return
    entry = contract.entry(contract.quality.task)
    if not kind_of(entry).states_probabilities:
        raise ValueError(
            f"quality is the task {entry.name!r}, whose answers of kind {entry.kind} are no probabilities"
        )


class FaceQuality:
    """The quality of faces, of their heads. ValueError as `check_quality`."""

    def __init__(self, contract: Contract, quality: QualityEntry) -> None:
        check_quality(contract)
        entry = contract.entry(quality.task)
        self.head = entry.name  # of which it is read
        self._label = entry.labels.index(quality.label)

    def is_enough(self, heads: Mapping[str, NDArray[Any]], *, minimum: float) -> NDArray[Any]:
        """For each of N faces whether it is answered [N]; `heads` [N, ...] holds `head`.

        A quality that is not a number leaves nothing out: the network's fault is then seen in the answer.
        """
        return ~(heads[self.head][:, self._label] < minimum)

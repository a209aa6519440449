"""Whether answers fit their own labels better than each other's: labels in a wrong order show."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def area(scores: Floats, present: NDArray[np.bool_]) -> float:
    """How likely a face that has a label is scored above one that has not (0.5: chance)."""
    more = scores[present][:, None] - scores[~present]
    return float((more > 0).mean() + (more == 0).mean() / 2)


def swapped(fit: Floats, labels: Sequence[str], *, slack: float) -> list[str]:
    """Pairs of labels whose answers would fit each other's truth better than their own.

    `fit` [K, K]: how well the answer of each label (rows) tells the truth of each (columns); NaN where it
    can't be told. `slack` is what a pair may lack before it counts.
    """
    own = np.diag(fit)
    gain = fit + fit.T - own - own[:, None]
    return [f"{labels[i]} and {labels[j]}" for i, j in np.argwhere(gain > slack) if i < j]


def areas(said: Floats, true: NDArray[np.bool_], *, least: int) -> Floats:
    """How well each answer (rows) tells each label (columns), as `swapped` takes it.

    NaN for labels that fewer than `least` heads have, or lack, and for two labels that the same heads have.
    """
    rare = np.minimum(true.sum(axis=0), (~true).sum(axis=0)) < least
    fit = np.array(
        [[np.nan if rare[j] else area(one, true[:, j]) for j in range(len(rare))] for one in said.T]
    )
    alike = (true[:, :, None] != true[:, None]).sum(axis=0) < least
    np.fill_diagonal(alike, False)
    fit[alike] = np.nan
    return fit

"""From which quality on a face is answered where nobody says otherwise.

It is the smallest value at which hardly a photo without a face is answered, as long as hardly a face is lost
by it, and not many of any set; else the largest one that loses no more.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation.quality.faceless import PhotoQualities

MOST_LOST = 0.01  # of true faces
MOST_OF_A_SET = 0.02  # of those of any one set
MOST_ANSWERED = 0.01  # of photos without a face
_STEP = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Minimum:
    """A chosen minimum, and what it does to the faces and photos that it was chosen on."""

    value: float
    lost: float  # of the faces, the mean over the sets
    worst: float  # of the set that loses most
    answered: float  # of the photos without a face


def choose_minimum(faces: Sequence[NDArray[np.float64]], faceless: PhotoQualities) -> Minimum:
    """From the qualities of true faces, set by set (each counts the same), and of photos without a face."""
    candidates = [_effect(round(float(value), 2), faces, faceless) for value in np.arange(_STEP, 1, _STEP)]
    bearable = [one for one in candidates if one.lost <= MOST_LOST and one.worst <= MOST_OF_A_SET]
    bearable = bearable or candidates[:1]
    enough = [one for one in bearable if one.answered <= MOST_ANSWERED]
    return enough[0] if enough else bearable[-1]


def _effect(value: float, faces: Sequence[NDArray[np.float64]], faceless: PhotoQualities) -> Minimum:
    lost = [float((qualities < value).mean()) for qualities in faces]
    return Minimum(
        value=value,
        lost=float(np.mean(lost)),
        worst=max(lost),
        answered=float(faceless.answered(value).mean()),
    )

"""How far a quantised network's answers drift from the fp32 network's, on faces held out of calibration."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.acceptance.parity import differences, tolerances
from build.lowering.calibration_faces import evenly
from build.precisions import Precision
from runtime.contract import Contract
from runtime.kinds.base import Tensors

_BATCH = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceSplit:
    """Faces [N, S, S, 3] for a quantiser, without overlap."""

    calibration: NDArray[np.uint8]
    held_out: NDArray[np.uint8]  # on which drift is measured


def split_faces(faces: NDArray[np.uint8], *, held_out: int, calibration: int) -> FaceSplit:
    """At most so many of each, evenly spread; no more than a quarter is held out."""
    held = np.zeros(len(faces), dtype=bool)
    held[evenly(len(faces), min(held_out, len(faces) // 4))] = True
    others = faces[~held]
    chosen = evenly(len(others), min(calibration, len(others)))
    return FaceSplit(calibration=others[chosen], held_out=faces[held])


class AnswerDrift:
    """Measures answers on held-out faces, in units of each output's tolerance: 1 is just allowed."""

    def __init__(
        self,
        exact: Callable[[NDArray[np.uint8]], Tensors],
        *,
        contract: Contract,
        precision: Precision,
        faces: NDArray[np.uint8],
    ) -> None:
        """`exact` is the fp32 network, `faces` [N, S, S, 3] are held out."""
        self.faces = faces
        self._contract = contract
        self._tolerances = tolerances(contract, precision=precision)
        self._expected = answers_in_batches(exact, faces)

    def by_output(self, infer: Callable[[NDArray[np.uint8]], Tensors]) -> dict[str, float]:
        """The largest drift of each output on all faces."""
        return self._drift(self._expected, answers_in_batches(infer, self.faces))

    def by_face(
        self, infer: Callable[[NDArray[np.uint8]], Tensors], numbers: Sequence[int]
    ) -> list[dict[str, float]]:
        """The drift of each output on each of the faces with these numbers."""
        answers = answers_in_batches(infer, self.faces[list(numbers)])
        return [
            self._drift(
                {name: values[number : number + 1] for name, values in self._expected.items()},
                {name: values[row : row + 1] for name, values in answers.items()},
            )
            for row, number in enumerate(numbers)
        ]

    def _drift(self, expected: Tensors, answers: Tensors) -> dict[str, float]:
        found = differences(self._contract, expected, answers, in_units=True)
        return {name: value / self._tolerances[name] for name, value in found.items()}


def answers_in_batches(
    infer: Callable[[NDArray[np.uint8]], Tensors], faces: NDArray[np.uint8]
) -> dict[str, NDArray[Any]]:
    """The answers for all faces [N, S, S, 3], 16 at a time."""
    parts = [infer(faces[first : first + _BATCH]) for first in range(0, len(faces), _BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

"""What is sent, before a protocol makes a message of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One inference of one model.

    kind        its name in reports: requests of a kind are counted together
    model       of the V2 protocol
    inputs      the tensors by name, with the batch's dimension where the model has one
    outputs     those that are asked for; none: all that the server gives without being asked
    parameters  of the request
    photo       the encoded file where the question is one photo, as a door for photos takes it; else None
    tasks       that are asked for; None: all
    faces       that an answer has in the first try, None where an answer has no number of faces
    answer_bytes    of the answer in the first try
    share       of the requests of a mix, any positive number
    """

    kind: str
    model: str
    inputs: Mapping[str, NDArray[Any]]
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, float | int | str] = dataclasses.field(default_factory=dict)
    photo: bytes | None = None
    tasks: tuple[str, ...] | None = None
    faces: int | None = None
    answer_bytes: int = 0
    share: float = 1.0

    @property
    def content_bytes(self) -> int:
        """Of its tensors."""
        return sum(np.asarray(tensor).nbytes for tensor in self.inputs.values())

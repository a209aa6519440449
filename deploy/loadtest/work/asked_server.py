"""The server as the building of questions sees it: what it serves, and what it answers at first."""

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from deploy.loadtest.protocols.answers import faces_in
from deploy.loadtest.protocols.base import Answer, Door, Target
from deploy.loadtest.protocols.mistakes import Busy
from deploy.loadtest.work.question import Question
from qface_client.contract import Contract, parse_contract
from qface_client.errors import QFaceError
from qface_client.reading import PHOTO_MODEL

_PAUSE = 0.05  # seconds, the shortest before another try


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AskedServer:
    """One target; `description` is that of its door, `timeout` in seconds of one answer."""

    door: Door
    target: Target
    description: Mapping[str, Any]
    timeout: float

    @property
    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """By name, as `Door.describe` has them."""
        models: Mapping[str, Mapping[str, Any]] = self.description["models"]
        return models

    @functools.cached_property
    def contract(self) -> Contract | None:
        """Of the model that answers photos; None where the protocol gives none."""
        text = self.models.get(PHOTO_MODEL, {}).get("parameters", {}).get("contract")
        try:
            return None if text is None else parse_contract(text)
        except QFaceError as error:
            raise ValueError(f"the contract of {self.target.address} can't be read: {error}") from None

    def outputs(self, model: str) -> frozenset[str]:
        """The names that a model has; none where the protocol does not give them."""
        return frozenset(output["name"] for output in self.models.get(model, {}).get("outputs", ()))

    def answer(self, question: Question, *, what: str) -> Answer:
        """One answer; ValueError where the server does not take `what`, ConnectionError where none came.

        A server that is busy is asked again, as it says, for as long as an answer may take.
        """
        end = time.monotonic() + self.timeout
        try:
            while True:
                try:
                    return self.door.answer(self.target, question, timeout=self.timeout)
                except Busy as busy:
                    if time.monotonic() + busy.seconds > end:
                        raise
                    time.sleep(max(_PAUSE, busy.seconds))
        except ValueError as error:
            raise ValueError(
                f"{what} can't be sent, as the server refuses it: {str(error).rstrip('.')}; mend it, or "
                "leave it out"
            ) from None

    def counted(self, question: Question, *, what: str) -> tuple[Question, Answer]:
        """The question with the faces and bytes of its first answer, and that answer."""
        answer = self.answer(question, what=what)
        faces = faces_in({name: np.shape(tensor) for name, tensor in answer.tensors.items()})
        return dataclasses.replace(question, faces=faces, answer_bytes=answer.size), answer

"""One network and what is computed with it: the answers of the models that a server makes of it."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ServerError

if TYPE_CHECKING:
    from runtime.contract import Contract
    from runtime.detect.faces import Infer as Detect
    from runtime.engines import Engine
    from runtime.parameters import Parameter

Tensors = Mapping[str, NDArray[Any]]
# Inputs, the request's parameters as JSON, the names of the wanted outputs -> these outputs, or more.
Answering = Callable[[Tensors, str, Sequence[str]], Tensors]


class Network:
    """A network that is loaded when it is first needed. Thread-safe."""

    def __init__(
        self,
        contract: "Contract",
        *,
        load: "Callable[[], Engine]",
        detect: "Detect",
        parameters: "Mapping[str, Parameter]",
        max_batch: int,
    ) -> None:
        """`load` gives the engine, `max_batch` is its; `parameters` are those that requests may bring."""
        from runtime.answering.heads import HeadAnswers
        from runtime.answering.photos import PhotoAnswers
        from runtime.image.crops import crop_of

        self._load = load
        self._max_batch = max_batch
        self._engine: Engine | None = None
        self._loading = threading.Lock()
        self._size = contract.input_size
        self._crop = crop_of(contract.crop)
        self._head_answers = HeadAnswers(contract)
        self._photos = PhotoAnswers(contract, detect, parameters, self._heads)

    def precision(self, stated: str) -> str:
        """In what it computes here: `stated`, or fp32 where this processor has no other."""
        hint = getattr(self._loaded(), "hint", None)  # of OpenVINO: what it came to
        return "fp32" if hint == "f32" else stated

    def of_photo(self, inputs: Tensors, sent: str, outputs: Sequence[str]) -> Tensors:
        """image [n] -> its faces and the answers about each."""
        return self._photos.answer(inputs["image"], sent=sent, requested=outputs)

    def of_faces(self, inputs: Tensors, sent: str, outputs: Sequence[str]) -> Tensors:
        """image [B, n], box [B, 4] and landmarks [B, 5, 2] (NaN: none) -> the answers about each."""
        from runtime.answering.rows import cut_faces

        cut = cut_faces(
            inputs["image"],
            boxes=inputs["box"],
            landmarks=inputs["landmarks"],
            crop=self._crop,
            size=self._size,
        )
        return self._of_cut(cut, outputs)

    def of_crops(self, inputs: Tensors, sent: str, outputs: Sequence[str]) -> Tensors:
        """crop [B, H, W, 3] -> the answers about each."""
        from runtime.answering.rows import fit_crops

        return self._of_cut(fit_crops(inputs["crop"], crop=self._crop, size=self._size), outputs)

    # -- within -------------------------------------------------------------------------------------

    def _of_cut(self, cut: dict[str, NDArray[Any]], outputs: Sequence[str]) -> Tensors:
        pixels = cut.pop("pixels")
        heads = self._heads(pixels, self._head_answers.heads_for(outputs))
        return self._head_answers.answers({**heads, **cut}, rows=len(pixels), requested=outputs)

    def _heads(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        from runtime.answering.batches import in_batches

        if not names:
            return {}
        engine = self._loaded()
        return in_batches(
            lambda part: engine.infer({"pixels": part}, outputs=names),
            pixels,
            names,
            max_batch=self._max_batch,
        )

    def _loaded(self) -> "Engine":
        with self._loading:
            if self._engine is None:
                try:
                    self._engine = self._load()
                except Exception as error:
                    raise ServerError(
                        f"the network can't be loaded ({type(error).__name__}: {error}): assemble the "
                        "repository again, or give another file"
                    ) from error
            return self._engine


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A model as a server would have it: what it states of itself, and how it answers."""

    info: Any  # a ModelInfo
    version: str
    parameters: "Mapping[str, Parameter]"  # that requests may bring
    answer: Answering | None  # None: it is there to be read
    network: Network | None = None  # None: it answers of the detector alone

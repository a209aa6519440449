"""The transport that answers in this process."""

import dataclasses
import json
import os
import threading
import time
from pathlib import Path

from .._exchange.steps import Infer, ReadModel, Reply
from ..contract import ModelInfo
from ..errors import InvalidInput, NotServed, QFaceError, RequestTimeout, ServerError
from ..reading import ENGINE_MODEL
from .installed import require_runtime
from .models import models_of, usable_cores
from .network import LocalModel
from .versions import warn_of_others


class LocalTransport:
    """Answers by the code that a server runs, with its sentences; see `LocalFaceClient` for the arguments.

    At most two requests a core are computed at a time; the others wait.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        threads: int | None = None,
        detector: str | os.PathLike[str] | None = None,
    ) -> None:
        require_runtime()
        self._source = os.fsdecode(source)
        self._models: dict[str, LocalModel] = models_of(
            Path(source), threads=threads, detector=None if detector is None else Path(detector)
        )
        warn_of_others(Path(source))
        # More at a time would share the same cores, and hold the pixels of as many photos.
        self._turns = threading.BoundedSemaphore(2 * (threads or usable_cores()))

    def read_model(self, step: ReadModel) -> ModelInfo:
        """What the model states of itself."""
        model = self._model(step.model)
        info: ModelInfo = model.info
        if model.network is not None and step.model.endswith(ENGINE_MODEL):
            return dataclasses.replace(info, precision=model.network.precision(info.precision))
        return info

    def infer(self, step: Infer) -> Reply:
        """The answer, computed here."""
        began = time.perf_counter()
        model = self._model(step.model)
        if model.answer is None:
            raise self._not_served(step.model)
        _check_parameters(step, model)
        if not self._turns.acquire(timeout=step.timeout):
            raise RequestTimeout(
                f"{step.model!r} had no turn in time, as other calls compute: give it a longer timeout, or "
                "send fewer at a time"
            )
        waited = time.perf_counter() - began
        try:
            answer = model.answer(step.inputs, json.dumps(dict(step.parameters)), step.outputs)
        except QFaceError:
            raise
        except Exception as error:
            raise _as_ours(error, step.model) from error
        finally:
            self._turns.release()
        tensors = {}
        for name in step.outputs:
            if name not in answer:
                raise InvalidInput(f"unexpected inference output {name!r} for model {step.model!r}")
            tensors[name] = answer[name].view()
            tensors[name].flags.writeable = False
        total = time.perf_counter() - began
        timings = {"total": round(total * 1000, 3), "queue": round(waited * 1000, 3)}
        return Reply(tensors=tensors, model=step.model, version=model.version, timings=timings)

    def close(self) -> None:
        """Free the networks; calls under way end as they would."""
        self._models = {}

    def _model(self, name: str) -> LocalModel:
        found = self._models.get(name)
        if found is None:
            raise self._not_served(name)
        return found

    def _not_served(self, name: str) -> NotServed:
        return NotServed(f"{self._source} does not serve {name!r}: is it a Q-Face repository?")


def _check_parameters(step: Infer, model: LocalModel) -> None:
    """InvalidInput for values that a server's gateway refuses, in its words."""
    from runtime.answering.parameters import PRIORITIES, PRIORITY, unusable

    taken = {**model.parameters, PRIORITY: PRIORITIES}
    sent = {**step.parameters, **({} if step.priority is None else {PRIORITY: step.priority})}
    for name, value in sent.items():
        if name in taken and not taken[name].takes(value):
            words = unusable(repr(step.model), name, taken[name].range_text)
            raise _with_words(InvalidInput(words), words)


def _as_ours(error: Exception, model: str) -> QFaceError:
    """What a server would have answered instead of the answer."""
    from runtime.errors import InvalidInput as Unusable
    from runtime.memory import lacks_memory

    words = str(error)
    if isinstance(error, Unusable):
        return _with_words(InvalidInput(words), words)
    if lacks_memory(error):
        return ServerError(f"{model!r} has no memory left for this request: send smaller pictures, or fewer")
    return ServerError(f"{model!r} failed on this request ({type(error).__name__}: {words})")


def _with_words(error: QFaceError, words: str) -> QFaceError:
    error.server_message = words
    return error

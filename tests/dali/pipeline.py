"""DALI's pipeline on a CPU, in the place of face_warp, and face_preprocess in front of it.

Triton's part is done by a stand-in: what face_preprocess sends on at once becomes one batch of the pipeline,
and where the pipeline fails, every request of the batch gets the error, as from Triton's DALI backend.
"""

import asyncio
import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from build.preprocessing.dali_pipeline import IMAGE, MATRIX, WINDOW, pipeline
from tests.dali.pictures import Case
from tests.helpers import fake_backend
from tests.helpers.fake_backend import Request, Response, Tensor, TritonError, initialize

OUTPUTS = ["pixels", "crop_to_photo", "photo_size"]


class CpuPipeline:
    """The pipeline as it comes back from its serialised form, once more after each failure."""

    def __init__(self) -> None:
        self.serialised: bytes = pipeline(on_gpu=False).serialize()
        self.batches: list[int] = []
        self.failures: list[str] = []
        self._open()

    def __call__(self, calls: Sequence[dict[str, NDArray[Any]]]) -> NDArray[np.uint8]:
        """The crops of all rows of these calls; RuntimeError where DALI can't make all of them."""
        self.batches.append(sum(len(call[IMAGE]) for call in calls))
        try:
            for name in (IMAGE, WINDOW, MATRIX):
                rows = [np.ascontiguousarray(row) for call in calls for row in call[name]]
                self._pipeline.feed_input(name, rows)
            (crops,) = self._pipeline.run()
            return np.array(crops.as_array())
        except RuntimeError as error:
            self.failures.append(str(error))
            self._open()
            raise

    def _open(self) -> None:
        dali = importlib.import_module("nvidia.dali")
        self._pipeline: Any = dali.pipeline.Pipeline.deserialize(
            self.serialised,
            device_id=None,
            exec_async=False,
            exec_pipelined=False,
            prefetch_queue_depth=1,
        )
        self._pipeline.build()


class Step:
    """face_preprocess in this process; with a pipeline, face_warp behind it."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def answer(self, cases: Sequence[Case]) -> list[Response]:
        """One response a case, to requests that come at once."""
        requests = [
            Request(
                OUTPUTS,
                image=np.frombuffer(case.data, np.uint8)[None],
                box=case.box[None],
                landmarks=case.landmarks[None],
            )
            for case in cases
        ]
        responses: list[Response] = self._model.execute(requests)
        return responses


@contextlib.contextmanager
def steps(warp: CpuPipeline, *, size: int) -> Iterator[tuple[Step, Step]]:
    """face_preprocess by itself, and with the pipeline."""
    with pytest.MonkeyPatch.context() as patch, fake_backend.installed(patch) as module:
        module.InferenceRequest = _requests_to(warp)
        preprocess = importlib.import_module("runtime.serving.preprocess").FacePreprocess
        alone, helped = preprocess(), preprocess()
        inputs = ("image", "box", "landmarks")
        initialize(alone, inputs=inputs, input_size=str(size))
        initialize(helped, inputs=inputs, input_size=str(size), warp_model="face_warp")
        yield Step(alone), Step(helped)
        helped.finalize()


def _requests_to(warp: CpuPipeline) -> type:
    waiting: list[tuple[dict[str, NDArray[Any]], asyncio.Future[Response]]] = []

    def run() -> None:
        batch = waiting[:]
        waiting.clear()
        try:
            crops = warp([inputs for inputs, _ in batch])
        except RuntimeError as error:
            for _, future in batch:
                future.set_result(Response(error=TritonError(str(error))))
            return
        first = 0
        for inputs, future in batch:
            rows = len(inputs[IMAGE])
            future.set_result(Response([Tensor("pixels", crops[first : first + rows])]))
            first += rows

    class InferenceRequest:
        def __init__(self, *, inputs: Sequence[Tensor], **_: Any) -> None:
            self.inputs = {tensor.name(): tensor.values for tensor in inputs}

        async def async_exec(self) -> Response:
            loop = asyncio.get_running_loop()
            if not waiting:
                loop.call_soon(run)
            future: asyncio.Future[Response] = loop.create_future()
            waiting.append((self.inputs, future))
            return await future

    return InferenceRequest

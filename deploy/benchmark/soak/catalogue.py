"""Questions to every model of a server, good ones with their answers and bad ones that must be refused."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.load.mix import CROPS, EVERYTHING
from deploy.benchmark.load.outcomes import RETRYABLE
from deploy.benchmark.load.sample_requests import CHANNEL, TIMEOUT, request_for
from deploy.benchmark.soak import pictures
from deploy.benchmark.soak.pictures import Photo
from deploy.measuring.pictures.portrait import PORTRAIT
from runtime.parameters import REQUEST_PARAMETERS, parse

_ROWS = ((1, 1.0), (3, 0.4), (8, 0.2), (32, 0.06))  # rows of a batch -> how often
_SUBSETS = 3  # requests of each photo model that name some of its outputs
# Shares of the sorts among what is asked, by what a model takes.
_PHOTOS_SHARE, _FACES_SHARE, _CROPS_SHARE = 0.5, 0.3, 0.2
_LONG = 0.1  # of a photo that is to be looked at more closely, among ordinary ones
_FOLD = 4.0  # how much more often the model of all tasks is asked than one of a task
Metadata = Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A request with what it gets from a server that is well: an answer, or a typed refusal.

    share   how often it is sent, among its like
    """

    name: str
    request: v2.ModelInferRequest
    share: float
    answer: v2.ModelInferResponse | None = None
    code: str = "OK"


class Catalogue:
    """Questions to one server, asked once each while it is quiet; `every` is 1 for all, 3 for a third.

    grpc.RpcError where one of them is not answered, AssertionError where a bad one is.
    """

    def __init__(
        self, address: str, models: Iterable[str], *, metadata: Metadata = (), every: int = 1
    ) -> None:
        self._metadata = metadata
        with grpc.insecure_channel(address, options=CHANNEL) as channel:
            self._stub = v2_grpc.GRPCInferenceServiceStub(channel)
            configs = [
                self._stub.ModelConfig(
                    v2.ModelConfigRequest(name=name), timeout=TIMEOUT, metadata=metadata
                ).config
                for name in models
            ]
            steps = {step.model_name for config in configs for step in config.ensemble_scheduling.step}
            self._configs = [config for config in configs if config.name not in steps]
            self.good = [self._answered(question) for question in islice(self._good(), 0, None, every)]
            self.bad = [self._refused(question) for question in islice(self._bad(), 0, None, every)]

    # -- what is asked ----------------------------------------------------------------------------

    def _good(self) -> Iterator[Question]:
        photo, crop, face = self._by_input()
        for config in photo:
            for sent in pictures.photos():
                yield self._question(config, sent, share=_PHOTOS_SHARE * sent.share / len(photo))
            yield from self._subsets(config, share=_PHOTOS_SHARE / len(photo))
            yield from self._with_parameters(config, share=_PHOTOS_SHARE / len(photo))
        for config in face:
            fold = _FOLD if config.name == EVERYTHING else 1.0
            for sent in pictures.face_photos():
                yield self._question(config, sent, share=_FACES_SHARE * fold * sent.share / len(face))
        for config in crop:
            for pixels in pictures.crops():
                for rows, share in _ROWS:
                    if rows <= max(1, config.max_batch_size):
                        request = request_for(config, encoded=b"", pixels=pixels, rows=rows)
                        assert request is not None
                        name = f"{config.name}: {rows} x {pixels.shape[1]} x {pixels.shape[0]}"
                        share *= _CROPS_SHARE * (_FOLD if config.name == CROPS else 1.0) / len(crop)
                        yield Question(name=name, request=request, share=share)

    def _by_input(self) -> tuple[list[Any], list[Any], list[Any]]:
        """The models that take a photo, those that take crops, and those that take a photo of one face."""
        photo: list[Any] = []
        crop: list[Any] = []
        face: list[Any] = []
        for config in self._configs:
            dims = [len(tensor.dims) for tensor in config.input]
            sort = face if len(dims) > 1 else crop if dims == [3] else photo if dims == [1] else None
            if sort is not None:
                sort.append(config)
        return photo, crop, face

    def _question(self, config: Any, photo: Photo, *, share: float) -> Question:
        request = request_for(config, encoded=photo.data, pixels=pictures.portrait(64))
        assert request is not None, config.name
        return Question(name=f"{config.name}: {photo.name}", request=request, share=share)

    def _subsets(self, config: Any, *, share: float) -> Iterator[Question]:
        """Requests that name outputs: of three parts the first, the last, the middle."""
        outputs = [output.name for output in config.output]
        part = max(1, len(outputs) // _SUBSETS)
        portrait = Photo(name="", data=PORTRAIT.read_bytes())
        for number in range(0, len(outputs), part):
            question = self._question(config, portrait, share=share)
            for output in outputs[number : number + part]:
                question.request.outputs.add(name=output)
            yield dataclasses.replace(question, name=f"{config.name}: outputs from {outputs[number]} on")

    def _with_parameters(self, config: Any, *, share: float) -> Iterator[Question]:
        """Requests that bring a number, within its range, and seldom one that takes several times as long."""
        described = config.parameters[REQUEST_PARAMETERS].string_value
        for name, parameter in parse(described or "{}").items():
            ordinary = (3 * parameter.minimum + parameter.maximum) / 4
            values = [(ordinary, share), *((0.99 * step, _LONG * share) for step in parameter.work_steps[:1])]
            for value, how_often in values:
                question = self._question(config, _collage(), share=how_often)
                if parameter.type == "integer":
                    question.request.parameters[name].int64_param = int(value)
                else:
                    question.request.parameters[name].double_param = value
                yield dataclasses.replace(question, name=f"{config.name}: {name} of {value:.3g}")

    def _bad(self) -> Iterator[Question]:
        photo, crop, face = self._by_input()
        for config in [*photo, *face[:2]]:
            for sent in pictures.no_pictures():
                yield self._question(config, sent, share=1.0)
        portrait = Photo(name="", data=PORTRAIT.read_bytes())
        for config in (*photo[:1], *crop[:1], *face[:1]):
            for name, spoil in _SPOILT.items():
                question = self._question(config, portrait, share=1.0)
                spoil(question.request)
                yield dataclasses.replace(question, name=f"{config.name}: {name}")

    # -- what a quiet server makes of it ----------------------------------------------------------

    def _answered(self, question: Question) -> Question:
        answer = self._stub.ModelInfer(question.request, timeout=TIMEOUT, metadata=self._metadata)
        return dataclasses.replace(question, answer=answer)

    def _refused(self, question: Question) -> Question:
        try:
            self._stub.ModelInfer(question.request, timeout=TIMEOUT, metadata=self._metadata)
        except grpc.RpcError as error:
            question = dataclasses.replace(question, code=error.code().name)
        assert question.code not in (*RETRYABLE, "OK", "DEADLINE_EXCEEDED", "UNKNOWN", "INTERNAL"), question
        return question


def _collage() -> Photo:
    return Photo(name="", data=pictures.encoded(pictures.collage(3, 2, side=200), ".jpg"))


def _other_shape(request: v2.ModelInferRequest) -> None:
    request.inputs[0].shape[-1] += 1


def _negative_shape(request: v2.ModelInferRequest) -> None:
    request.inputs[0].shape[-1] = -1


def _other_datatype(request: v2.ModelInferRequest) -> None:
    request.inputs[0].datatype = "FP32"


def _other_input(request: v2.ModelInferRequest) -> None:
    request.inputs[0].name = "nothing"


def _no_input(request: v2.ModelInferRequest) -> None:
    del request.inputs[:], request.raw_input_contents[:]


def _other_output(request: v2.ModelInferRequest) -> None:
    request.outputs.add(name="nothing")


def _other_model(request: v2.ModelInferRequest) -> None:
    request.model_name = "nothing"


def _other_parameter(request: v2.ModelInferRequest) -> None:
    request.parameters["nothing"].string_param = "nothing"


_SPOILT: dict[str, Callable[[v2.ModelInferRequest], None]] = {
    "a shape that does not fit the bytes": _other_shape,
    "a negative shape": _negative_shape,
    "another datatype": _other_datatype,
    "an unknown input": _other_input,
    "no input": _no_input,
    "an unknown output": _other_output,
    "an unknown model": _other_model,
    "an unknown parameter": _other_parameter,
}


def faces_of(questions: Collection[Question]) -> dict[str, int]:
    """By its name how many faces (or rows) a question's answer has."""
    return {
        question.name: question.answer.outputs[0].shape[0]
        for question in questions
        if question.answer is not None and question.answer.outputs[0].shape
    }

"""Valid requests to every model of a server, made from what it declares, and what it answers them."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.loadtest.work.question import Question

CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a channel is a connection of its own
]
TIMEOUT = 60.0  # seconds, of calls before the load
# An engine may take another kernel for another batch, which changes the last bits; other inputs differ more.
TOLERANCE = 1e-3
LOW_PRECISION_TOLERANCE = 5e-2
CONTRACT = "contract"  # the output with the hash of what the answer means
_FLOATS = {"FP32": np.dtype(np.float32)}
_TYPES: Mapping[str, np.dtype[Any]] = {"UINT8": np.dtype(np.uint8), **_FLOATS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A request, and the answer that it gets from a server that is well."""

    request: v2.ModelInferRequest
    expected: v2.ModelInferResponse

    def fits(self, answer: v2.ModelInferResponse, *, tolerance: float) -> bool:
        """Whether an answer is this request's."""
        return not self.flaw(answer, tolerance=tolerance)

    def flaw(self, answer: v2.ModelInferResponse, *, tolerance: float) -> str:
        """What an answer to this request has wrong: its contract, its tensors, floats beyond the tolerance.

        The tolerance is absolute for values up to 1, and relative for larger ones. Other tensors follow
        from the floats, and turn with their last bits. "" for nothing.
        """
        names = [tensor.name for tensor in answer.outputs]
        if names != [tensor.name for tensor in self.expected.outputs]:
            lacks = {tensor.name for tensor in self.expected.outputs} - set(names)
            return f"the answer has other tensors, and lacks {', '.join(sorted(lacks))}"
        for tensor, raw, expected in zip(
            answer.outputs, answer.raw_output_contents, self.expected.raw_output_contents, strict=True
        ):
            if tensor.name == CONTRACT and raw != expected:
                return "the answer has another contract"
            if tensor.datatype in _FLOATS:
                if len(raw) != len(expected):
                    return f"{tensor.name} has another size"
                got, want = (np.frombuffer(data, _FLOATS[tensor.datatype]) for data in (raw, expected))
                if not np.allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True):
                    return f"{tensor.name} differs by {np.nanmax(np.abs(got - want), initial=0):g}"
        return ""


def picture(seed: int, *, size: int) -> NDArray[np.uint8]:
    """Smooth colours [size, size, 3], RGB, others for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """The picture [H, W, 3], RGB, as a JPEG file."""
    written, data = cv2.imencode(".jpg", pixels[..., ::-1])
    assert written
    return data.tobytes()


def request_for(
    config: Any, *, encoded: bytes, pixels: NDArray[np.uint8], rows: int = 1
) -> v2.ModelInferRequest | None:
    """A request to a model, from its configuration; None where it takes more than pictures.

    `rows` is how many times a model that batches gets the same picture.

    Inputs of bytes take the encoded picture or the pixels, by their number of dimensions; inputs of
    numbers are NaN, which stands for "not given".
    """
    batched = config.max_batch_size > 0
    request = v2.ModelInferRequest(model_name=config.name)
    for tensor in config.input:
        dims = list(tensor.dims)
        if tensor.data_type == 2 and len(dims) == 1:  # TYPE_UINT8
            shape, raw = [len(encoded)], encoded
        elif tensor.data_type == 2 and len(dims) == 3:
            height, width = (side if side > 0 else pixels.shape[axis] for axis, side in enumerate(dims[:2]))
            crop = cv2.resize(pixels, (width, height))
            shape, raw = list(crop.shape), crop.tobytes()
        elif tensor.data_type == 11 and all(size > 0 for size in dims):  # TYPE_FP32
            shape, raw = dims, np.full(math.prod(dims), np.nan, np.float32).tobytes()
        else:
            return None
        request.inputs.add(
            name=tensor.name, datatype=_name_of(tensor.data_type), shape=[rows] * batched + shape
        )
        request.raw_input_contents.append(raw * rows if batched else raw)
    return request


def question_of(request: v2.ModelInferRequest) -> Question:
    """The same request for the load test's generator."""
    return Question(
        kind=request.model_name,
        model=request.model_name,
        inputs={
            tensor.name: np.frombuffer(raw, _TYPES[tensor.datatype]).reshape(tensor.shape)
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        },
    )


def _name_of(data_type: int) -> str:
    return {2: "UINT8", 11: "FP32"}[data_type]


class Samples:
    """Requests with their answers, for each of a server's models that take a picture or a crop.

    models      by name those that are asked; of a step of another model nothing is asked
    variants    how many different requests each model has
    size        side in pixels of the pictures
    photos      encoded pictures in place of made ones, for models that look for faces
    """

    def __init__(
        self,
        address: str,
        models: Iterable[str],
        *,
        variants: int = 4,
        size: int = 64,
        photos: Sequence[bytes] = (),
        tolerance: float = TOLERANCE,
    ) -> None:
        self.tolerance = tolerance
        self.by_model: dict[str, list[Sample]] = {}
        with grpc.insecure_channel(address, options=CHANNEL) as channel:
            stub = v2_grpc.GRPCInferenceServiceStub(channel)
            configs = {
                name: stub.ModelConfig(v2.ModelConfigRequest(name=name), timeout=TIMEOUT).config
                for name in models
            }
            steps = {step.model_name for config in configs.values() for step in _steps(config)}
            self.ensembles = tuple(name for name, config in configs.items() if _steps(config))
            self.configs: Mapping[str, Any] = configs
            for name in (name for name in configs if name not in steps):
                made = [
                    request_for(
                        configs[name],
                        encoded=photos[seed % len(photos)] if photos else jpeg(picture(seed, size=size)),
                        pixels=picture(seed, size=size),
                    )
                    for seed in range(variants)
                ]
                sent = [request for request in made if request is not None]
                if sent:
                    self.by_model[name] = [
                        Sample(request=request, expected=stub.ModelInfer(request, timeout=TIMEOUT))
                        for request in sent
                    ]

    def of(self, model: str, variant: int) -> Sample:
        """A sample of a model; variants repeat."""
        samples = self.by_model[model]
        return samples[variant % len(samples)]

    def messages(self, model: str) -> list[bytes]:
        """The requests of a model's samples as they are sent."""
        return [sample.request.SerializeToString() for sample in self.by_model[model]]


def _steps(config: Any) -> Sequence[Any]:
    return tuple(config.ensemble_scheduling.step) if config.HasField("ensemble_scheduling") else ()

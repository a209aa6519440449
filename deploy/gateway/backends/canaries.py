"""Canaries: small requests that show whether a model answers, where no real request has shown it lately."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping

import grpc
from tritonclient.grpc import service_pb2 as v2

from deploy.embedded.readiness import canary_inputs, flaw_of
from deploy.gateway.backends.backend import Backend
from deploy.gateway.front.served_models import ServedModels

# At most this share of the time goes into canaries: on a slow machine a turn takes longer than it is set to.
_SHARE = 1 / 40
_BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
_BUSY_WORDS = ("exceeds maximum queue size", "request timeout expired")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Canary:
    """A request that every instance of the model must be able to answer."""

    model: str
    request: v2.ModelInferRequest
    batched: bool
    steps: frozenset[str]  # the models that its answer shows to answer: itself, and its steps as an ensemble


def canaries_of(served: ServedModels) -> dict[str, Canary]:
    """A canary for each model whose inputs are a picture, or a picture and floats that may be unknown."""
    found = {}
    for model, serialised in served.metadata.items():
        config = v2.ModelConfigResponse.FromString(served.configs[model]).config
        batched = config.max_batch_size > 0
        declared = {
            each.name: (each.datatype, tuple(each.shape))
            for each in v2.ModelMetadataResponse.FromString(serialised).inputs
        }
        values = canary_inputs(declared, batched=batched)
        if values is None:
            continue
        request = v2.ModelInferRequest(model_name=model, id="canary")
        for name, value in values.items():
            request.inputs.add(name=name, datatype=declared[name][0], shape=value.shape)
            request.raw_input_contents.append(value.tobytes())
        steps = frozenset(step.model_name for step in config.ensemble_scheduling.step)
        found[model] = Canary(model=model, request=request, batched=batched, steps=steps | {model})
    return found


async def ask(backend: Backend, canary: Canary, *, timeout: float) -> str:
    """Sends one canary; "" for a good answer, else what came in its place.

    The call carries no deadline and is not cancelled, which could end Triton: one that takes too long is
    left to itself.
    """
    call = asyncio.ensure_future(backend.stub.ModelInfer(canary.request))
    call.add_done_callback(_collect)
    done, _ = await asyncio.wait({call}, timeout=timeout)
    if not done:
        return f"{canary.model} has not answered for {timeout:g} s"
    error = call.exception()
    if isinstance(error, grpc.aio.AioRpcError):
        details = error.details() or ""
        if error.code() in _BUSY and any(word in details.lower() for word in _BUSY_WORDS):
            return ""  # it has more to do than it takes, which is a sign of life
        return f"{canary.model} answers with {error.code().name}: {details}"
    if error is not None:
        return f"{canary.model} can't be reached: {error}"
    flaw = flaw_of(call.result(), batched=canary.batched)
    return f"{canary.model} {flaw}" if flaw else ""


def _collect(call: "asyncio.Future[object]") -> None:
    if not call.cancelled():
        call.exception()


class CanaryRound:
    """When each model of a Triton was last shown to answer, and which one is to be asked next."""

    def __init__(
        self, canaries: Mapping[str, Canary], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.canaries = dict(canaries)
        self._seconds = seconds
        self._clock = clock
        self._shown = dict.fromkeys(self.canaries, clock())
        self._pause_until = 0.0

    def answered(self, model: str) -> None:
        """A request to `model` was answered, a canary or a real one."""
        canary = self.canaries.get(model)
        now = self._clock()
        for step in canary.steps if canary is not None else ():
            if step in self._shown:
                self._shown[step] = now

    def due(self) -> Canary | None:
        """The model that was shown to answer the longest ago, if it is its turn."""
        now = self._clock()
        if not self._shown or now < self._pause_until:
            return None
        model = min(self._shown, key=self._shown.__getitem__)
        return self.canaries[model] if now - self._shown[model] >= self._seconds else None

    def took(self, seconds: float) -> None:
        """A canary took this long: the next one has to wait."""
        self._pause_until = self._clock() + seconds / _SHARE


async def pass_all(backend: Backend, canaries: Iterable[Canary], *, timeout: float) -> str:
    """Asks one model after another; "" when each has answered, else what was wrong with the first."""
    for canary in canaries:
        if wrong := await ask(backend, canary, timeout=timeout):
            return wrong
    return ""

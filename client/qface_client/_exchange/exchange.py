"""What is sent to the server and in which order, without sending it.

Each method of `Exchange` is a generator: it yields what to do (`ReadModel`, `Infer`, `Pause` of `steps`),
gets the outcome sent back (or the QFaceError thrown in), and returns the result. The blocking client and
the asyncio one run the same generators over their own connection. What goes to the server goes through
`retries`.
"""

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._photos import Encoded, box_tensor, landmarks_tensor, task_names
from ..contract import Contract, ModelInfo, TaskSpec
from ..errors import ContractError, InvalidInput, NotServed
from ..kinds.base import Tensors
from ..provenance import Provenance
from ..reading import (
    CONTRACT_OUTPUT,
    ENGINE_MODEL,
    FACE_OUTPUTS,
    PHOTO_MODEL,
    QUALITY_OUTPUT,
    SEARCH_OUTPUTS,
    answered_hash,
    as_box,
    read_photo,
    read_tasks,
)
from ..results import Analysis, Face
from .budget import RetryBudget
from .deadline import Deadline, Timeout, check_seconds
from .priority import check_priority
from .readiness import read_once, wait_until_read
from .retries import Retries
from .server_models import ATTEMPTS, ServerModels
from .steps import Infer, Pause, Reply, Steps

T = TypeVar("T")


# Between two attempts at a request while the server's contract changes under it.
PAUSE_SECONDS = 0.05

# What Triton and the gateway write about an output that a model does not have.
_UNKNOWN_OUTPUT = "inference output"


def require_contract(contract: Contract | None) -> Contract:
    """The contract, or ContractError where the model has none."""
    if contract is None:
        raise ContractError("the server does not say which tasks it answers: is it a Q-Face repository?")
    return contract


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Answered:
    """A reply, the tasks that it answers, and the contract by which it is read."""

    reply: Reply
    tasks: tuple[TaskSpec, ...]
    contract: Contract

    @property
    def tensors(self) -> Tensors:
        return self.reply.tensors

    @property
    def provenance(self) -> Provenance:
        return _provenance(self.reply, contract=self.contract)


def _provenance(reply: Reply, *, contract: Contract | None) -> Provenance:
    return Provenance(
        model=reply.model,
        version=reply.version,
        contract="" if contract is None else contract.hash,
        timings=reply.timings,
    )


class Exchange:
    """The client's side of the conversation, and what it remembers of the server."""

    def __init__(
        self,
        *,
        timeout: Timeout,
        expect_contract: str | None,
        retries: bool,
        retry_budget: RetryBudget | None = None,
        hint: str = "",
        server: str = "",
    ) -> None:
        self._seconds = timeout.request
        self._models = ServerModels(
            retries=Retries(
                enabled=retries, connect=timeout.connect, hint=hint, budget=retry_budget, server=server
            ),
            expect_contract=expect_contract,
        )

    def within(self, timeout: float | None) -> "Exchange":
        """The same, for one call of so many seconds (None: the client's); ValueError for what is none."""
        if timeout is None:
            return self
        bounded = copy.copy(self)
        bounded._seconds = check_seconds(timeout, name="timeout")
        return bounded

    def is_ready(self) -> Steps[bool]:
        """Whether the model that answers photos can be read, by one try."""
        return (yield from read_once(self._models, PHOTO_MODEL, self._deadline()))

    def wait_until_ready(self) -> Steps[None]:
        """Read that model as soon as it can be read; the last try's error where the time is over."""
        yield from wait_until_read(self._models, PHOTO_MODEL, self._deadline())

    def _deadline(self) -> Deadline:
        """Of a call that begins now."""
        return Deadline.after(self._seconds)

    def info(self, *, network: str | None) -> Steps[ModelInfo]:
        """The model that answers photos, as it is now."""
        deadline = self._deadline()
        return (
            yield from self._models.with_network(
                network, deadline, lambda prefix: self._models.read(f"{prefix}{PHOTO_MODEL}", deadline)
            )
        )

    def precision(self, *, network: str | None) -> Steps[str]:
        """In which precision a network's engine multiplies; "" where the server does not state it."""
        deadline = self._deadline()

        def read(prefix: str) -> Steps[str]:
            return (yield from self._models.read_model(f"{prefix}{ENGINE_MODEL}", deadline)).precision

        try:
            return (yield from self._models.with_network(network, deadline, read))
        except NotServed:
            return ""

    def networks(self) -> Steps[tuple[str, ...]]:
        """The names of the networks that the server has now."""
        yield from self._models.read_networks(self._deadline())
        return tuple(self._models.networks)

    def prepare(
        self,
        *,
        tasks: Iterable[str] | None,
        network: str | None,
        search: Mapping[str, int | float],
    ) -> Steps[None]:
        """Read what `photo` needs, unless it is remembered: its errors are those of every photo."""
        deadline, names = self._deadline(), task_names(tasks)

        def read(prefix: str) -> Steps[None]:
            model = f"{prefix}{PHOTO_MODEL}"
            yield from self._models.model_for(model, search, SEARCH_OUTPUTS, deadline)
            yield from self._models.known_tasks(model, names, deadline)

        yield from self._models.with_network(network, deadline, read)

    def photo(
        self,
        photo: Encoded,
        *,
        tasks: Iterable[str] | None,
        network: str | None,
        search: Mapping[str, int | float],
        priority: int | None,
    ) -> Steps[Analysis]:
        """All faces of a photo that a search wants (request parameters), with the selected tasks."""
        deadline, names = self._deadline(), task_names(tasks)
        priority = check_priority(priority)

        def request(prefix: str) -> "Steps[Analysis]":
            answered = yield from self._request(
                f"{prefix}{PHOTO_MODEL}",
                {"image": photo.data},
                tasks=names,
                extra=FACE_OUTPUTS,
                optional=SEARCH_OUTPUTS,
                parameters=search,
                priority=priority,
                deadline=deadline,
            )
            return read_photo(
                answered.tensors,
                tasks=answered.tasks,
                contract=answered.contract,
                provenance=answered.provenance,
            )

        return (yield from self._models.with_network(network, deadline, request))

    def detect(
        self, photo: Encoded, *, search: Mapping[str, int | float], priority: int | None
    ) -> Steps[Analysis]:
        """All faces of a photo that a search wants, without answers about them."""
        priority = check_priority(priority)
        deadline, model = self._deadline(), "face_detect"
        for attempt in range(ATTEMPTS):
            info = yield from self._models.model_for(model, search, SEARCH_OUTPUTS, deadline)
            infer = Infer(
                model=model,
                inputs={"image": photo.data},
                outputs=(*FACE_OUTPUTS, *(name for name in SEARCH_OUTPUTS if name in info.outputs)),
                timeout=self._models.left(deadline),
                parameters=search,
                priority=priority,
            )
            try:
                reply: Reply = yield from self._models.retries.send(infer, call_seconds=deadline.seconds)
                return read_photo(
                    reply.tensors, tasks=(), contract=None, provenance=_provenance(reply, contract=None)
                )
            except InvalidInput as error:
                if _UNKNOWN_OUTPUT not in str(error) or attempt == ATTEMPTS - 1:
                    raise
                yield from self._models.read(model, deadline)
        raise AssertionError("the last attempt returns or raises")

    def face(
        self,
        photo: Encoded,
        *,
        box: Sequence[float] | None,
        landmarks: ArrayLike | None,
        tasks: Iterable[str] | None,
        network: str | None,
        priority: int | None,
    ) -> Steps[Face]:
        """One face of a picture, where the caller says that it is; neither box nor landmarks: all of it."""
        deadline = self._deadline()
        box_fp32, landmarks_fp32 = box_tensor(box), landmarks_tensor(landmarks)
        names, priority = task_names(tasks), check_priority(priority)

        def request(prefix: str) -> "Steps[_Answered]":
            model = f"{prefix}face_analysis"
            if names is not None and len(set(names)) == 1:
                # Its own ensemble runs no head but this one. That the task exists is the contract's to say.
                yield from self._models.known_tasks(model, names, deadline)
                model = f"{prefix}{names[0]}"
            return (
                yield from self._request(
                    model,
                    {"image": photo.data[None], "box": box_fp32[None], "landmarks": landmarks_fp32[None]},
                    tasks=names,
                    extra=(),
                    priority=priority,
                    deadline=deadline,
                )
            )

        answered = yield from self._models.with_network(network, deadline, request)
        width, height = (0, 0) if box is not None else photo.size()
        return Face(
            box=as_box(box_fp32 if box is not None else (0, 0, width, height)),
            score=1.0,
            landmarks5=None if landmarks is None else landmarks_fp32,
            answers=read_tasks(answered.tensors, tasks=answered.tasks, count=1)[0],
            contract=answered.contract,
            provenance=answered.provenance,
        )

    def crops(
        self,
        pixels: NDArray[np.uint8],
        *,
        tasks: Iterable[str] | None,
        network: str | None,
        priority: int | None,
    ) -> Steps[list[Face]]:
        """Aligned crops [N, H, W, 3]: one request, or as few as the server's largest batch allows."""
        if len(pixels) == 0:
            return []
        deadline = self._deadline()
        names, priority = task_names(tasks), check_priority(priority)

        def request(prefix: str) -> "Steps[list[Face]]":
            model = f"{prefix}crop_analysis"
            info = self._models.current.get(model) or (yield from self._models.read(model, deadline))
            size = max(1, info.max_batch_size)
            faces: list[Face] = []
            for start in range(0, len(pixels), size):
                chunk = self._chunk(
                    model,
                    pixels[start : start + size],
                    names=names,
                    priority=priority,
                    deadline=deadline,
                )
                faces.extend((yield from chunk))
            return faces

        return (yield from self._models.with_network(network, deadline, request))

    def _chunk(
        self,
        model: str,
        chunk: NDArray[np.uint8],
        *,
        names: tuple[str, ...] | None,
        priority: int | None,
        deadline: Deadline,
    ) -> Steps[list[Face]]:
        answered = yield from self._request(
            model, {"crop": chunk}, tasks=names, extra=(), priority=priority, deadline=deadline
        )
        provenance = answered.provenance
        height, width = chunk.shape[1:3]
        box = as_box((0, 0, width, height))
        return [
            Face(
                box=box,
                score=1.0,
                landmarks5=None,
                answers=answers,
                contract=answered.contract,
                provenance=provenance,
            )
            for answers in read_tasks(answered.tensors, tasks=answered.tasks, count=len(chunk))
        ]

    def _request(
        self,
        model: str,
        inputs: Mapping[str, NDArray[Any]],
        *,
        tasks: tuple[str, ...] | None,
        extra: tuple[str, ...],
        priority: int | None,
        deadline: Deadline,
        optional: tuple[str, ...] = (),
        parameters: Mapping[str, int | float] = MappingProxyType({}),
    ) -> Steps[_Answered]:
        """Send one request until the answer and the contract by which it is read are of one hash.

        It is for the tasks' outputs, the `extra` ones, and those `optional` ones that the model has.

        A hot swap can come between reading the contract and the request, and between the request and
        reading it again: both are put right by another request, a bounded number of times.
        """
        for attempt in range(ATTEMPTS):
            if attempt:
                yield Pause(seconds=min(PAUSE_SECONDS * attempt, self._models.left(deadline)))
            yield from self._models.model_for(model, parameters, optional, deadline)
            info, selected = yield from self._models.known_tasks(model, tasks, deadline)
            answered = (name for name in (*optional, QUALITY_OUTPUT) if name in info.outputs)
            of_tasks = (output for task in selected for output in task.outputs)
            outputs = (*of_tasks, *extra, *answered, CONTRACT_OUTPUT)
            infer = Infer(
                model=model,
                inputs=inputs,
                outputs=outputs,
                timeout=self._models.left(deadline),
                parameters=parameters,
                priority=priority,
            )
            try:
                reply: Reply = yield from self._models.retries.send(infer, call_seconds=deadline.seconds)
            except InvalidInput as error:
                # An output that the cached contract has and the server has no more is our mistake, not
                # the caller's: mend it by reading the contract again.
                if _UNKNOWN_OUTPUT not in str(error):
                    raise
                yield from self._models.read(model, deadline)
                continue
            answered_by = answered_hash(reply.tensors)
            self._models.check_pin(answered_by)
            if answered_by not in self._models.contracts:
                yield from self._models.read(model, deadline)
            contract = self._models.contracts.get(answered_by)
            if contract is None:
                continue
            if contract is info.contract and contract is self._models.current[model].contract:
                return _Answered(reply=reply, tasks=selected, contract=contract)  # as nearly always
            answered_of = dataclasses.replace(self._models.current[model], contract=contract)
            self._models.remember(answered_of, model=model)
            selected = contract.select(tasks)
            if all(output in outputs for task in selected for output in task.outputs):
                return _Answered(reply=reply, tasks=selected, contract=contract)
        raise ContractError(
            f"the contract of {model!r} changed at each of {ATTEMPTS} attempts, or its models disagree: "
            f"try again when the server has settled",
            retryable=True,
        )

"""What is sent to the server and in which order, without sending it.

Each method of `Exchange` is a generator: it yields what to do (`ReadModel`, `Infer`, `Pause` of `_steps`),
gets the outcome sent back (or the QFaceError thrown in), and returns the result. The blocking client and
the asyncio one run the same generators over their own connection. What goes to the server goes through
`_retries`.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._photo import Crops, Encoded, box_tensor, landmarks_tensor, stack_crops, task_names
from ._retries import Retries, Timeout
from ._steps import Infer, Pause, ReadModel, Reply, Steps
from .contract import Contract, ModelInfo, TaskSpec
from .errors import (
    ContractError,
    ContractMismatch,
    InvalidInput,
    NotServed,
    RequestTimeout,
    UnknownModel,
    UnknownTask,
)
from .kinds.base import Tensors
from .reading import (
    CONTRACT_OUTPUT,
    ENGINE_MODEL,
    FACE_OUTPUTS,
    PHOTO_MODEL,
    SEARCH_OUTPUTS,
    answered_hash,
    as_box,
    read_photo,
    read_tasks,
)
from .results import Analysis, Face

T = TypeVar("T")

DEFAULT_URL = "localhost:8001"

# How often one request is sent while the server's contract changes under it, and the wait in between.
ATTEMPTS = 4
PAUSE_SECONDS = 0.05
# Until a model that lacks outputs which newer ones have is looked at again.
LOOK_SECONDS = 30.0

# What Triton and the gateway write about an output that a model does not have.
_UNKNOWN_OUTPUT = "inference output"


def require_contract(contract: Contract | None) -> Contract:
    """The contract, or ContractError where the model has none."""
    if contract is None:
        raise ContractError("the server does not say which tasks it answers: is it a Q-Face repository?")
    return contract


class Exchange:
    """The client's side of the conversation, and what it remembers of the server."""

    def __init__(
        self, *, timeout: Timeout, expect_contract: str | None, retries: bool, hint: str = ""
    ) -> None:
        self._timeout = timeout
        self._retries = Retries(enabled=retries, connect=timeout.connect, hint=hint)
        self._expect = expect_contract
        self._current: dict[str, ModelInfo] = {}
        self._read_at: dict[str, float] = {}  # by model, time.monotonic()
        self._contracts: dict[str, Contract] = {}  # by hash: replicas may differ while a change rolls out
        self._networks: Mapping[str, str] = {}  # what the models' names of each network begin with
        self._changes = 0  # how often a model was found to answer by another contract than before

    def info(self, *, network: str | None) -> Steps[ModelInfo]:
        """The model that answers photos, as it is now."""
        deadline = self._deadline()
        return (
            yield from self._with_network(
                network, deadline, lambda prefix: self._read(f"{prefix}{PHOTO_MODEL}", deadline)
            )
        )

    def precision(self, *, network: str | None) -> Steps[str]:
        """In which precision a network's engine multiplies; "" where the server does not state it."""
        deadline = self._deadline()

        def read(prefix: str) -> Steps[str]:
            return (yield from self._read_model(f"{prefix}{ENGINE_MODEL}", deadline)).precision

        try:
            return (yield from self._with_network(network, deadline, read))
        except NotServed:
            return ""

    def networks(self) -> Steps[tuple[str, ...]]:
        """The names of the networks that the server has now."""
        yield from self._read_networks(self._deadline())
        return tuple(self._networks)

    def photo(
        self,
        photo: Encoded,
        *,
        tasks: Iterable[str] | None,
        network: str | None,
        search: Mapping[str, int | float],
    ) -> Steps[Analysis]:
        """All faces of a photo that a search wants (request parameters), with the selected tasks."""
        deadline, names = self._deadline(), task_names(tasks)

        def request(prefix: str) -> "Steps[Analysis]":
            tensors, selected, contract = yield from self._request(
                f"{prefix}{PHOTO_MODEL}",
                {"image": photo.data},
                tasks=names,
                extra=FACE_OUTPUTS,
                optional=SEARCH_OUTPUTS,
                parameters=search,
                deadline=deadline,
            )
            return read_photo(tensors, tasks=selected, contract=contract)

        return (yield from self._with_network(network, deadline, request))

    def detect(self, photo: Encoded, *, search: Mapping[str, int | float]) -> Steps[Analysis]:
        """All faces of a photo that a search wants, without answers about them."""
        deadline, model = self._deadline(), "face_detect"
        for attempt in range(ATTEMPTS):
            info = yield from self._model_for(model, search, SEARCH_OUTPUTS, deadline)
            infer = Infer(
                model=model,
                inputs={"image": photo.data},
                outputs=(*FACE_OUTPUTS, *(name for name in SEARCH_OUTPUTS if name in info.outputs)),
                timeout=self._left(deadline),
                parameters=search,
            )
            try:
                reply: Reply = yield from self._retries.send(infer)
                return read_photo(reply.tensors, tasks=(), contract=None)
            except InvalidInput as error:
                if _UNKNOWN_OUTPUT not in str(error) or attempt == ATTEMPTS - 1:
                    raise
                yield from self._read(model, deadline)
        raise AssertionError("the last attempt returns or raises")

    def face(
        self,
        photo: Encoded,
        *,
        box: Sequence[float] | None,
        landmarks: ArrayLike | None,
        tasks: Iterable[str] | None,
        network: str | None,
    ) -> Steps[Face]:
        """One face of a picture, where the caller says that it is; neither box nor landmarks: all of it."""
        deadline = self._deadline()
        box_fp32, landmarks_fp32 = box_tensor(box), landmarks_tensor(landmarks)
        names = task_names(tasks)

        def request(prefix: str) -> "Steps[tuple[Tensors, tuple[TaskSpec, ...], Contract]]":
            model = f"{prefix}face_analysis"
            if names is not None and len(set(names)) == 1:
                # Its own ensemble runs no head but this one. That the task exists is the contract's to say.
                yield from self._known_tasks(model, names, deadline)
                model = f"{prefix}{names[0]}"
            return (
                yield from self._request(
                    model,
                    {"image": photo.data[None], "box": box_fp32[None], "landmarks": landmarks_fp32[None]},
                    tasks=names,
                    extra=(),
                    deadline=deadline,
                )
            )

        tensors, selected, contract = yield from self._with_network(network, deadline, request)
        width, height = (0, 0) if box is not None else photo.size()
        return Face(
            box=as_box(box_fp32 if box is not None else (0, 0, width, height)),
            score=1.0,
            landmarks5=None if landmarks is None else landmarks_fp32,
            answers=read_tasks(tensors, tasks=selected, count=1)[0],
            contract=contract,
        )

    def crops(self, crops: Crops, *, tasks: Iterable[str] | None, network: str | None) -> Steps[list[Face]]:
        """Aligned crops of one size: one request, or as few as the server's largest batch allows."""
        if len(crops) == 0:
            return []
        deadline = self._deadline()
        names = task_names(tasks)
        pixels = stack_crops(crops)

        def request(prefix: str) -> "Steps[list[Face]]":
            model = f"{prefix}crop_analysis"
            info = self._current.get(model) or (yield from self._read(model, deadline))
            size = max(1, info.max_batch_size)
            faces: list[Face] = []
            for start in range(0, len(pixels), size):
                chunk = pixels[start : start + size]
                faces.extend((yield from self._chunk(model, chunk, names=names, deadline=deadline)))
            return faces

        return (yield from self._with_network(network, deadline, request))

    def _chunk(
        self, model: str, chunk: NDArray[np.uint8], *, names: tuple[str, ...] | None, deadline: float
    ) -> Steps[list[Face]]:
        tensors, selected, contract = yield from self._request(
            model, {"crop": chunk}, tasks=names, extra=(), deadline=deadline
        )
        height, width = chunk.shape[1:3]
        box = as_box((0, 0, width, height))
        return [
            Face(box=box, score=1.0, landmarks5=None, answers=answers, contract=contract)
            for answers in read_tasks(tensors, tasks=selected, count=len(chunk))
        ]

    def _with_network(
        self, network: str | None, deadline: float, request: Callable[[str], Steps[T]]
    ) -> Steps[T]:
        """What `request` gives for the prefix of the names of a network's models (None: the first network).

        Where those models are gone or answer by another contract than before, what networks there are is
        read once more: a hot swap may have given their names to another network.
        """
        if network is None:
            return (yield from request(""))
        if network not in self._networks:
            yield from self._read_networks(deadline)
        for _ in range(ATTEMPTS):
            prefix, changes = self._prefix(network), self._changes
            failed: NotServed | UnknownTask | None = None
            try:
                answer = yield from request(prefix)
            except (NotServed, UnknownTask) as error:
                failed = error
            if failed is None and self._changes == changes:
                return answer
            yield from self._read_networks(deadline)
            if self._prefix(network) == prefix:
                if failed is not None:
                    raise failed
                return answer
        raise ContractError(
            f"the models of {network!r} changed their names at each of {ATTEMPTS} attempts: try again when "
            "the server has settled"
        )

    def _prefix(self, network: str) -> str:
        if network not in self._networks:
            raise UnknownModel(network, available=tuple(self._networks))
        return self._networks[network]

    def _read_networks(self, deadline: float) -> Steps[None]:
        info = yield from self._read_model(PHOTO_MODEL, deadline)
        self._networks = info.networks

    def _request(
        self,
        model: str,
        inputs: Mapping[str, NDArray[Any]],
        *,
        tasks: tuple[str, ...] | None,
        extra: tuple[str, ...],
        deadline: float,
        optional: tuple[str, ...] = (),
        parameters: Mapping[str, int | float] = MappingProxyType({}),
    ) -> Steps[tuple[Tensors, tuple[TaskSpec, ...], Contract]]:
        """Send one request until the answer and the contract by which it is read are of one hash.

        It is for the tasks' outputs, the `extra` ones, and those `optional` ones that the model has.

        A hot swap can come between reading the contract and the request, and between the request and
        reading it again: both are put right by another request, a bounded number of times.
        """
        for attempt in range(ATTEMPTS):
            if attempt:
                yield Pause(seconds=min(PAUSE_SECONDS * attempt, self._left(deadline)))
            yield from self._model_for(model, parameters, optional, deadline)
            info, selected = yield from self._known_tasks(model, tasks, deadline)
            answered = (name for name in optional if name in info.outputs)
            of_tasks = (output for task in selected for output in task.outputs)
            outputs = (*of_tasks, *extra, *answered, CONTRACT_OUTPUT)
            infer = Infer(
                model=model,
                inputs=inputs,
                outputs=outputs,
                timeout=self._left(deadline),
                parameters=parameters,
            )
            try:
                reply: Reply = yield from self._retries.send(infer)
                tensors = reply.tensors
            except InvalidInput as error:
                # An output that the cached contract has and the server has no more is our mistake, not
                # the caller's: mend it by reading the contract again.
                if _UNKNOWN_OUTPUT not in str(error):
                    raise
                yield from self._read(model, deadline)
                continue
            answered_by = answered_hash(tensors)
            self._check_pin(answered_by)
            if answered_by not in self._contracts:
                yield from self._read(model, deadline)
            contract = self._contracts.get(answered_by)
            if contract is None:
                continue
            if contract is info.contract and contract is self._current[model].contract:
                return tensors, selected, contract  # as nearly always
            self._remember(dataclasses.replace(self._current[model], contract=contract), model=model)
            selected = contract.select(tasks)
            if all(output in outputs for task in selected for output in task.outputs):
                return tensors, selected, contract
        raise ContractError(
            f"the contract of {model!r} changed at each of {ATTEMPTS} attempts, or its models disagree: "
            f"try again when the server has settled"
        )

    def _model_for(
        self,
        model: str,
        parameters: Mapping[str, int | float],
        outputs: tuple[str, ...],
        deadline: float,
    ) -> Steps[ModelInfo]:
        """The model, which takes these request parameters; InvalidInput where it does not take one.

        A server from before they were taken would else answer as without them. One that lacks some of the
        outputs is looked at again from time to time: nothing in its answers shows that a swap brought them.
        """
        info = self._current.get(model)
        if (
            info is None
            or not set(parameters) <= set(info.parameters)
            or (not set(outputs) <= info.outputs and time.monotonic() >= self._read_at[model] + LOOK_SECONDS)
        ):
            info = yield from self._read(model, deadline)
        for name in parameters:
            if name not in info.parameters:
                takes = f"it takes {', '.join(info.parameters)}" if info.parameters else "update the server"
                raise InvalidInput(f"model {model!r} of this server does not take {name}: {takes}")
        return info

    def _known_tasks(
        self, model: str, tasks: tuple[str, ...] | None, deadline: float
    ) -> Steps[tuple[ModelInfo, tuple[TaskSpec, ...]]]:
        """The selected tasks by what is remembered; read anew before a task is called unknown."""
        info = self._current.get(model)
        if info is not None and info.contract is not None:
            try:
                return info, info.contract.select(tasks)
            except UnknownTask:
                pass
        info = yield from self._read(model, deadline)
        if info.contract is None:
            raise ContractError(
                f"model {model!r} does not say which tasks it answers: is it a Q-Face repository?"
            )
        return info, info.contract.select(tasks)

    def _read(self, model: str, deadline: float) -> Steps[ModelInfo]:
        """A model as it is now, remembered with its contract."""
        info = yield from self._read_model(model, deadline)
        self._read_at[model] = time.monotonic()
        if info.contract is not None:
            self._check_pin(info.contract.hash)
            self._contracts[info.contract.hash] = info.contract
        self._remember(info, model=model)
        return info

    def _remember(self, info: ModelInfo, *, model: str) -> None:
        before = self._current.get(model)
        if before is not None and before.contract != info.contract:
            self._changes += 1
        self._current[model] = info

    def _read_model(self, model: str, deadline: float) -> Steps[ModelInfo]:
        info: ModelInfo = yield from self._retries.send(ReadModel(model=model, timeout=self._left(deadline)))
        return info

    def _check_pin(self, found: str) -> None:
        if self._expect is not None and found != self._expect:
            raise ContractMismatch(expected=self._expect, found=found)

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout.request

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise RequestTimeout(
                f"no whole answer within {self._timeout.request:g} s: give it a longer timeout"
            )
        return left

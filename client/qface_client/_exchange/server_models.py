"""What the client remembers of a server: its models, their contracts and its networks."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from .._telemetry import LOG, one_line
from ..contract import Contract, ModelInfo, TaskSpec
from ..errors import (
    ContractError,
    ContractMismatch,
    InvalidInput,
    NotServed,
    RequestTimeout,
    UnknownModel,
    UnknownTask,
)
from ..reading import PHOTO_MODEL
from .deadline import Deadline
from .retries import Retries
from .steps import ReadModel, Steps

T = TypeVar("T")

# How often one request is sent while the server's contract changes under it.
ATTEMPTS = 4
# Until a model that lacks outputs which newer ones have is looked at again.
LOOK_SECONDS = 30.0


class ServerModels:
    """The models of a server as last read, by name."""

    def __init__(self, *, retries: Retries, expect_contract: str | None) -> None:
        self.retries = retries
        self._expect = expect_contract
        self.current: dict[str, ModelInfo] = {}
        self._read_at: dict[str, float] = {}  # by model, time.monotonic()
        self.contracts: dict[str, Contract] = {}  # by hash: replicas may differ while a change rolls out
        self.networks: Mapping[str, str] = {}  # what the models' names of each network begin with
        self._changes = 0  # how often a model was found to answer by another contract than before

    def left(self, deadline: Deadline) -> float:
        """Seconds until then; RequestTimeout where there are none."""
        left = deadline.left()
        if left <= 0:
            late = RequestTimeout(f"no whole answer within {deadline.seconds:g} s: give it a longer timeout")
            raise self.retries.explained(late, since=deadline.began)
        return left

    def with_network(
        self, network: str | None, deadline: Deadline, request: Callable[[str], Steps[T]]
    ) -> Steps[T]:
        """What `request` gives for the prefix of the names of a network's models (None: the first network).

        Where those models are gone or answer by another contract than before, what networks there are is
        read once more: a hot swap may have given their names to another network.
        """
        if network is None:
            return (yield from request(""))
        if network not in self.networks:
            yield from self.read_networks(deadline)
        for _ in range(ATTEMPTS):
            prefix, changes = self._prefix(network), self._changes
            failed: NotServed | UnknownTask | None = None
            try:
                answer = yield from request(prefix)
            except (NotServed, UnknownTask) as error:
                failed = error
            if failed is None and self._changes == changes:
                return answer
            yield from self.read_networks(deadline)
            if self._prefix(network) == prefix:
                if failed is not None:
                    raise failed
                return answer
        raise ContractError(
            f"the models of {network!r} changed their names at each of {ATTEMPTS} attempts: try again when "
            "the server has settled",
            retryable=True,
        )

    def _prefix(self, network: str) -> str:
        if network not in self.networks:
            raise UnknownModel(network, available=tuple(self.networks))
        return self.networks[network]

    def read_networks(self, deadline: Deadline) -> Steps[None]:
        info = yield from self.read_model(PHOTO_MODEL, deadline)
        self.networks = info.networks

    def model_for(
        self,
        model: str,
        parameters: Mapping[str, int | float],
        outputs: tuple[str, ...],
        deadline: Deadline,
    ) -> Steps[ModelInfo]:
        """The model, which takes these request parameters; InvalidInput where it does not take one.

        A server from before they were taken would else answer as without them. One that lacks some of the
        outputs is looked at again from time to time: nothing in its answers shows that a swap brought them.
        """
        info = self.current.get(model)
        if (
            info is None
            or not set(parameters) <= set(info.parameters)
            or (not set(outputs) <= info.outputs and time.monotonic() >= self._read_at[model] + LOOK_SECONDS)
        ):
            info = yield from self.read(model, deadline)
        for name in parameters:
            if name not in info.parameters:
                takes = f"it takes {', '.join(info.parameters)}" if info.parameters else "update the server"
                raise InvalidInput(f"model {model!r} of this server does not take {name}: {takes}")
        return info

    def known_tasks(
        self, model: str, tasks: tuple[str, ...] | None, deadline: Deadline
    ) -> Steps[tuple[ModelInfo, tuple[TaskSpec, ...]]]:
        """The selected tasks by what is remembered; read anew before a task is called unknown."""
        info = self.current.get(model)
        if info is not None and info.contract is not None:
            try:
                return info, info.contract.select(tasks)
            except UnknownTask:
                pass
        info = yield from self.read(model, deadline)
        if info.contract is None:
            raise ContractError(
                f"model {model!r} does not say which tasks it answers: is it a Q-Face repository?"
            )
        return info, info.contract.select(tasks)

    def read(self, model: str, deadline: Deadline) -> Steps[ModelInfo]:
        """A model as it is now, remembered with its contract."""
        info = yield from self.read_model(model, deadline)
        self.keep(info, model=model)
        return info

    def keep(self, info: ModelInfo, *, model: str) -> None:
        """Remember a model that was read, and its contract; ContractMismatch where that is the wrong one."""
        self._read_at[model] = time.monotonic()
        if info.contract is not None:
            self.check_pin(info.contract.hash)
            self.contracts[info.contract.hash] = info.contract
        LOG.debug("%s: its contract %s was read", model, _hash(info))
        self.remember(info, model=model)

    def remember(self, info: ModelInfo, *, model: str) -> None:
        before = self.current.get(model)
        if before is not None and before.contract != info.contract:
            self._changes += 1
            LOG.info("%s: its contract is %s now, it was %s", model, _hash(info), _hash(before))
        self.current[model] = info

    def read_model(self, model: str, deadline: Deadline) -> Steps[ModelInfo]:
        step = ReadModel(model=model, timeout=self.left(deadline))
        info: ModelInfo = yield from self.retries.send(step, call_seconds=deadline.seconds)
        return info

    def check_pin(self, found: str) -> None:
        if self._expect is not None and found != self._expect:
            raise ContractMismatch(expected=self._expect, found=found)


def _hash(info: ModelInfo) -> str:
    return "none" if info.contract is None else one_line(info.contract.hash)

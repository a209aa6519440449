"""What the control socket does: status, swap, rollback and reload of the gateway in this process."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deploy.gateway.admission.admission import Admission
from deploy.gateway.backends.pool import BackendPool
from deploy.gateway.identity import Identities
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.operation.console import log
from deploy.gateway.operation.control import Method
from deploy.gateway.operation.state import ServingState


class ControlMethods:
    """The methods, by their names in a request.

    state       what is served at first
    on_state    called with what is served from then on, after each swap
    addresses   of this gateway, by "grpc" and "http"; set when it listens
    """

    def __init__(
        self,
        *,
        pool: BackendPool,
        admission: Admission,
        identities: Identities,
        access_log: AccessLog | None,
        state: ServingState,
        on_state: Callable[[ServingState], None],
        health: Callable[[], tuple[bool, str]],
        restarts: int,
    ) -> None:
        self._pool = pool
        self._admission = admission
        self._identities = identities
        self._access_log = access_log
        self._state = state
        self._on_state = on_state
        self._health = health
        self._restarts = restarts
        self._changing = asyncio.Lock()
        self.addresses: Mapping[str, str] = {}

    def by_name(self) -> Mapping[str, Method]:
        return {
            "status": self.status,
            "swap": self.swap,
            "rollback": self.rollback,
            "reload": self.reload,
        }

    async def status(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """All that an operator may want to see at one glance; bytes, seconds."""
        is_ready, reason = self._health()
        active = self._pool.active
        return {
            "ready": is_ready,
            "reason": reason,
            "addresses": dict(self.addresses),
            "repository": str(self._state.repository),
            "previous": None if self._state.previous is None else str(self._state.previous),
            "pid": os.getpid(),
            "restarts": self._restarts,
            "in_flight": self._admission.in_flight,
            "in_flight_limit": self._admission.limit,
            "waiting": self._admission.waiting,
            "oldest_wait": self._admission.oldest_wait,
            "generation": None if active is None else active.generation,
            "models": [] if active is None else sorted(active.served.configs),
            "triton": await self._pool.status(),
        }

    async def swap(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Serves request["repository"], a path, from now on; raises with a sentence if that can't be."""
        return await self._change(lambda: Path(request["repository"]).resolve())

    async def rollback(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Serves what was served before."""

        def previous() -> Path:
            if self._state.previous is None:
                raise ValueError("nothing was served before this: there is nothing to go back to")
            return self._state.previous

        return await self._change(previous)

    async def reload(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Reads keys again and opens log files anew; certificates are followed by themselves."""
        self.reload_now()
        return {"reloaded": True}

    def reload_now(self) -> None:
        self._identities.reload()
        if self._access_log is not None:
            self._access_log.reopen()
        self._pool.reopen_log()
        log("keys were read again and log files opened anew")

    async def _change(self, repository: Callable[[], Path]) -> Mapping[str, Any]:
        if self._changing.locked():
            raise ValueError("another swap is under way: wait for its end")
        async with self._changing:
            new = repository()
            await self._pool.swap(new)
            self._state = self._state.after_swap(new)
            self._on_state(self._state)
        active = self._pool.active
        return {
            "repository": str(self._state.repository),
            "previous": str(self._state.previous),
            "generation": None if active is None else active.generation,
            "models": [] if active is None else sorted(active.served.configs),
        }

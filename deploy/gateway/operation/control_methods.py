"""What the control socket does: status, swap, rollback and reload of the gateway in this process."""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from deploy.gateway.admission.admission import Admission
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.pool import BackendPool
from deploy.gateway.identity import Identities
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.operation.console import log
from deploy.gateway.operation.control import Method
from deploy.gateway.operation.state import ServingState
from deploy.gateway.operation.workers.front_processes import FrontProcesses


class ControlMethods:
    """The methods, by their names in a request.

    on_state    called with what is served from then on, after each swap
    addresses   of this gateway, by "grpc", "http" and "rest" ("" without); set when it listens
    """

    def __init__(
        self,
        *,
        pool: BackendPool,
        admission: Admission,
        identities: Identities,
        access_log: AccessLog | None,
        further_fronts: FrontProcesses,
        on_state: Callable[[ServingState], None],
        health: Callable[[], tuple[bool, str]],
        restarts: int,
    ) -> None:
        self._pool = pool
        self._admission = admission
        self._identities = identities
        self._access_log = access_log
        self._further_fronts = further_fronts
        self._on_state = on_state
        self._health = health
        self._restarts = restarts
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
            "repository": str(self._pool.repository),
            "previous": None if self._pool.previous is None else str(self._pool.previous),
            "pid": os.getpid(),
            "restarts": self._restarts,
            "further_fronts": self._further_fronts.status(),
            "in_flight": self._admission.in_flight,
            "in_flight_limit": self._admission.limit,
            "waiting": self._admission.waiting,
            "oldest_wait": self._admission.oldest_wait,
            "generation": None if active is None else active.generation,
            "models": [] if active is None else sorted(active.served.configs),
            "standby_ready": self._pool.standby_ready,
            "repairs": self._pool.repairs,
            "tritons": [await self._about(backend) for backend in self._pool.backends],
        }

    async def _about(self, backend: Backend) -> Mapping[str, Any]:
        return {
            "generation": backend.generation,
            "active": backend is self._pool.active,
            "sick": backend.sick,
            "repository": str(backend.repository),
            "address": backend.address,
            "pid": backend.pid,
            "pids": backend.pids,
            "memory": await backend.memory(),
            "in_flight": backend.in_flight,
        }

    async def swap(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Serves request["repository"], a path, from now on; raises with a sentence if that can't be."""
        return await self._change(self._pool.swap(Path(request["repository"])))

    async def rollback(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Serves what was served before."""
        return await self._change(self._pool.rollback())

    async def reload(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Reads keys again and opens log files anew; certificates are followed by themselves."""
        self.reload_now()
        return {"reloaded": True}

    def reload_now(self) -> None:
        self._identities.reload()
        self._further_fronts.reload()
        if self._access_log is not None:
            self._access_log.reopen()
        try:
            self._pool.log.reopen()
        except OSError as error:
            log(f"Triton's log goes on where it was: {error}")
        log("keys were read again and log files opened anew")

    async def _change(self, change: Awaitable[None]) -> Mapping[str, Any]:
        await change
        state = ServingState(repository=self._pool.repository, previous=self._pool.previous)
        self._on_state(state)
        active = self._pool.active
        return {
            "repository": str(state.repository),
            "previous": None if state.previous is None else str(state.previous),
            "generation": None if active is None else active.generation,
            "models": [] if active is None else sorted(active.served.configs),
        }

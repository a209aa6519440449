"""A BackendPool over fake Tritons, and what it reported, for tests of what the pool does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from deploy.gateway.backends.pool import BackendPool
from deploy.gateway.options import GatewayOptions, Repair
from tests.helpers.fake_tritons import FakeTritons


class Watched:
    """A pool over sleeping Tritons, and what it reported."""

    def __init__(self, pool: BackendPool, tritons: FakeTritons, events: list[tuple[str, str]]) -> None:
        self.pool = pool
        self.tritons = tritons
        self.events = events

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(2000):
            if holds():
                return
            await asyncio.sleep(0.005)
        pytest.fail(f"it never came to be; events: {self.events}")

    async def whole(self, generation: int) -> None:
        await self.until(lambda: self.pool.active is not None and self.pool.active.generation == generation)


def run(
    tritons: FakeTritons, folder: Path, test: Callable[[Watched], Coroutine[Any, Any, None]], **repair: Any
) -> None:
    """Runs `test` with a started pool over the repository `folder`/one; "two" and "broken" lie beside it."""
    for name in ("one", "two", "broken"):
        (folder / name).mkdir(exist_ok=True)

    async def main() -> None:
        async with started(tritons, folder, **repair) as watched:
            await test(watched)

    asyncio.run(asyncio.wait_for(main(), timeout=60))


@contextlib.asynccontextmanager
async def started(
    tritons: FakeTritons, folder: Path, *, grace_seconds: float = 0.2, **repair: Any
) -> AsyncIterator[Watched]:
    settings: dict[str, Any] = {"standby": "never", "probe_seconds": 0.01} | repair
    options = GatewayOptions(
        repository=folder / "one",
        log=folder / "triton.log",
        drain_seconds=5,
        grace_seconds=grace_seconds,
        repair=Repair(**settings),
    )
    events: list[tuple[str, str]] = []
    pool = BackendPool(
        options,
        on_change=lambda: None,
        on_event=lambda kind, sentence: events.append((kind, sentence)),
        start=tritons.start,
    )
    await pool.start()
    try:
        yield Watched(pool, tritons, events)
    finally:
        await pool.stop()
        for server in tritons.servers.values():
            assert server.killed

"""The look at the fronts goes on whatever goes wrong in one: else none that hangs is ever found again."""

import asyncio
from pathlib import Path

import pytest

from deploy.gateway.operation.workers import front_processes
from deploy.gateway.operation.workers.front_processes import FrontProcesses
from deploy.gateway.options import GatewayOptions
from tests.helpers.fake_authority import FakeAuthority


def test_a_mistake_in_one_look_ends_no_further_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_processes, "LOOK_SECONDS", 0.001)
    lines: list[str] = []
    looks = 0

    async def main() -> None:
        fronts = FrontProcesses(
            FakeAuthority(None, None),
            options=GatewayOptions(repository=tmp_path),
            count=0,
            log=lines.append,
            cut_off=lambda number: None,
        )
        third = asyncio.Event()

        def changed() -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                third.set()
            raise KeyError("a mistake")

        monkeypatch.setattr(fronts, "changed", changed)
        fronts.start(0)
        await asyncio.wait_for(third.wait(), timeout=30)
        await fronts.stop(0)

    asyncio.run(main())
    assert looks >= 3
    assert len(lines) == 1
    assert "the look at the fronts failed once" in lines[0]

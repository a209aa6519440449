"""Whether a gateway has everything again that it should have."""

import contextlib
import time
import urllib.request
from collections.abc import Callable, Collection
from typing import Protocol

from deploy.measuring.processes import model_processes, processes_below


class Gateway(Protocol):
    """What is needed of a GatewayServer."""

    @property
    def grpc_address(self) -> str: ...
    @property
    def http_address(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def triton_pid(self) -> int: ...


def is_ready(gateway: Gateway) -> bool:
    """What its page /v2/health/ready answers."""
    with contextlib.suppress(OSError):
        page = f"http://{gateway.http_address}/v2/health/ready"
        with urllib.request.urlopen(page, timeout=5) as answer:
            return bool(answer.status == 200)
    return False


def is_whole(gateway: Gateway, models: Collection[str], *, without: Collection[int] = ()) -> bool:
    """Whether it is ready, on a Triton that has a running process for each of these models.

    without     processes that may have no part in it any more
    """
    if not is_ready(gateway):
        return False
    with contextlib.suppress(Exception):  # a gateway that starts again has no pid to ask for
        triton = gateway.triton_pid
        if not triton:
            return False
        running = model_processes(triton)
        states = {pid: process.state for pid, process in processes_below(triton).items()}
        pids = {pid for found in running.values() for pid in found}
        return (
            not {triton, gateway.pid, *pids} & set(without)
            and running.keys() >= set(models)
            and not any(states[pid] == "T" for pid in pids)
        )
    return False


def seconds_until(holds: Callable[[], bool], *, timeout: float) -> float:
    """How long it takes until something holds; TimeoutError when it does not in time."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() > began + timeout:
            raise TimeoutError(f"not whole after {timeout:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - began

"""Clients that leave while their request is in flight: by a deadline, by cancelling, by dying."""

import asyncio
import contextlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

from deploy.benchmark.load import http2

_DYING = Path(__file__).with_name("dying_clients.py")
_PATIENCE = 180.0  # seconds that a process of clients may live
_TOGETHER = 8  # calls at once
_LONGEST = 1.2  # the latest that a call is given up, in usual times of an answer
_SHORTER = 0.99  # with each call that was answered before it was given up
_MOST_TRIES = 10  # for each that is to leave


def kill_clients(
    address: str,
    message: bytes,
    *,
    clients: int,
    each: int = 200,
    metadata: Sequence[tuple[str, str]] = (),
) -> int:
    """At least so many clients that are killed with their request in flight, `each` in a process; how many.

    ConnectionError where they can't connect.
    """
    killed = 0
    with tempfile.NamedTemporaryFile(suffix=".call") as file:
        file.write(http2.call(message, authority=address, metadata=metadata))
        file.flush()
        command = [sys.executable, "-I", "-S", str(_DYING), address, file.name, str(each)]
        for _ in range(10 * (1 + clients // each)):
            if killed >= clients:
                break
            process = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
            if process.returncode != -signal.SIGKILL:
                raise ConnectionError(f"clients could not send: {process.stderr.strip()[-400:]}")
            killed += int(process.stdout)
    return killed


def expire(address: str, messages: Sequence[bytes], *, times: int) -> Counter[str]:
    """At least so many calls whose deadline passes, if the server lives; how all calls ended, by status."""
    return asyncio.run(_leave_early(address, messages, times=times, cancel=False))


def cancel(address: str, messages: Sequence[bytes], *, times: int) -> Counter[str]:
    """The same with calls that their client cancels."""
    return asyncio.run(_leave_early(address, messages, times=times, cancel=True))


async def _leave_early(address: str, messages: Sequence[bytes], *, times: int, cancel: bool) -> Counter[str]:
    ends: Counter[str] = Counter()
    chance = random.Random(0)
    started = 0
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        infer = channel.unary_unary(http2.METHOD)  # bytes in, bytes out
        # So that most are on their way through the models when they are given up, on any machine.
        longest = _LONGEST * await _usual_seconds(infer, messages)

        async def client(number: int) -> None:
            nonlocal started, longest
            # What is answered in time did not leave: there is another one for it.
            while ends["DEADLINE_EXCEEDED"] + ends["CANCELLED"] < times and started < _MOST_TRIES * times:
                started += 1
                seconds = chance.uniform(0.2, 1.0) * longest
                call = infer(
                    messages[(number + started) % len(messages)], timeout=None if cancel else seconds
                )
                if cancel:
                    asyncio.get_running_loop().call_later(seconds, call.cancel)
                code = (await call.code()).name
                ends[code] += 1
                if code == "OK":  # the machine became faster
                    longest *= _SHORTER
                if code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE"):
                    await asyncio.sleep(0.02)

        await asyncio.gather(*(client(number) for number in range(_TOGETHER)))
    return ends


async def _usual_seconds(infer: Any, messages: Sequence[bytes]) -> float:
    """The median time of calls that nobody gives up, as many at once as below; what fails counts too."""
    seconds: list[float] = []

    async def client(number: int) -> None:
        for _ in range(3):
            began = time.monotonic()
            with contextlib.suppress(grpc.RpcError):
                await infer(messages[number % len(messages)], timeout=30.0)
            seconds.append(time.monotonic() - began)

    await asyncio.gather(*(client(number) for number in range(_TOGETHER)))
    return statistics.median(seconds)

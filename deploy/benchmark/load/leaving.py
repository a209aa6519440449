"""Clients that leave while their request is in flight: by a deadline, by cancelling, by dying."""

import asyncio
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grpc

from deploy.benchmark.load import http2

_DYING = Path(__file__).with_name("dying_clients.py")
_PATIENCE = 180.0  # seconds that a process of clients may live


def kill_clients(address: str, message: bytes, *, clients: int, each: int = 200) -> int:
    """At least so many clients that are killed with their request in flight, `each` in a process; how many.

    ConnectionError where they can't connect.
    """
    killed = 0
    with tempfile.NamedTemporaryFile(suffix=".call") as file:
        file.write(http2.call(message, authority=address))
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


async def _leave_early(
    address: str, messages: Sequence[bytes], *, times: int, together: int, longest: float, cancel: bool
) -> Counter[str]:
    ends: Counter[str] = Counter()
    chance = random.Random(0)
    started = 0

    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        infer = channel.unary_unary(http2.METHOD)  # bytes in, bytes out

        async def client(number: int) -> None:
            nonlocal started
            # What is answered in time did not leave: it is tried again.
            while ends["DEADLINE_EXCEEDED"] + ends["CANCELLED"] < times and started < 6 * times:
                started += 1
                message = messages[(number + started) % len(messages)]
                seconds = chance.uniform(0.002, longest)
                call = infer(message, timeout=None if cancel else seconds)
                if cancel:
                    asyncio.get_running_loop().call_later(seconds, call.cancel)
                ends[(await call.code()).name] += 1
                if call.done() and (await call.code()) in (
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    grpc.StatusCode.UNAVAILABLE,
                ):
                    await asyncio.sleep(0.02)

        await asyncio.gather(*(client(number) for number in range(together)))
    return ends


def expire(
    address: str, messages: Sequence[bytes], *, times: int, together: int = 24, longest: float = 0.03
) -> Counter[str]:
    """At least so many calls whose deadline passes in flight, if the server lives; how all calls ended.

    longest     seconds that a call has at most
    """
    return asyncio.run(
        _leave_early(address, messages, times=times, together=together, longest=longest, cancel=False)
    )


def cancel(
    address: str, messages: Sequence[bytes], *, times: int, together: int = 24, longest: float = 0.03
) -> Counter[str]:
    """The same with calls that their client cancels."""
    return asyncio.run(
        _leave_early(address, messages, times=times, together=together, longest=longest, cancel=True)
    )

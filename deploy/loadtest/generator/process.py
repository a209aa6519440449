"""A process of the generator: `python -m deploy.loadtest.generator.process FD`, which its parent starts.

What it is to do comes over the socket FD, and what became of each request goes back over it. It ends when the
socket does, however its parent ended.
"""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
import time
from multiprocessing.connection import Connection as Pipe
from typing import Any

import numpy as np

from deploy.loadtest.generator.order import Abort, Done, Failed, Order, Ready, Setup, StopAt
from deploy.loadtest.generator.records import Batch, Strain
from deploy.loadtest.generator.senders import Senders
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Connection

# Several, as a gateway's front processes are given connections, not requests; clients share them.
CONNECTIONS = 8
BATCH_SECONDS = 0.5  # between two batches
_TICK = 0.02  # seconds between two looks at the loop's own lag


def raise_descriptor_limit() -> None:
    """Takes as many file descriptors as the system lets this user have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Process:
    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._orders: asyncio.Queue[Order | None] = asyncio.Queue()
        self._senders: Senders | None = None
        self._lag = 0.0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        setup: Setup = await loop.run_in_executor(None, self._pipe.recv)
        door = doors[setup.target.protocol]
        messages = [door.message(question) for question in setup.questions]
        shares = [question.share for question in setup.questions]
        connections = [door.connect(setup.target) for _ in range(CONNECTIONS)]
        gc.collect()
        gc.freeze()  # what is here stays: the collector need not look at it again under load
        loop.add_reader(self._pipe.fileno(), self._read)
        await self._send(Ready())
        ticking = loop.create_task(self._watch_lag())
        try:
            while (order := await self._orders.get()) is not None:
                self._senders = Senders(
                    order,
                    connections=connections,
                    messages=messages,
                    shares=shares,
                    deadline=setup.deadline,
                )
                await self._carry_out(self._senders)
        finally:
            ticking.cancel()
            await _close(connections)

    async def _carry_out(self, senders: Senders) -> None:
        began = time.process_time()
        self._lag = 0.0
        sending = asyncio.get_running_loop().create_task(senders.run())
        ended: set[asyncio.Task[None]] = set()
        while not ended:
            ended, _ = await asyncio.wait({sending}, timeout=BATCH_SECONDS)
            await self._send(self._batch(senders, began))
        sending.result()
        await self._send(Done())

    def _batch(self, senders: Senders, began: float) -> Batch:
        until = time.monotonic()
        records, details = senders.records.take()
        late, senders.late = np.asarray(senders.late, np.float32), []
        lag, self._lag = self._lag, 0.0
        return Batch(
            until=until,
            outstanding=senders.outstanding,
            records=records,
            codes=tuple(senders.records.table.words),
            details=details,
            strain=Strain(core_seconds=time.process_time() - began, late=late, lag=lag),
        )

    async def _send(self, value: Any) -> None:
        # In a thread: a parent that is busy must not stop the loop.
        await asyncio.get_running_loop().run_in_executor(None, self._pipe.send, value)

    def _read(self) -> None:
        try:
            word = self._pipe.recv()
        except (EOFError, OSError):
            word = None
        if isinstance(word, StopAt) and self._senders is not None:
            self._senders.stop_at(word.time)
        elif isinstance(word, Abort) and self._senders is not None:
            self._senders.abort()
        elif isinstance(word, Order):
            self._orders.put_nowait(word)
        elif word is None:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._orders.put_nowait(None)
            if self._senders is not None:
                self._senders.abort()

    async def _watch_lag(self) -> None:
        while True:
            due = time.monotonic() + _TICK
            await asyncio.sleep(_TICK)
            self._lag = max(self._lag, time.monotonic() - due)


async def _close(connections: list[Connection]) -> None:
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(2.0):
            await asyncio.gather(*(connection.close() for connection in connections), return_exceptions=True)


def main(descriptor: int) -> int:
    # Ctrl-C is the parent's: it gives up what is outstanding and takes what was measured.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_descriptor_limit()
    with Pipe(descriptor) as pipe:
        try:
            asyncio.run(_Process(pipe).run())
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return 0  # the parent is gone
        except Exception as error:
            with contextlib.suppress(OSError):
                pipe.send(Failed(sentence=f"{type(error).__name__}: {error}"))
            return 1
    return 0


if __name__ == "__main__":
    status = main(int(sys.argv[1]))
    sys.stdout.flush()
    os._exit(status)  # gRPC's threads need not be waited for

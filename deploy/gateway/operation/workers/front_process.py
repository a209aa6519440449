"""A further front, or the REST door: python -m deploy.gateway.operation.workers.front_process DESCRIPTOR

Started by the main process, over whose socket it gets its options and all that it asks an authority.
It ends with the main process, and never before what its clients sent is answered, unless it is killed.
"""

import asyncio
import base64
import contextlib
import ctypes
import os
import pickle
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from deploy.embedded.errors import CannotStart
from deploy.gateway.front.memory import MemoryTrim
from deploy.gateway.identity import Identities
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.operation.console import fail, log
from deploy.gateway.operation.process_settings import prepare_process
from deploy.gateway.operation.workers import messages
from deploy.gateway.operation.workers.connection import Connection
from deploy.gateway.operation.workers.doors import Door, open_door
from deploy.gateway.operation.workers.messages import Message
from deploy.gateway.operation.workers.remote_authority import RemoteAuthority
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import Refusal, unavailable
from deploy.gateway.tracing.request_trace import traces_of_environment

_PR_SET_PDEATHSIG = 1
_RETRY_AFTER = 0.1  # seconds: the other fronts answer


class FrontProcess:
    """One life of a front, as the main process wants it."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._authority = RemoteAuthority(self._send)
        self._settings: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._has_state = asyncio.Event()
        self._stop: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._front: Door | None = None
        self._identities: Identities | None = None
        self._access_log: AccessLog | None = None
        self._memory = MemoryTrim()
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = False

    async def run(self, end: socket.socket) -> int:
        """Serves until the main process wants it to end; returns the exit status."""
        self._connection = await Connection.over(end, received=self._received, lost=self._lost)
        settings = await self._settings
        options: GatewayOptions = pickle.loads(base64.b64decode(settings["options"]))
        await self._has_state.wait()

        def say(sentence: str) -> None:
            log(f"{settings['name']}: {sentence}")

        try:
            destination = options.access_log
            self._access_log = None if destination is None else AccessLog(destination, log=say)
            self._identities = Identities(options.identity, log=say)
            self._front = open_door(
                settings["door"],
                self._authority,
                options=options,
                identities=self._identities,
                access_log=self._access_log,
                traces=traces_of_environment(ratio=options.tracing.trace_ratio),
                log=say,
            )
            port = await self._front.start(settings["port"])
        except (CannotStart, OSError) as error:  # a file that became unusable, say
            self._done = True
            return fail(f"{settings['name']} can't start: {error}", status=2)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave, options.drain_seconds)
        self._send([messages.LISTENING, port])
        grace = await self._stop
        await self._front.finish(grace)
        if self._access_log is not None:
            self._access_log.close()
        self._done = True
        self._connection.close()
        return 0

    # -- within -------------------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        assert self._connection is not None
        self._connection.send(message)

    def _received(self, message: Message) -> None:
        if self._authority.received(message):
            self._has_state.set()  # tickets come after it
            return
        match message:
            case [messages.START, settings]:
                self._settings.set_result(settings)
            case [messages.PING]:
                self._memory.look()
                in_flight = 0 if self._front is None else self._front.in_flight
                lost = 0 if self._access_log is None else self._access_log.lost
                self._send([messages.PONG, in_flight, lost])
            case [messages.REFUSE, refusal]:
                self._spawn(self._refuse_new(messages.refusal_from_json(refusal)))
            case [messages.RELOAD]:
                if self._identities is not None:
                    self._identities.reload()
                if self._access_log is not None:
                    self._access_log.reopen()
            case [messages.STOP, grace]:
                self._end(grace)
            case _:
                raise ValueError(f"unknown message {message[:1]}")

    def _lost(self) -> None:
        """The main process is gone."""
        if not self._done:
            # Nothing can be answered without it: its Triton ends too, and the supervisor starts both again.
            os._exit(1)

    async def _refuse_new(self, refusal: Refusal) -> None:
        if self._front is not None:
            await self._front.refuse_new(refusal)
        self._send([messages.REFUSING])

    def _leave(self, grace: float) -> None:
        """On SIGTERM: ends in order; the main process starts another one."""
        sentence = "this front of the server ends: send the request again"
        self._spawn(self._refuse_new(unavailable(sentence, reason="stopping", retry_after=_RETRY_AFTER)))
        self._end(grace)

    def _end(self, grace: float) -> None:
        if not self._stop.done():
            self._stop.set_result(grace)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def main(arguments: Sequence[str]) -> int:
    """Runs one front over the stream socket of this descriptor."""
    end = socket.socket(fileno=int(arguments[0]))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.umask(0o077)
    prepare_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which ends all in order

    async def run() -> int:
        status = await FrontProcess().run(end)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # with the front still refusing: see `Front.finish`

    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(run())
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

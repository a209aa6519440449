"""Requests that lie in memory of their clients on this machine, in place of gRPC's message.

The client makes an anonymous file (memfd_create) with a name of 128 random bits, writes the serialised
request into it, and gives process, descriptor, name and size in the call's metadata. The kernel lets this
process open it where both are of one user. It is copied before anything is looked at, so that what is
inspected is what is sent on, whatever the client writes meanwhile.
"""

import asyncio
import fcntl
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy.gateway.front.messages import MessageReader
from deploy.gateway.refusals import Refusal, invalid, too_large

METADATA = "qface-shared-memory"

_NAMED = re.compile(r"([0-9]{1,10})\.([0-9]{1,10})\.([0-9a-f]{32})\.([0-9]{1,12})", re.ASCII)
_AT_ONCE = 4  # copies: what is copied is not counted yet as waiting


class SharedMemoryReader(MessageReader):
    """A MessageReader that takes such requests too.

    limit  bytes of one request
    """

    def __init__(self, *, limit: int, **options: Any) -> None:
        super().__init__(**options)
        self._limit = limit
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def read(self, context: Any) -> bytes:
        """The serialised request; Refusal where none comes, or what is named can't be read."""
        message = await super().read(context)
        named = _named(context.invocation_metadata())
        if named is None:
            return message
        found = _NAMED.fullmatch(named)
        if found is None:
            raise _unreadable()
        process, descriptor, name, size = found.groups()
        if int(size) > self._limit:
            raise too_large(int(size), self._limit)
        async with self._places:
            return await asyncio.to_thread(_copied, process, descriptor, name, int(size))


def _named(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    for key, value in metadata:
        if key == METADATA:
            return value if isinstance(value, str) else ""
    return None


def _copied(process: str, descriptor: str, name: str, size: int) -> bytes:
    place, link = Path(f"/proc/{process}/fd/{descriptor}"), Path(f"/memfd:qface-{name} (deleted)")
    try:
        if place.readlink() != link:  # nothing else is opened: a device's file may act on that
            raise _unreadable()
        opened = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            if Path(f"/proc/self/fd/{opened}").readlink() != link:  # it became another file's meanwhile
                raise _unreadable()
            fcntl.fcntl(opened, fcntl.F_GET_SEALS)  # OSError where it is no memory: reading might not end
            data = os.pread(opened, size, 0)  # not mapped: a client that shortens it would end this process
        finally:
            os.close(opened)
    except OSError:
        raise _unreadable() from None
    if len(data) != size:
        raise _unreadable()
    return data


def _unreadable() -> Refusal:
    return invalid(
        "the memory that the request names can't be read: client and server are processes of one user on one "
        "machine for that; send the request itself",
        reason="region",
    )

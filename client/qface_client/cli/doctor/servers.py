"""Each server that an address names, and the addresses of its name."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..._connection.access import Tls
from ..._connection.address import is_several, servers_of
from ...client import FaceClient
from ..direct_calls import DirectCalls
from .caller import Caller
from .findings import Finding
from .sockets import CannotConnect, Place, addresses_of

NAME = "name"
SECONDS = 5.0  # of a name server's answer, and of a call without a picture
MOST_SERVERS = 16  # of one address; each takes seconds where it is slow
_PORT = 443  # gRPC's own, where none is given
_SLOW_SECONDS = 1.0
# By which gRPC compares a certificate with another name than the address has.
_CERTIFICATE_NAME = "grpc.ssl_target_name_override"


@dataclasses.dataclass(kw_only=True)
class Server:
    """One server, how it is called, and what the checks have found of it."""

    url: str
    places: tuple[Place, ...]  # its addresses, any of which will do
    certificate_name: str  # that its certificate is to have
    caller: Caller
    channel_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    place: Place | None = None  # the first one that accepts a connection
    contract: str = ""  # the hash of the one that it has

    @property
    def tls(self) -> Tls | None:
        """The files to encrypt with; None: not encrypted."""
        return self.caller.tls

    @property
    def photo(self) -> Path | None:
        """The picture that is sent; None: a plain one."""
        photo: Path | None = self.caller.options.photo
        return photo

    @property
    def model(self) -> str | None:
        """The network that is called."""
        model: str | None = self.caller.options.model
        return model

    @property
    def tasks(self) -> tuple[str, ...] | None:
        """What the picture is answered by; None: all tasks."""
        tasks: list[str] | None = self.caller.options.tasks
        return None if tasks is None else tuple(tasks)

    @property
    def timeout(self) -> float:
        """Seconds of a call with a picture."""
        timeout: float = self.caller.options.timeout
        return timeout

    def calls(self) -> DirectCalls:
        """A channel of its own for calls without a picture."""
        return DirectCalls(
            self.url,
            timeout=min(self.timeout, SECONDS),
            options=self.channel_options,
            **self.caller.access,
        )

    def client(self, *, timeout: float | None = None) -> FaceClient:
        """A client that sends each call once."""
        return FaceClient(
            self.url,
            timeout=min(self.timeout, SECONDS) if timeout is None else timeout,
            retries=False,
            options=self.channel_options,
            **self.caller.access,
        )


def servers(caller: Caller, found: list[Server]) -> Iterator[Finding]:
    """Adds each server of the address to `found`; one finding a name that has to be looked up."""
    if caller.proxied:
        found.append(Server(url=caller.url, places=(), certificate_name="", caller=caller))
        return
    for host, given in servers_of(caller.url):
        if given is None and caller.url.startswith("unix"):
            path = caller.url.partition(":")[2].removeprefix("//")
            place = "\0" + path if caller.url.startswith("unix-abstract:") else path
            found.append(Server(url=caller.url, places=(place,), certificate_name="localhost", caller=caller))
            continue
        port = _PORT if given is None else given
        try:
            addresses, seconds = addresses_of(host, seconds=SECONDS)
        except CannotConnect as error:
            advice = (
                "check the network and its name servers"
                if error.silent
                else "check how the name is spelled, and that it is known on this machine"
            )
            yield Finding(check=NAME, mark="wrong", sentence=f"{host}: {error}", advice=advice)
            continue
        places = [(address, port) for address in addresses]
        if is_several(caller.url):  # to gRPC each address is a server of its own
            found += [
                Server(
                    url=shown(place),
                    places=(place,),
                    certificate_name=host,
                    caller=caller,
                    channel_options={_CERTIFICATE_NAME: host} if caller.tls and place[0] != host else {},
                )
                for place in places
            ]
        else:
            found.append(Server(url=caller.url, places=tuple(places), certificate_name=host, caller=caller))
        if addresses != [host]:
            is_slow = seconds > _SLOW_SECONDS
            yield Finding(
                check=NAME,
                mark="note" if is_slow else "ok",
                sentence=f"{host} is {', '.join(addresses)} (after {1e3 * seconds:.0f} ms)",
                advice="name servers are slow, which delays each first connection" if is_slow else "",
            )
    if len(found) > MOST_SERVERS:
        yield Finding(
            check=NAME, mark="note", sentence=f"{MOST_SERVERS} of {len(found)} servers are looked at"
        )
        del found[MOST_SERVERS:]


def shown(place: Place) -> str:
    """An address as gRPC takes it."""
    if isinstance(place, str):
        return place.replace("\0", "@")
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

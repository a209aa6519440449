"""The ports of a server that listens on TCP: given ones are checked, the others are chosen free."""

import contextlib
import dataclasses
import errno
import socket

from deploy.embedded.errors import CannotStart, PortTaken

OPTIONS = {"gRPC": "--grpc-port", "HTTP": "--http-port", "metrics": "--metrics-port", "REST": "--rest-port"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ports:
    """Port numbers; 0 in a request means any free one, None that the server does not speak it."""

    grpc: int = 0
    http: int | None = None
    metrics: int = 0
    rest: int | None = None

    def by_use(self) -> dict[str, int]:
        """The ports that are wanted, by what they are for."""
        some = {"HTTP": self.http, "REST": self.rest}
        given = {use: port for use, port in some.items() if port is not None}
        return {"gRPC": self.grpc, **given, "metrics": self.metrics}


def settle(requested: Ports, *, host: str) -> Ports:
    """Turn every 0 into a free port of `host`; PortTaken names the given one that is not free.

    CannotStart for a host or a port that this process can't listen on at all.
    """
    if ":" in host:
        # Triton writes an address and a port together as "host:port", which an IPv6 address makes unclear.
        raise CannotStart(f"the embedded server listens on IPv4 only, not on {host}: use --host 127.0.0.1")
    settled: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        # All are held until all are chosen, so that no number comes up twice. Given ones first.
        for use, port in sorted(requested.by_use().items(), key=lambda item: item[1] == 0):
            held = stack.enter_context(socket.socket())
            # As Triton binds: a port whose last connections are only fading out is free.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind((host, port))
                held.listen()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise CannotStart(_refused(error, host=host, port=port, use=use)) from error
                raise PortTaken(
                    f"port {port} of {host}, wanted for {use}, is taken ({error.strerror}): stop what "
                    f"listens there or choose another with {OPTIONS[use]} (0 means any free one)"
                ) from error
            settled[use] = held.getsockname()[1]
    return Ports(
        grpc=settled["gRPC"],
        http=settled.get("HTTP"),
        metrics=settled["metrics"],
        rest=settled.get("REST"),
    )


def _refused(error: OSError, *, host: str, port: int, use: str) -> str:
    if isinstance(error, PermissionError):
        return (
            f"port {port} of {host}, wanted for {use}, needs rights that this process lacks "
            f"({error.strerror}): choose one above 1023 with {OPTIONS[use]}"
        )
    return (
        f"this machine can't listen on {host} ({error.strerror}): name one of its own IPv4 addresses with "
        "--host, or 0.0.0.0 for all of them"
    )

"""What a call before a load shows to be wrong with an address, in a sentence that says what to do."""

from collections.abc import Mapping

from deploy.loadtest.protocols.base import BROKEN, Reply, Target

# What the text of a failed connection has, of gRPC and of aiohttp -> what is wrong.
_CONNECTIONS: Mapping[str, str] = {
    "http1.x": "speaks HTTP, not gRPC: give its gRPC port, or call it over rest or http",
    "Bad status line": "speaks no HTTP, or TLS: give its HTTP port, or call it over grpc",
    "WRONG_VERSION_NUMBER": "speaks no TLS: call it without",
    "CERTIFICATE_VERIFY_FAILED": "has a certificate that the given authorities did not sign, or of another "
    "name: give those that did, and a name that it has",
    "Hostname Verification Check failed": "has a certificate of another name: call it by a name that it has",
    "security handshaker": "was not called: the client's certificate and its private key do not match",
    "selected ALPN": "speaks no gRPC: give its gRPC port",
    "Connection refused": "has no server: start it, or give the address of one",
    "Connect call failed": "has no server: start it, or give the address of one",
    "errors resolving": "can't be found: give HOST:PORT of the server",
    "Cannot connect to host": "can't be reached: give HOST:PORT of the server",
}


class Busy(ConnectionError):
    """A server that asks for another try, after `seconds`."""

    def __init__(self, sentence: str, *, seconds: float) -> None:
        super().__init__(sentence)
        self.seconds = seconds


def error_of(reply: Reply, *, target: Target, timeout: float, path: str = "") -> ConnectionError:
    """The error of a call that had no answer: a `Busy` where the server asks for another try."""
    text = sentence(reply, target=target, timeout=timeout, path=path)
    return ConnectionError(text) if reply.pushback is None else Busy(text, seconds=reply.pushback)


def sentence(reply: Reply, *, target: Target, timeout: float, path: str = "") -> str:
    """What was wrong with a call that had no answer."""
    where = target.address
    if reply.code in (BROKEN, "UNAVAILABLE"):
        for text, mistake in _CONNECTIONS.items():
            if text in reply.details:
                return f"{where} {mistake}"
    if reply.code == BROKEN:
        hint = "it may want a client's certificate" if target.secure else "it may speak TLS"
        other = f"{hint}, or another protocol than {target.protocol}"
        return f"{where} ended the connection ({reply.details}): {other}"
    if reply.code == "UNAUTHENTICATED":
        return (
            f"{where} did not accept the key or the certificate of this call ({reply.details}): give another"
        )
    if reply.code == "DEADLINE_EXCEEDED":
        return f"{where} did not answer within {timeout:g} s: check that a server is there, and not busy"
    if reply.code == "NOT_FOUND" and path:
        return f"{where} has nothing at {path}: it is another server than {target.protocol} is for"
    return f"{where} did not answer: {reply.code} {reply.details}"

"""Identities: who calls, by API key or by certificate.

With a file of keys, every call but those of health names a key, as metadata `authorization: Bearer KEY` or
`x-api-key: KEY`, or as HTTP headers of these names. A bearer's key goes first; an `authorization` of another
scheme, or an empty one, is somebody else's (a proxy's) and leaves it to `x-api-key`. With mutual TLS the
certificate names the caller; with both, the connection needs a certificate and the call a key, which then
names the caller and sets its rate and its tasks.
"""

import dataclasses
import string
from collections.abc import Callable, Iterable, Mapping

import grpc

from deploy.gateway.identity.keys import KeyFile
from deploy.gateway.options import Identity
from deploy.gateway.refusals import Refusal

AuthContext = Mapping[str, Iterable[bytes]]

_CERTIFICATE_NAMES = ("x509_common_name", "x509_subject_alternative_name")
_PLAIN = frozenset(string.ascii_letters + string.digits + "._-@:/ ")
_LONGEST_NAME = 128
_HOW = "send it as `authorization: Bearer KEY`, in gRPC's metadata or as an HTTP header"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who sent a request, and what it may ask for."""

    name: str = ""  # of the key or the certificate; "" where nobody is identified
    tasks: frozenset[str] | None = None  # None: all that are served
    per_second: float | None = None  # requests; None: no rate of its own


ANYBODY = Caller()


class Identities:
    """Finds the caller of a request. UnusableFile from the constructor if the keys can't be read."""

    def __init__(self, identity: Identity, *, log: Callable[[str], None] = lambda sentence: None) -> None:
        self._keys = None if identity.keys is None else KeyFile(identity.keys, log=log)
        self._certificates = identity.client_authorities is not None

    def identify(
        self, metadata: Iterable[tuple[str, str | bytes]] | None, auth_context: Callable[[], AuthContext]
    ) -> Caller:
        """The caller of a request; Refusal (UNAUTHENTICATED) without a key that is in force.

        `auth_context` is the call's own method: reading it costs more than the rest, and only certificates
        need it.
        """
        if self._keys is not None:
            return self._by_key(self._keys, metadata or ())
        if self._certificates:
            return Caller(name=certificate_name(auth_context()))
        return ANYBODY

    def reload(self) -> None:
        """Read the file of keys again now (SIGHUP, `reload`); a broken one keeps the keys and is logged."""
        if self._keys is not None:
            self._keys.follow(always=True)

    @staticmethod
    def _by_key(keys: KeyFile, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
        key = _key_of(metadata)
        if key is None:
            raise _unauthenticated(f"this server needs an API key: {_HOW}", reason="no_key")
        found = keys.find(key)
        if found is None:
            raise _unauthenticated(
                f"the API key that was sent is unknown to this server: check it ({_HOW}) or get a new one",
                reason="unknown_key",
            )
        return Caller(name=found.name, tasks=found.tasks, per_second=found.rate)


def _key_of(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    key = None
    for name, value in metadata:
        if not isinstance(value, str):
            continue
        if name == "authorization":
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return token.strip()
        elif name == "x-api-key" and value.strip():
            key = value.strip()
    return key


def certificate_name(auth_context: AuthContext) -> str:
    """The subject's common name, or else the first alternative name, in characters that suit a log.

    Refusal (UNAUTHENTICATED) for a connection whose certificate names nobody.
    """
    for field in _CERTIFICATE_NAMES:
        for value in auth_context.get(field, ()):
            text = value.decode("utf-8", "replace")[:_LONGEST_NAME]
            if text:
                return "".join(letter if letter in _PLAIN else "?" for letter in text)
    raise _unauthenticated(
        "this server needs a client certificate with a common name or an alternative name: use one that its "
        "authority signed",
        reason="no_certificate",
    )


def _unauthenticated(sentence: str, *, reason: str) -> Refusal:
    return Refusal(grpc.StatusCode.UNAUTHENTICATED, sentence, reason=reason)

"""server_credentials: TLS and mutual TLS from PEM files, which may be replaced while the gateway runs."""

import contextlib
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import grpc

from deploy.gateway.identity.protected_files import FileState, UnusableFile, read_file, state_of
from deploy.gateway.options import Identity

T = TypeVar("T")

EXPIRES_SOON = datetime.timedelta(days=14)
_CERTIFICATE = "the certificate"
_PRIVATE_KEY = "the private key"
_AUTHORITIES = "the file of client authorities"


def server_credentials(
    identity: Identity, *, log: Callable[[str], None] = lambda sentence: None
) -> grpc.ServerCredentials | None:
    """For `add_secure_port`; None where no certificate is configured.

    UnusableFile says what is wrong with a file. New connections get what the files hold then. Files that
    became unusable keep what was read before, and one sentence goes to `log`.
    """
    check_identity(identity)
    if identity.certificate is None:
        return None
    files = _Files(identity, make=_for_grpc, log=log)
    return grpc.dynamic_ssl_server_credentials(
        files.current, files.changed, require_client_authentication=identity.client_authorities is not None
    )


def server_ssl_context(
    identity: Identity, *, log: Callable[[str], None] = lambda sentence: None
) -> ssl.SSLContext | None:
    """For asyncio's servers: the same files, the same rules, as `server_credentials`.

    With mutual TLS it is 1.3 alone, where no session is resumed: each connection shows its certificate to the
    authorities of now.
    """
    check_identity(identity)
    if identity.certificate is None:
        return None
    files = _Files(identity, make=_for_asyncio, log=log)

    def choose(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        files.changed()
        connection.context = files.current

    first = _for_asyncio(identity, b"", b"", files.authorities)
    first.sni_callback = choose  # called for each connection, whether it names a server or not
    return first


def _for_grpc(
    _identity: Identity, key: bytes, chain: bytes, authorities: bytes | None
) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authorities)


def _for_asyncio(identity: Identity, _key: bytes, _chain: bytes, authorities: bytes | None) -> ssl.SSLContext:
    assert identity.certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(identity.certificate, identity.private_key)
    if authorities is not None:
        context.load_verify_locations(cadata=authorities.decode("ascii", "replace"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
    return context


def check_identity(identity: Identity) -> None:
    """UnusableFile where the options for TLS do not go together."""
    if (identity.certificate is None) != (identity.private_key is None):
        raise UnusableFile("TLS needs both --certificate and --private-key: give the other one too")
    if identity.client_authorities is not None and identity.certificate is None:
        raise UnusableFile(
            "--client-authorities checks clients' certificates inside TLS: "
            "give --certificate and --private-key"
        )


class CertificateExpiry:
    """When the server's certificate expires, read again when its files change."""

    def __init__(self, identity: Identity) -> None:
        self._certificate, self._private_key = identity.certificate, identity.private_key
        self._states: tuple[FileState, ...] = ()
        self._expires: float | None = None

    def __call__(self) -> float | None:
        """In seconds since 1970; None without TLS. Files that became unusable leave what was read before."""
        if self._certificate is None or self._private_key is None:
            return None
        states = (state_of(self._certificate), state_of(self._private_key))
        if states != self._states:
            self._states = states
            with contextlib.suppress(UnusableFile):
                key = read_file(self._private_key, what=_PRIVATE_KEY, secret=True)
                self._expires = check_pair(self._certificate, self._private_key, key=key).timestamp()
        return self._expires


class _Files(Generic[T]):
    """The certificates as they stand now, for new connections, as what `make` makes of them.

    `make` gets the identity, and the contents of its key, its certificate and its authorities.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        make: Callable[[Identity, bytes, bytes, bytes | None], T],
        log: Callable[[str], None],
    ) -> None:
        assert identity.certificate is not None
        assert identity.private_key is not None
        self._certificate, self._private_key = identity.certificate, identity.private_key
        self._authorities = identity.client_authorities
        self._identity = identity
        self._make = make
        self._log = log
        self.authorities: bytes | None = None
        self._states = self._look()
        self.current = self._read()

    def changed(self) -> T | None:
        """Those of replaced files, else None. Called once a connection, by gRPC from its threads."""
        states = self._look()
        if states == self._states:
            return None
        self._states = states
        try:
            self.current = self._read()
        except UnusableFile as error:
            self._log(f"{error}; the certificate that was read before stays in force")
            return None
        self._log(f"read the certificate {self._certificate} again")
        return self.current

    def _look(self) -> tuple[FileState, ...]:
        paths = (self._certificate, self._private_key, self._authorities)
        return tuple(FileState() if path is None else state_of(path) for path in paths)

    def _read(self) -> T:
        chain = read_file(self._certificate, what=_CERTIFICATE, secret=False)
        key = read_file(self._private_key, what=_PRIVATE_KEY, secret=True)
        expires = check_pair(self._certificate, self._private_key, key=key)
        if expires - datetime.datetime.now(datetime.UTC) < EXPIRES_SOON:
            self._log(f"{_CERTIFICATE} {self._certificate} expires on {expires:%Y-%m-%d}: replace the file")
        authorities = None
        if self._authorities is not None:
            authorities = read_file(self._authorities, what=_AUTHORITIES, secret=False)
            check_authorities(self._authorities)
        made = self._make(self._identity, key, chain, authorities)
        self.authorities = authorities
        return made


def read_pair(certificate: Path, private_key: Path) -> datetime.datetime:
    """When a server's certificate expires; UnusableFile if it or its key can't be used, or must not be."""
    read_file(certificate, what=_CERTIFICATE, secret=False)
    key = read_file(private_key, what=_PRIVATE_KEY, secret=True)
    return check_pair(certificate, private_key, key=key)


def check_pair(certificate: Path, private_key: Path, *, key: bytes) -> datetime.datetime:
    """When a server's certificate expires; UnusableFile if it has, or does not belong to the private key.

    A handshake in memory with a client that trusts just this certificate proves it, whatever the algorithms.
    """
    if b"ENCRYPTED" in key:
        raise UnusableFile(
            f"{_PRIVATE_KEY} {private_key} is encrypted, and nobody is there to type its password: decrypt it"
        )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, private_key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnusableFile(
                f"{_PRIVATE_KEY} {private_key} is not that of {_CERTIFICATE} {certificate}: give the pair"
            ) from None
        raise UnusableFile(
            f"{_CERTIFICATE} {certificate} and {_PRIVATE_KEY} {private_key} can't be used "
            f"({_reason(error)}): both must be PEM"
        ) from None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is the root of trust
    client.load_verify_locations(certificate)
    try:
        shown = _handshake(client, server)
    except ssl.SSLCertVerificationError as error:
        raise UnusableFile(f"{_CERTIFICATE} {certificate}: {error.verify_message}: get a valid one") from None
    except ssl.SSLError as error:
        raise UnusableFile(
            f"{_CERTIFICATE} {certificate} makes no TLS connection ({_reason(error)})"
        ) from None
    return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), datetime.UTC)


def check_authorities(path: Path) -> None:
    """UnusableFile unless a file holds certificates of authorities, one of them in force."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise UnusableFile(
            f"{_AUTHORITIES} {path} can't be used ({_reason(error)}): it must be PEM"
        ) from None
    ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    if not ends:
        raise UnusableFile(
            f"{_AUTHORITIES} {path} holds no certificate of an authority: give that which "
            "signs clients' certificates"
        )
    if max(ends) < datetime.datetime.now(datetime.UTC).timestamp():
        raise UnusableFile(f"{_AUTHORITIES} {path}: all of its certificates have expired: get valid ones")


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, object]:
    """The certificate that the server shows to a client, in memory; ssl.SSLError where they don't agree."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(to_client, to_server)
    answerer = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):  # three are enough
        done = True
        for side in (caller, answerer):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                done = False
        if done:
            break
    shown = caller.getpeercert()
    if not shown:
        raise ssl.SSLError("the handshake did not end")
    return dict(shown)


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")

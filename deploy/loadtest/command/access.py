"""Which server is loaded, and with what it lets us in."""

import dataclasses
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Target

DEFAULT_PROTOCOL = "grpc"
# The client's own: one key in the environment serves both.
KEY, KEY_FILE = "QFACE_API_KEY", "QFACE_API_KEY_FILE"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Scheme:
    """What an address's scheme leaves open: `protocols` that it may mean."""

    secure: bool
    protocols: tuple[str, ...]


_SCHEMES: Mapping[str, _Scheme] = {
    "grpc": _Scheme(secure=False, protocols=("grpc",)),
    "grpcs": _Scheme(secure=True, protocols=("grpc",)),
    "http": _Scheme(secure=False, protocols=("rest", "http")),
    "https": _Scheme(secure=True, protocols=("rest", "http")),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Access:
    """How the server is reached, as the command line has it.

    url             "HOST:PORT" or with a scheme; "": a gateway that is started for this
    protocol        a name of `doors`; None: what the scheme means, else gRPC
    insecure_key    the key may go to another machine unencrypted
    """

    url: str = ""
    protocol: str | None = None
    key_file: Path | None = None
    insecure_key: bool = False
    authorities: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None

    def target(self, *, address: str = "") -> Target:
        """The target; ValueError with a sentence where the parts do not fit together.

        address: of the gateway that was started, where there is no `url`.
        """
        scheme, host_port = _split(self.url or address)
        protocol = self._protocol(scheme)
        secure = (
            scheme.secure if scheme is not None else bool(self.authorities or self.certificate)
        )  # who names a certificate wants it used
        self._check_files(secure=secure)
        key = _key(self.key_file, os.environ) if self.url else None
        if key and not (secure or self.insecure_key or _is_local(host_port)):
            raise ValueError(
                f"the key would cross the network to {host_port} unencrypted: give a grpcs:// or https:// "
                "address, or --insecure-key where the network is trusted"
            )
        return Target(
            protocol=protocol,
            address=host_port,
            secure=secure,
            metadata=(("authorization", f"Bearer {key}"),) if key else (),
            authorities=_absolute(self.authorities),
            certificate=_absolute(self.certificate),
            private_key=_absolute(self.private_key),
        )

    def _protocol(self, scheme: _Scheme | None) -> str:
        if self.protocol is not None and self.protocol not in doors:
            raise ValueError(f"there is no protocol {self.protocol!r}: choose from {', '.join(doors)}")
        if scheme is None:
            return self.protocol or DEFAULT_PROTOCOL
        if self.protocol is not None and self.protocol not in scheme.protocols:
            raise ValueError(
                f"{self.url} is no address of {self.protocol!r}: leave the scheme out, or give another one"
            )
        if self.protocol is None and len(scheme.protocols) > 1:
            raise ValueError(
                f"{self.url} may be the gateway's REST or the V2 protocol over HTTP: give --protocol "
                f"{' or '.join(scheme.protocols)}"
            )
        return self.protocol or scheme.protocols[0]

    def _check_files(self, *, secure: bool) -> None:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("--certificate and --private-key belong together: give both, or neither")
        files = [path for path in (self.authorities, self.certificate, self.private_key) if path is not None]
        if files and not secure:
            raise ValueError(
                f"{files[0]} is for an encrypted connection: give a grpcs:// or https:// address"
            )
        for path in files:
            try:
                is_pem = b"-----BEGIN " in path.read_bytes()
            except OSError as error:
                raise ValueError(f"{path} can't be read: {error.strerror}") from None
            if not is_pem:
                raise ValueError(f"{path} is no PEM file: nothing in it begins with -----BEGIN")


def _split(url: str) -> tuple[_Scheme | None, str]:
    name, separator, rest = url.partition("://")
    if separator and name not in _SCHEMES:
        raise ValueError(f"{url!r} has the scheme {name!r}: give HOST:PORT, or one of {', '.join(_SCHEMES)}")
    host_port = (rest if separator else url).removesuffix("/")
    try:
        parts = urlsplit(f"//{host_port}")
        good = bool(parts.hostname) and parts.port is not None and parts.netloc == host_port
        good = good and "@" not in host_port
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{url!r} is no address: give HOST:PORT, as 10.0.0.5:8001 or grpcs://faces:8001")
    return (_SCHEMES[name] if separator else None), host_port


def _key(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The key, of the file, or of the environment; ValueError for a file without one. No sentence has it."""
    if file is None and (key := environment.get(KEY, "").strip()):
        return _checked(key, KEY)
    if file is None and not environment.get(KEY_FILE):
        return None
    path = file or Path(environment[KEY_FILE])
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"the key can't be read from {path}: {reason}") from None
    return _checked(key, str(path))


def _checked(key: str, source: str) -> str:
    if not key:
        raise ValueError(f"{source} has no key in it")
    if not all("!" <= character <= "~" for character in key):
        raise ValueError(f"the key of {source} has a character that is no visible ASCII, or a space")
    return key


def _is_local(address: str) -> bool:
    host = urlsplit(f"//{address}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _absolute(path: Path | None) -> Path | None:
    # The generator's processes have another working directory.
    return None if path is None else path.absolute()

"""Who calls, and over which encryption: the API key and the PEM files, by argument, environment or file."""

import dataclasses
import os
from pathlib import Path

from ..errors import InvalidInput
from .address import host_of, is_this_machine

KEY, KEY_FILE = "QFACE_API_KEY", "QFACE_API_KEY_FILE"
TLS = "QFACE_TLS"
_TLS_FILES = {
    "root_certificates": "QFACE_TLS_CA",
    "private_key": "QFACE_TLS_KEY",
    "certificate_chain": "QFACE_TLS_CERT",
}
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tls:
    """Paths of the PEM files of an encrypted connection.

    `private_key` and `certificate_chain` are for mutual TLS.
    """

    root_certificates: str | os.PathLike[str] | None = None  # None: those that gRPC finds on the machine
    private_key: str | os.PathLike[str] | None = None
    certificate_chain: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            path = getattr(self, field.name)
            # It may be the key itself, which belongs into no sentence.
            if path is not None and not isinstance(path, str | os.PathLike):
                raise InvalidInput(
                    f"{field.name} is the path of a PEM file, not {type(path).__name__}: write the text to a "
                    "file and give its path"
                )
        if (self.private_key is None) != (self.certificate_chain is None):
            raise InvalidInput(
                "a private key and its certificate chain belong together: give both, or neither"
            )


def tls_files(tls: Tls | bool | None) -> Tls | None:
    """The PEM files to encrypt with, None for no encryption.

    `tls`: None takes all from the environment, True takes the files from it. InvalidInput for a file that
    can't be read.
    """
    if not (tls is None or isinstance(tls, bool | Tls)):
        raise InvalidInput(f"tls is True, False or Tls(root_certificates=...), not {tls!r}")
    if tls is None:
        tls = _asked_for_by_environment()
    if not tls:
        return None
    files = tls if isinstance(tls, Tls) else Tls(**environment_files())
    for path in dataclasses.astuple(files):
        if path is not None:
            _check_pem(path)
    return files


def environment_files() -> dict[str, str]:
    """The PEM files that the environment names, by Tls's arguments."""
    return {name: path for name, variable in _TLS_FILES.items() if (path := os.environ.get(variable))}


def authorization(
    api_key: str | None, *, url: str, encrypted: bool, insecure_key: bool
) -> tuple[tuple[str, str], ...]:
    """The metadata that proves who calls; empty without a key.

    InvalidInput where the key can't be sent, or would cross a network for everybody to read. No sentence
    has the key in it.
    """
    key = _key(api_key)
    if key is None:
        return ()
    if not (encrypted or insecure_key or is_this_machine(url)):
        raise InvalidInput(
            f"the API key would cross the network to {host_of(url)} unencrypted: encrypt the connection "
            f"(tls=True, {TLS}=1 or --tls), or allow it where the network is trusted (insecure_key=True or "
            "--insecure-key)"
        )
    return (("authorization", f"Bearer {key}"),)


def read_key_file(path: str | os.PathLike[str]) -> str:
    """The key that a file has as its only text."""
    try:
        text = Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput(f"the API key can't be read from it: {reason}", file=os.fspath(path)) from None
    if not text:
        raise InvalidInput("has no API key in it", file=os.fspath(path))
    return text


def _key(api_key: str | None) -> str | None:
    if api_key is not None:
        if not isinstance(api_key, str):
            raise InvalidInput(f"the API key is a text, not {type(api_key).__name__}")
        key, source = api_key.strip(), "api_key="
        if not key:
            raise InvalidInput("the API key is empty: leave api_key= out where the server asks for none")
    elif key := os.environ.get(KEY, "").strip():
        source = KEY
    elif path := os.environ.get(KEY_FILE):
        key, source = read_key_file(path), path
    else:
        return None
    if not all("!" <= character <= "~" for character in key):  # gRPC would refuse it without saying why
        raise InvalidInput(f"the API key of {source} has a character that is no visible ASCII, or a space")
    return key


def _asked_for_by_environment() -> bool:
    switch = os.environ.get(TLS, "").strip().lower()
    if switch not in (*_ON, *_OFF, ""):
        raise InvalidInput(f"{TLS} is 1 or 0, not {switch!r}")
    # Who names a certificate wants it used, unless told otherwise.
    return switch in _ON or (not switch and bool(environment_files()))


def _check_pem(path: str | os.PathLike[str]) -> None:
    """gRPC says of a file that is none only that no connection comes about."""
    try:
        found = b"-----BEGIN " in Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"can't be read: {error.strerror}", file=os.fspath(path)) from error
    if not found:
        raise InvalidInput("is no PEM file: its text has no -----BEGIN", file=os.fspath(path))

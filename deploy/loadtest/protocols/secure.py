"""Keys and files of TLS, checked before a library refuses them without a reason."""

import ssl
from pathlib import Path

from deploy.loadtest.protocols.base import Target


def read_pem(path: Path | None) -> bytes | None:
    """A PEM file's content, None for None; ConnectionError with a sentence for what is none."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConnectionError(f"{path} can't be read ({error.strerror}): name a PEM file") from None
    if b"-----BEGIN " not in content:
        raise ConnectionError(f"{path} is no PEM file: its text has no -----BEGIN")
    return content


def check(target: Target) -> None:
    """ConnectionError with a sentence where a target's metadata or files can't be used; no value is in it."""
    for key, value in target.metadata:
        if not key or not all(" " <= character <= "~" for character in key + value):
            raise ConnectionError(
                f"the metadata {key!a} has a character that can't be sent: give visible ASCII, on one line"
            )
    if not target.secure:
        return
    if (target.certificate is None) != (target.private_key is None):
        raise ConnectionError(
            "a client's certificate and its private key belong together: give both, or neither"
        )
    for path in (target.authorities, target.certificate, target.private_key):
        read_pem(path)


def context_of(target: Target) -> ssl.SSLContext | None:
    """What HTTP is encrypted with; None without TLS. ConnectionError where its files can't be used."""
    check(target)
    if not target.secure:
        return None
    try:
        context = ssl.create_default_context(cafile=target.authorities)
        if target.certificate is not None:
            context.load_cert_chain(target.certificate, target.private_key)
    except (ssl.SSLError, OSError) as error:
        raise ConnectionError(
            f"the files of TLS can't be used ({error}): check that they belong together"
        ) from None
    return context

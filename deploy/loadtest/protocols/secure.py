"""Files of TLS, read and checked before a library refuses them without a reason."""

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


def check_files(target: Target) -> None:
    """ConnectionError with a sentence where the files of a connection with TLS can't be used."""
    if (target.certificate is None) != (target.private_key is None):
        raise ConnectionError(
            "a client's certificate and its private key belong together: give both, or neither"
        )
    for path in (target.authorities, target.certificate, target.private_key):
        read_pem(path)


def context_of(target: Target) -> ssl.SSLContext | None:
    """What HTTP is encrypted with; None without TLS. ConnectionError where its files can't be used."""
    if not target.secure:
        return None
    check_files(target)
    try:
        context = ssl.create_default_context(cafile=target.authorities)
        if target.certificate is not None:
            context.load_cert_chain(target.certificate, target.private_key)
    except (ssl.SSLError, OSError) as error:
        raise ConnectionError(
            f"the files of TLS can't be used ({error}): check that they belong together"
        ) from None
    return context

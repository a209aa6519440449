"""A bundle on the disk: its manifest, and its files as the manifest has them.

manifest.json         {"files": {name: {"bytes", "sha256", "gzip"?: {"bytes", "sha256"}}}, "network", ...}
qface-tiny-open.onnx  and every other file of `files`; what gzip makes smaller has its gzip beside it: NAME.gz
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.files import ROOT

BUNDLE = ROOT / "var" / "web" / "bundle"
MANIFEST = "manifest.json"
PACKED_SUFFIX = ".gz"
_NAME = re.compile(r"[a-z0-9A-Z][\w.-]*(/[a-z0-9A-Z][\w.-]*)*")
_REMEDY = "`make web-bundle` makes it"


class BundleMissing(Exception):
    """There is no bundle at the place, or not a whole one; the sentence says what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BundleFile:
    """A file's bytes, and those of its gzip where that is smaller."""

    content: bytes = dataclasses.field(repr=False)
    packed: bytes | None = dataclasses.field(default=None, repr=False)


def read_manifest(bundle: Path) -> dict[str, Any]:
    """What `manifest.json` has. BundleMissing where there is none, or none that can be read."""
    try:
        manifest = json.loads((bundle / MANIFEST).read_bytes())
        files = manifest["files"]
        names_are_sound = all(_NAME.fullmatch(name) for name in files)
        for entry in files.values():
            _ = entry["bytes"], entry["sha256"]
    except OSError:
        raise BundleMissing(f"the browser's network is not here: {_REMEDY}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BundleMissing(f"{bundle / MANIFEST} can't be read: {_REMEDY}") from None
    if not names_are_sound:
        raise BundleMissing(f"{bundle / MANIFEST} names files that can't be: {_REMEDY}")
    return dict(manifest)


def read_bundle(bundle: Path) -> Mapping[str, BundleFile]:
    """Every file by its name, the manifest too. BundleMissing where one is not as the manifest has it."""
    here = bundle.resolve()  # one bundle to the end, where another takes its place
    try:
        return _read_all(here)
    except BundleMissing:
        if bundle.resolve() == here:
            raise
        return _read_all(bundle.resolve())


def _read_all(bundle: Path) -> Mapping[str, BundleFile]:
    manifest = read_manifest(bundle)
    found = {MANIFEST: BundleFile(content=(json.dumps(manifest, indent=1) + "\n").encode())}
    for name, entry in manifest["files"].items():
        packed = entry.get("gzip")
        found[name] = BundleFile(
            content=_read(bundle / name, entry),
            packed=None if packed is None else _read(bundle / f"{name}{PACKED_SUFFIX}", packed),
        )
    return found


def _read(path: Path, entry: Mapping[str, Any]) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if (len(content), hashlib.sha256(content).hexdigest()) != (entry["bytes"], entry["sha256"]):
        raise BundleMissing(f"{path} is not what the bundle's manifest has: {_REMEDY}")
    return content

"""A bundle of a few bytes, as the manifest of a real one has it."""

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.web.bundle.contents import MANIFEST

WASM = b"\0asm" * 500
FILES = {"ort/runtime.wasm": WASM, "network.onnx": b"onnx"}


def write_bundle(folder: Path, files: Mapping[str, bytes] = FILES, *, packed: bool = True) -> Path:
    """A whole one; what is longer than its gzip has that beside it."""
    entries: dict[str, dict[str, Any]] = {}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        entries[name] = _identity(content)
        small = gzip.compress(content) if packed else content
        if len(small) < len(content):
            path.with_name(f"{path.name}.gz").write_bytes(small)
            entries[name]["gzip"] = _identity(small)
    (folder / MANIFEST).write_text(json.dumps({"files": entries, "network": "network.onnx"}))
    return folder


def _identity(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

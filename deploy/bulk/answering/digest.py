"""What tells two networks apart that have one contract."""

import hashlib
from pathlib import Path


def network_digest(network: Path) -> str:
    """Of all files that compute: of an ONNX file, or of a repository's models."""
    whole = hashlib.sha256()
    models = network.resolve() / "models"
    files = sorted(models.rglob("*")) if models.is_dir() else [network]
    for path in files:
        if path.is_file() and "__pycache__" not in path.parts:
            whole.update(str(path.relative_to(models) if models.is_dir() else "").encode() + b"\0")
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()

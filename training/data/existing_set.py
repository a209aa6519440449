"""A prepared set that is there already: whether it is what a command asks for, or would be lost by it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.data.addresses import Address
from training.data.prepared.face_set import crop_kind, read_manifest
from training.data.prepared.partial import changed_options


def source_record(source: Path | Address) -> dict[str, str]:
    """What tells one source from another in a manifest: its last name, and a hash of where it lies.

    Sets travel, so that no path of a machine stands in them.
    """
    place = source.resolve() if isinstance(source, Path) else source
    digest = hashlib.sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()
    return {"name": place.name, "path_sha256": digest[:16]}


def unchanged_set(
    folder: Path, *, options: Mapping[str, Any], crop: str, source: Mapping[str, str] | None
) -> dict[str, Any] | None:
    """The manifest of a whole set with these options; None where there is none, and it is to be prepared.

    `source` is a `source_record` where other sources may have a set of this name. ValueError for a set that
    would be lost: of other crops, or of another source.
    """
    existing = _manifest_or_none(folder)
    if existing is None:
        return None
    files = [folder / "index.npz", *(folder / shard["name"] for shard in existing["shards"])]
    if not changed_options(existing["options"], options) and all(file.exists() for file in files):
        return existing
    if crop_kind(existing) != crop:
        raise ValueError(
            f"{folder} holds {crop_kind(existing)} crops, which would be lost: choose another --output "
            f"for {crop} ones"
        )
    earlier = existing.get("source")
    if source is not None and earlier is not None and earlier != source:
        raise ValueError(
            f"{folder} was prepared from another source that is called {earlier['name']}, or from this one "
            f"at another place, and would be lost: give --set-name another name, or delete {folder} to "
            "replace it"
        )
    return None


def _manifest_or_none(folder: Path) -> dict[str, Any] | None:
    try:
        return read_manifest(folder)
    except ValueError:
        return None

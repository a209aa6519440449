"""Checks a prepared set against its manifest."""

import hashlib
from pathlib import Path

from training.data.prepared.face_set import read_manifest
from training.data.prepared.index import FaceIndex
from training.data.sample import SPLITS


def check_set(folder: Path) -> dict[str, int]:
    """Faces by split of a set that is whole. ValueError names the first thing that is damaged."""
    manifest = read_manifest(folder)
    for shard in manifest["shards"]:
        path = folder / shard["name"]
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise ValueError(f"{path} is missing: prepare the set again") from None
        if digest != shard["sha256"]:
            raise ValueError(f"{path} is not the shard that was written: prepare the set again")
    index = FaceIndex(folder / "index.npz")
    try:
        splits = index.array("split")
        ends = index.array("jpg_offset") + index.array("jpg_length")
        shards = index.array("shard")
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{folder / 'index.npz'} is damaged ({error}): prepare the set again") from None
    faces = {split: int((splits == i).sum()) for i, split in enumerate(SPLITS)}
    faces = {split: count for split, count in faces.items() if count}
    sizes = [(folder / shard["name"]).stat().st_size for shard in manifest["shards"]]
    inside = all(ends[shards == i].max(initial=0) <= size for i, size in enumerate(sizes))
    if faces != manifest["faces"] or not inside or (len(shards) and shards.max() >= len(sizes)):
        raise ValueError(f"{folder / 'index.npz'} is not that of these shards: prepare the set again")
    return faces

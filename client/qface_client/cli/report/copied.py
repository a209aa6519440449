"""The near copies of a report, with their pictures: those that were kept, or made again of their files."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from ...errors import InvalidInput
from . import copies
from .gathered import Gathered, Hashed
from .pictures import CROP_SIDE, shown_size, small_pictures
from .spool import Kept

MOST_GROUPS = 24  # that are shown, of photos and of faces each
MOST_IN_GROUP = 6
Key = tuple[int, int]  # a photo's number and a face's; 0: the whole photo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy:
    """One of a group. picture: None where its file can't be read any more. bits: by how many its hash differs
    from the group's first, None for that itself."""

    name: str
    size: tuple[int, int]  # of the photo
    picture: bytes | None
    picture_size: tuple[int, int]
    bits: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopyGroup:
    """Near copies of each other; `copies` are the first of them, `count` is how many there are."""

    copies: Sequence[Copy]
    count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copies:
    """All near copies of a run. left_out: groups that are not shown."""

    photos: Sequence[CopyGroup]
    faces: Sequence[CopyGroup]
    left_out: int


def find_copies(gathered: Gathered, *, read: Callable[[Kept], bytes]) -> Copies:
    """Groups of photos, and of faces whose photos are no copies of each other."""
    kept = _kept_pictures(gathered)

    def shown(found: Sequence[Sequence[Key]]) -> list[CopyGroup]:
        return [_group(group, gathered, kept=kept, read=read) for group in found[:MOST_GROUPS]]

    photos = copies.groups({key: bits for key, bits in gathered.hashes.items() if not key[1]})
    same_photo = {key[0]: number for number, group in enumerate(photos) for key in group}
    faces = [
        group
        for group in copies.groups({key: bits for key, bits in gathered.hashes.items() if key[1]})
        if len({same_photo.get(photo, (photo,)) for photo, _ in group}) > 1
    ]
    left_out = max(0, len(photos) - MOST_GROUPS) + max(0, len(faces) - MOST_GROUPS)
    return Copies(photos=shown(photos), faces=shown(faces), left_out=left_out)


def _kept_pictures(gathered: Gathered) -> dict[Key, Kept]:
    """The pictures that the report has anyway."""
    kept: dict[Key, Kept] = {}
    for photo in (*gathered.shown, *gathered.faceless):
        for key, picture in [(0, photo.thumbnail), *((face.number, face.crop) for face in photo.faces)]:
            if picture is not None:
                kept[photo.index, key] = picture
    return kept


def _group(
    group: Sequence[Key],
    gathered: Gathered,
    *,
    kept: Mapping[Key, Kept],
    read: Callable[[Kept], bytes],
) -> CopyGroup:
    first = gathered.hashes[group[0]]
    found = []
    for place, key in enumerate(group[:MOST_IN_GROUP]):
        hashed = gathered.hashed[key]
        found.append(
            Copy(
                name=hashed.name,
                size=hashed.size,
                picture=read(kept[key]) if key in kept else _made_again(hashed, bits=gathered.hashes[key]),
                picture_size=(CROP_SIDE, CROP_SIDE) if hashed.box else shown_size(hashed.size),
                bits=copies.distance(first, gathered.hashes[key]) if place else None,
            )
        )
    return CopyGroup(copies=found, count=len(group))


def _made_again(hashed: Hashed, *, bits: int) -> bytes | None:
    """The picture of a file; None where that is another one by now, or can't be read."""
    boxes = [] if hashed.box is None else [hashed.box]
    try:
        made = small_pictures(hashed.name, name=hashed.name, size=hashed.size, boxes=boxes)
    except InvalidInput:
        return None
    found, picture = (made.face_hashes[0], made.crops[0]) if boxes else (made.photo_hash, made.thumbnail)
    # A photo is decoded at a size that its faces need: of the same one some bits may differ.
    return None if found is None or copies.distance(found, bits) > copies.MOST_BITS else picture

"""Any folder of photos, without labels: for pretraining, and for teachers to label.

Every picture below the folder is read, in the order of the paths; the central face of each is taken.
All are for training.
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.reader import Expected, LayoutError, Reader
from training.data.sample import BadSample, Sample

_PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture, in the order of the paths."""
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in _PICTURES and path.is_file())
    if not paths:
        raise LayoutError(f"there is no photo in {source}: name a folder with .jpg, .png or .webp files")
    for path in paths:
        yield Sample(key=path.relative_to(source).as_posix(), picture=path, split="train")


READER = Reader(
    name="photos",
    title="A folder of photos",
    licence="as the photos'",
    tasks=(),
    tree="any/folders/any.jpg",
    expected=Expected(counts={}),
    read=read,
)

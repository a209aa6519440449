"""The corpus: hostile and odd files, each with what has to become of it; the same ones at every run."""

from collections.abc import Iterator

from tests.hostile.pictures.damaged import damaged_files
from tests.hostile.pictures.exif import exif_files
from tests.hostile.pictures.files import HostileFile
from tests.hostile.pictures.jpeg import jpegs
from tests.hostile.pictures.others import other_files
from tests.hostile.pictures.png import pngs
from tests.hostile.pictures.webp import webps_and_ppms


def corpus() -> Iterator[HostileFile]:
    """All files, one after the other, as some are large."""
    yield from jpegs()
    yield from pngs()
    yield from webps_and_ppms()
    yield from exif_files()
    yield from other_files()
    yield from damaged_files()

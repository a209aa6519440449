"""A source of one's own, opened: what it labels, and its samples.

A form (a table, a folder by class) is a module of this package; `open_source` takes the one that fits.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from training.data.sample import BadSample, Sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a source does not say itself."""

    task: str | None = None  # of folders by class, COCO's categories and .cls files
    root: Path | None = None  # where the pictures' paths begin; None: beside the file
    split: str | None = None  # of what states none; None: by a hash of the person or the picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnSource:
    """A source that was understood."""

    form: str  # "csv", "folders", "coco", "webdataset"
    tasks: tuple[str, ...]
    read: Callable[[], Iterator[Sample | BadSample]]  # in a fixed order, as often as it is called
    columns: Mapping[str, str]  # what was found, and what it means, for people
    not_read: Sequence[str] = ()  # what lies in it and is no row of it, a sentence each

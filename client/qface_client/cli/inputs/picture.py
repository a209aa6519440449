"""One picture of a command line."""

import dataclasses
from pathlib import PurePath


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture to send.

    name: as it is printed. photo: what the client takes: a path, or the bytes of standard input.
    place: its path below a folder for what is made of it; that of a picture found in a folder is the same.
    """

    name: str
    photo: str | bytes
    place: PurePath

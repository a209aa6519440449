"""What was probably meant where a picture is none."""

import os
import re

from .picture import Picture

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LINE = 4096  # bytes: no path is longer


def is_address(name: str) -> bool:
    """Whether a name is that of something elsewhere."""
    return _ADDRESS.match(name) is not None


def hint(picture: Picture) -> str:
    """The end of a sentence about a picture that can't be used; empty where nothing better is known."""
    if isinstance(picture.photo, bytes):
        first = re.split(rb"[\r\n\0]", picture.photo[:_LINE], maxsplit=1)[0]
        listed = first and os.path.lexists(os.fsdecode(first))
        return "; these are names of files: --files-from - reads them" if listed else ""
    if is_address(picture.name):
        return "; this is an address: fetch it, `curl -s ADDRESS | qface analyze -`"
    return ""

"""The sorts of things that a caller may give as a picture."""

import os
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image  # imported where a picture needs it: it takes as long as all else
    from typing_extensions import TypeIs


class Readable(Protocol):
    """A binary file object."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Picture(Protocol):
    """A picture of Pillow (`PIL.Image.Image`), which is imported only where one is there."""

    @property
    def mode(self) -> str:
        """Its sort of pixels: "RGB", "L" ..."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, before its EXIF rotation."""
        ...

    def getexif(self) -> Any:
        """Its EXIF data, with its orientation."""
        ...


# A picture as a caller may give it.
Photo: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | NDArray[Any] | Picture


def is_pillow(photo: Any) -> "TypeIs[Image.Image]":
    """Whether it is a picture of Pillow."""
    # Whose module is there if there is a picture of it.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(photo, module.Image)


def is_pixels(photo: Any) -> bool:
    """Whether a picture is decoded already."""
    return isinstance(photo, np.ndarray) or is_pillow(photo)

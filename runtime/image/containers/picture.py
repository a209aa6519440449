"""What is known of an encoded picture before it is decoded, and how its container can be at fault."""

from dataclasses import dataclass
from typing import Literal

from runtime.errors import InvalidImage

Format = Literal["JPEG", "PNG", "WebP", "PPM"]

# A picture has some hundreds of segments, a huge PNG some ten thousand chunks; a file made of nothing
# else would keep a server busy.
MAX_SEGMENTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A complete encoded picture.

    width and height are pixels as stored, before `orientation` (Exif: 1 is upright, 2 to 8 mirrored or
    turned) is applied. `encoded` is what to give the decoder. `header` counts the bytes before the
    pixels (PPM only). `clear_grey` is the stored grey value that means transparent (PNG only).
    `pixel_bytes` is how many bytes a pixel takes, at most, while it is decoded: channels x depth.
    """

    format: Format
    width: int
    height: int
    orientation: int
    encoded: bytes
    header: int = 0
    pixel_bytes: int = 3
    clear_grey: int | None = None


def cut_short(form: Format, data: bytes) -> InvalidImage:
    """The error for a file that ends too early."""
    return InvalidImage(f"The {form} is cut short: it ends after {len(data):,} bytes; send the whole file.")


def too_fragmented(form: Format, most: str) -> InvalidImage:
    """The error for a file that would keep a server busy with its parts."""
    return InvalidImage(f"The {form} consists of more than {most}, as no picture does; save it again.")


def damaged(form: Format, fault: str) -> InvalidImage:
    """The error for a file that contradicts its format."""
    return InvalidImage(f"The {form} is damaged: {fault}; save or send it again.")

"""What is known of an encoded picture before it is decoded, and how its container can be at fault."""

from dataclasses import dataclass
from typing import Literal

from runtime.errors import InvalidImage

Format = Literal["JPEG", "PNG", "WebP", "PPM"]

# A picture has some hundreds of segments, and large ones have long segments: a file made of nothing but short
# ones would keep a server busy with its structure.
_SEGMENTS = 1_000
_BYTES_PER_SEGMENT = 256


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A complete encoded picture.

    width and height are pixels as stored, before `orientation` (Exif: 1 is upright, 2 to 8 mirrored or
    turned) is applied. `encoded` is what to give the decoder. `header` counts the bytes before the
    pixels (PPM only). `clear_grey` is the stored grey value that means transparent (PNG only).
    `pixel_bytes` is how many bytes a pixel takes, at most, while it is decoded: channels x depth.
    `scans` is how often a decoder goes over all samples: 1, but for JPEG files of several scans, of which
    each counts by its part of the samples (an ordinary progressive one: 10 scans, 5 times all samples).
    `ordinary` is a JPEG that every decoder makes the same pixels of: baseline or progressive, Huffman-coded,
    grey or YCbCr, with the colour at full or at half resolution.
    """

    format: Format
    width: int
    height: int
    orientation: int
    encoded: bytes
    header: int = 0
    pixel_bytes: int = 3
    clear_grey: int | None = None
    scans: float = 1.0
    ordinary: bool = False


def max_segments(data: bytes) -> int:
    """Of how many segments or chunks a file of this size may consist."""
    return _SEGMENTS + len(data) // _BYTES_PER_SEGMENT


def cut_short(form: Format, data: bytes) -> InvalidImage:
    """The error for a file that ends too early."""
    return InvalidImage(f"The {form} is cut short: it ends after {len(data):,} bytes; send the whole file.")


def too_fragmented(form: Format, most: str) -> InvalidImage:
    """The error for a file that would keep a server busy with its parts."""
    return InvalidImage(f"The {form} consists of more than {most}, as no picture does; save it again.")


def damaged(form: Format, fault: str) -> InvalidImage:
    """The error for a file that contradicts its format."""
    return InvalidImage(f"The {form} is damaged: {fault}; save or send it again.")

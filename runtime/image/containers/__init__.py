"""The size, orientation and completeness of an encoded picture, read before a single pixel is decoded.

The containers are walked to their end because decoders don't report it: a file that was cut short comes
back from them grey at the bottom or not at all, and a size that no machine can hold is noticed only when the
memory is gone. One module a format.
"""

from runtime.errors import InvalidImage
from runtime.image.containers import jpeg, png, ppm, webp
from runtime.image.containers.exif import exif_orientation
from runtime.image.containers.picture import Picture
from runtime.image.containers.unsupported import format_name

__all__ = ["Picture", "exif_orientation", "read_container"]

_ACCEPTED = "send a JPEG, PNG or WebP file"


def read_container(data: bytes) -> Picture:
    """Walks the file `data` to its end and returns what its container states.

    Raises InvalidImage for what is empty, another format, damaged or cut short.
    """
    if not data:
        raise InvalidImage(f"The picture is empty (0 bytes); {_ACCEPTED}.")
    if data.startswith(jpeg.SIGNATURE):
        picture = jpeg.read_jpeg(data)
    elif data.startswith(png.SIGNATURE):
        picture = png.read_png(data)
    elif webp.is_webp(data):
        picture = webp.read_webp(data)
    elif data.startswith(ppm.SIGNATURE):
        picture = ppm.read_ppm(data)
    elif name := format_name(data):
        raise InvalidImage(f"What was sent is {name}, which is not accepted; {_ACCEPTED}.")
    else:
        raise InvalidImage(f"The {len(data):,} bytes sent are not a picture that is known here; {_ACCEPTED}.")
    if picture.width < 1 or picture.height < 1:
        raise InvalidImage(
            f"The {picture.format} says that it is {picture.width} x {picture.height} pixels; "
            "send a picture with at least one pixel."
        )
    return picture

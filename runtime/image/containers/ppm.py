"""PPM, binary: raw pixels behind a short header. Source: the Netpbm manual."""

import re

from runtime.errors import InvalidImage
from runtime.image.containers.picture import Picture, cut_short, damaged

SIGNATURE = b"P6"
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(
    rb"P6" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})(?:#[^\r\n]*[\r\n])?\s"
)


def read_ppm(data: bytes) -> Picture:
    """Reads the header; the pixels must all be there."""
    found = _HEADER.match(data[:4096])
    if found is None:
        raise damaged("PPM", "its header is not 'P6 WIDTH HEIGHT 255'")
    width, height, maximum = (int(number) for number in found.groups())
    if maximum != 255:
        raise InvalidImage(f"The PPM's largest value is {maximum}; send one of 255 (8 bits).")
    if len(data) - found.end() < width * height * 3:
        raise cut_short("PPM", data)
    return Picture(format="PPM", width=width, height=height, orientation=1, encoded=data, header=found.end())

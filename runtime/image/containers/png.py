"""PNG. Source: the PNG specification, third edition."""

import struct
import zlib
from collections.abc import Iterator

from runtime.image.containers.exif import exif_orientation
from runtime.image.containers.picture import Picture, cut_short, damaged, max_segments, too_fragmented

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What pixels depend on. Other chunks (profiles, texts, further frames) are kept from the decoder,
# which would warn of faults in them that don't matter here.
_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def read_png(data: bytes) -> Picture:
    """Reads every chunk up to the end of the picture."""
    header: tuple[int, ...] | None = None
    orientation: int | None = None
    clear_grey, seen = None, set()
    needed = [SIGNATURE]
    for kind, body, whole in _chunks(data):
        if header is None:
            if kind != b"IHDR" or len(body) != 13:
                raise damaged("PNG", "it does not begin with its header")
            header = struct.unpack(">IIBBBBB", body)
            depth, color = header[2:4]
            if depth not in _DEPTHS.get(color, ()) or header[4:] not in ((0, 0, 0), (0, 0, 1)):
                raise damaged("PNG", "its header names a kind of pixels that PNG does not have")
        elif kind == b"IHDR":
            raise damaged("PNG", "it has two headers")
        elif kind == b"eXIf" and orientation is None:
            orientation = exif_orientation(body)
        elif kind == b"tRNS" and color == 0:
            # OpenCV overlooks the transparent value of grey pictures, so the decoder gets it from here.
            clear_grey = int.from_bytes(body[:2], "big")
            continue
        seen.add(kind)
        if kind in _NEEDED:
            needed.append(whole)
    assert header is not None
    if b"IDAT" not in seen:
        raise damaged("PNG", "it holds no pixels")
    if color == 3 and b"PLTE" not in seen:
        raise damaged("PNG", "its palette is missing")
    return Picture(
        format="PNG",
        width=header[0],
        height=header[1],
        orientation=orientation or 1,
        encoded=b"".join(needed),
        pixel_bytes=_pixel_bytes(color=color, depth=depth, alpha=b"tRNS" in seen),
        clear_grey=None if clear_grey is None else clear_grey * (255 // (2 ** min(depth, 8) - 1)),
    )


def _pixel_bytes(*, color: int, depth: int, alpha: bool) -> int:
    """OpenCV keeps grey as one channel without alpha, everything else as three, or four with it."""
    channels = 1 if color == 0 else 4 if alpha or color in (4, 6) else 3
    return channels * (2 if depth == 16 else 1)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(type, body, whole chunk) up to and with IEND; checksums are checked on the way."""
    at, most = len(SIGNATURE), max_segments(data)
    for _ in range(most):
        if at + 12 > len(data):
            raise cut_short("PNG", data)
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        kind = data[at + 4 : at + 8]
        if not kind.isalpha():
            raise damaged("PNG", f"no chunk begins at byte {at}")
        if end > len(data):
            raise cut_short("PNG", data)
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise damaged("PNG", f"the checksum of the chunk at byte {at} is wrong")
        yield kind, data[at + 8 : end - 4], data[at:end]
        if kind == b"IEND":
            return
        at = end
    raise too_fragmented("PNG", f"{most:,} chunks")

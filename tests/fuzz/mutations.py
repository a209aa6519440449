"""Changes to bytes at random, and those that leave a picture's container whole."""

import random
import struct
import zlib

from tests.fuzz.target import Change

_PNG = b"\x89PNG\r\n\x1a\n"
_SIDES = (0, 1, 2, 7, 8, 9, 16, 17, 31, 33, 64, 100, 255, 256, 300, 1000, 4096, 16383, 16384, 65500, 65535)
# SOF markers: baseline, extended, progressive, lossless, and both of arithmetic coding.
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA)
_LARGEST_ROWS = 1 << 16  # bytes of a PNG's pixels that are unpacked to be changed
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 127, 128, 255, 256, 257, 32767, 32768, 65535, 65536, 1 << 31)
_WORDS = (
    b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0",
    b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0",
    b"\xff\xdd\0\4\0\1",
    b"\xff\xd0",
    b"\xff\xda\0\x08\1\1\0\0\x3f\0",
    b"\xff\xc2\0\x0b\x08\0\1\xff\xff\1\1\x44\0",
    b"VP8X\x0a\0\0\0\2\0\0\0\xff\xff\0\xff\xff\0",
    b"ANMF",
    b"ALPH",
)


def change_bytes(numbers: random.Random, *, words: tuple[bytes, ...] = _WORDS) -> Change:
    """A Change that needs no fuzzer: flips, numbers, words, cuts and copies."""

    def change(data: bytes, most: int) -> bytes:
        changed = bytearray(data)
        for _ in range(numbers.choice((1, 1, 1, 2, 3, 8))):
            at = numbers.randrange(len(changed) + 1)
            kind = numbers.randrange(6)
            if kind == 0 and at < len(changed):
                changed[at] ^= 1 << numbers.randrange(8)
            elif kind == 1:
                form = numbers.choice((">B", ">H", "<H", ">I", "<I"))
                limit = 256 ** struct.calcsize(form)
                number = struct.pack(form, numbers.choice(_NUMBERS) % limit)
                changed[at : at + len(number)] = number
            elif kind == 2:
                changed[at:at] = numbers.choice(words)
            elif kind == 3:
                del changed[at : at + numbers.randrange(1, 32)]
            elif kind == 4:
                changed[at:at] = changed[at : at + numbers.randrange(1, 64)]
            else:
                changed[at : at + 1] = numbers.randbytes(1)
        return bytes(changed[:most])

    return change


def mutate_picture(data: bytes, most: int, numbers: random.Random, change: Change) -> bytes:
    """A picture with a part changed, doubled, moved or lost; mostly lengths and checksums follow."""
    parts = split(data)
    kind = numbers.randrange(9)
    if kind <= 1 or len(parts) < 2:
        changed = change(data, most)
        return repaired(changed)[:most] if kind else changed
    at, other = numbers.randrange(len(parts)), numbers.randrange(len(parts))
    if kind == 2:
        del parts[at]
    elif kind == 3:
        parts.insert(other, parts[at])
    elif kind == 4:
        parts[at], parts[other] = parts[other], parts[at]
    elif kind == 5:
        parts.insert(at, numbers.choice(_WORDS))
    elif kind == 6:
        parts = [_resized(part, numbers) for part in parts]
    elif kind == 7 and parts[at][4:8] == b"IDAT":
        parts[at] = _with_changed_rows(parts[at], change)
    else:
        parts[at] = change(parts[at], most)
    return repaired(b"".join(parts))[:most]


def split(data: bytes) -> list[bytes]:
    """A picture's parts: chunks of a PNG or WebP, segments of a JPEG, else all in one."""
    if data.startswith(_PNG):
        return [_PNG, *_chunks(data, len(_PNG), order=">", more=12, even=False)]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return [data[:12], *_chunks(data, 12, order="<", more=8, even=True)]
    if data.startswith(b"\xff\xd8"):
        starts = [
            at
            for at in range(len(data) - 1)
            if data[at] == 0xFF and data[at + 1] not in (0, 0xFF) and data[at + 1] & 0xF8 != 0xD0
        ]
        starts = [at for at in (0, *starts) if at == 0 or at > 1]
        return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
    return [data]


def repaired(data: bytes) -> bytes:
    """A PNG with the right lengths and checksums, a WebP with the right length; other bytes as they are."""
    if data.startswith(_PNG):
        whole = _PNG
        for part in _chunks(data, len(_PNG), order=">", more=12, even=False):
            body = part[4:-4] if len(part) >= 12 else part[4:].ljust(4, b"a")
            whole += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return whole
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return data[:4] + struct.pack("<I", max(4, len(data) - 8)) + data[8:]
    return data


def _chunks(data: bytes, at: int, *, order: str, more: int, even: bool) -> list[bytes]:
    """Chunks of a length and a name; the last takes what is left where it is longer than that."""
    chunks = []
    while at < len(data):
        place = at if order == ">" else at + 4
        length = struct.unpack_from(order + "I", data, place)[0] if place + 4 <= len(data) else 0
        size = more + length + (length % 2 if even else 0)
        chunks.append(data[at : at + size])
        at += size
    return chunks


def _resized(part: bytes, numbers: random.Random) -> bytes:
    """A part that states a picture's size with another one; other parts as they are."""
    width, height = numbers.choice(_SIDES), numbers.choice(_SIDES)
    if part[:1] == b"\xff" and part[1:2] in {bytes([marker]) for marker in _FRAMES}:
        marker = numbers.choice((part[1], part[1], numbers.choice(_FRAMES)))
        return part[:1] + bytes([marker]) + part[2:5] + struct.pack(">HH", height, width) + part[9:]
    if part[4:8] == b"IHDR":
        return part[:8] + struct.pack(">II", width, height) + part[16:]
    if part[:4] == b"VP8X":
        return part[:12] + struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3] + part[18:]
    if part[:4] == b"VP8 ":
        return part[:14] + struct.pack("<HH", width, height) + part[18:]
    if part[:4] == b"VP8L":
        bits = (width & 0x3FFF) | (height & 0x3FFF) << 14
        return part[:9] + struct.pack("<I", bits) + part[13:]
    return part


def _with_changed_rows(part: bytes, change: Change) -> bytes:
    """An IDAT chunk whose pixels, not their compressed form, are changed."""
    try:
        rows = zlib.decompressobj().decompress(part[8:-4], _LARGEST_ROWS)
    except zlib.error:
        return part
    return part[:8] + zlib.compress(change(rows, _LARGEST_ROWS), 1) + part[-4:]

"""JPEG. Source: ITU-T T.81, annex B."""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from runtime.errors import InvalidImage
from runtime.image.containers.exif import exif_orientation
from runtime.image.containers.picture import Picture, cut_short, damaged, too_fragmented

SIGNATURE = b"\xff\xd8"
# Progressive JPEGs have about ten scans.
MAX_SCANS = 100
# Pictures have some ten; what cameras and editors attach lies in segments of 64 KB, of which the largest file
# accepted has room for a thousand.
MAX_SEGMENTS = 2_000

_NO_FILL = re.compile(rb"[^\xff]", re.DOTALL)
# Bytes that are searched at once: other threads have to wait meanwhile.
_WINDOW = 128 * 1024
_FIRST_WINDOW = 64 * 1024  # of a scan, of which a progressive JPEG may have many short ones
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_RST0, _SOI, _EOI, _SOS, _DRI, _APP1, _APP14 = 0xD0, 0xD8, 0xD9, 0xDA, 0xDD, 0xE1, 0xEE
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
# (number, sampling across and down) of each component of a grey JPEG, and of those in YCbCr.
_ORDINARY = [[(1, 0x11)], *([(1, luma), (2, 0x11), (3, 0x11)] for luma in (0x11, 0x21, 0x12, 0x22))]
_ADOBE_YCBCR = 1


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """shares: by component's number, its part of all samples. ordinary: as in `Picture`."""

    width: int
    height: int
    shares: Mapping[int, float]
    ordinary: bool


def read_jpeg(data: bytes) -> Picture:
    """Walks the segments up to the end marker. What follows it (some cameras append) is of no concern."""
    frame: _Frame | None = None
    orientation: int | None = None
    other_colors = False  # than YCbCr, by Adobe's segment
    restarts, scans, passes, at = False, 0, 0.0, 2
    for _ in range(MAX_SEGMENTS):
        marker, at = _marker(data, at)
        if marker == _EOI:
            break
        # A restart marker here has no length for a decoder, which would find segments in what follows.
        if marker < 0xC0 or marker & 0xF8 == _RST0 or marker == _SOI or (scans and marker in _FRAMES):
            raise damaged("JPEG", f"an unexpected marker {marker:02X} stands before byte {at}")
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, 2) > len(data):
            raise cut_short("JPEG", data)
        if length < 2:
            raise damaged("JPEG", f"the segment at byte {at} has no length")
        segment = data[at + 2 : at + length]
        at += length
        if marker in _FRAMES and frame is None:
            frame = _frame(segment, marker=marker)
        elif marker == _DRI:
            restarts = any(segment[:2])
        elif marker == _APP1 and segment.startswith(b"Exif\0\0") and orientation is None:
            orientation = exif_orientation(segment[6:])
        elif marker == _APP14 and segment.startswith(b"Adobe"):
            other_colors = segment[11:12] != bytes([_ADOBE_YCBCR])
        elif marker == _SOS:
            if frame is None:
                raise damaged("JPEG", "its pixels come before its size")
            at = _scan_end(data, at, restarts=restarts)
            scans += 1
            passes += _share(segment, frame)
            if scans > MAX_SCANS:
                raise too_fragmented("JPEG", f"{MAX_SCANS} scans")
    else:
        raise too_fragmented("JPEG", f"{MAX_SEGMENTS:,} segments")
    if frame is None or not scans:
        raise damaged("JPEG", "it holds no pixels")
    return Picture(
        format="JPEG",
        width=frame.width,
        height=frame.height,
        orientation=orientation or 1,
        encoded=data,
        scans=passes,
        ordinary=frame.ordinary and not other_colors,
    )


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at a position (after any fill bytes) and the position behind it."""
    if data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xff" and at + 1 < len(data):
        return data[at + 1], at + 2  # as nearly always: without fill bytes
    found = _find(_NO_FILL, data, at)
    if found == at:
        raise damaged("JPEG", f"byte {at} should begin a segment and does not")
    return data[found], found + 1


def _find(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """Where the pattern, of one byte, is found first from a position on."""
    for start in range(at, len(data), _WINDOW):
        found = pattern.search(data, start, start + _WINDOW)
        if found:
            return found.start()
    raise cut_short("JPEG", data)


def _frame(segment: bytes, *, marker: int) -> _Frame:
    if len(segment) < 6:
        raise damaged("JPEG", "its frame header is too short")
    bits, height, width, components = struct.unpack(">BHHB", segment[:6])
    if bits != 8 or components not in (1, 3, 4) or marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        raise InvalidImage(
            f"This JPEG's kind ({bits} bits, {components} components, type {marker:02X}) can't be decoded; "
            "save it as an ordinary 8-bit JPEG."
        )
    # Of each component: its number, and how densely it is sampled across and down, 1 to 4.
    numbers, factors = segment[6::3][:components], segment[7::3][:components]
    samples = [(factor >> 4) * (factor & 15) for factor in factors]
    if len(segment) < 6 + 3 * components or not all(1 <= count <= 16 for count in samples):
        raise damaged("JPEG", "its frame header names no usable components")
    return _Frame(
        width=width,
        height=height,
        shares={number: count / sum(samples) for number, count in zip(numbers, samples, strict=True)},
        ordinary=marker in (_BASELINE, _PROGRESSIVE)
        and list(zip(numbers, factors, strict=True)) in _ORDINARY,
    )


def _share(scan: bytes, frame: _Frame) -> float:
    """The part of the picture's samples that a scan goes over, by its header."""
    numbers = scan[1 : 1 + 2 * scan[0] : 2] if scan else b""
    if not numbers or any(number not in frame.shares for number in numbers):
        raise damaged("JPEG", "a scan names no component, or one that the picture lacks")
    return sum(frame.shares[number] for number in numbers)


def _data_end(data: bytes, at: int, *, restarts: bool) -> int:
    """Where compressed data from `at` ends: at a marker, which is neither a stuffed 00 nor a fill byte FF.

    Where restart markers are announced, they belong to the data.
    """
    window = _FIRST_WINDOW
    while at + 1 < len(data):
        part = np.frombuffer(data, np.uint8, count=min(window + 1, len(data) - at), offset=at)
        # Several times as fast as a regular expression, which looks at each FF by itself.
        ends = part[1:] + np.uint8(1) > 1
        ends &= part[:-1] == 0xFF
        if restarts:
            ends &= part[1:] & 0xF8 != _RST0
        found = int(ends.argmax())
        if ends[found]:
            return at + found
        at += window
        window = min(2 * window, _WINDOW)
    raise cut_short("JPEG", data)


def _scan_end(data: bytes, at: int, *, restarts: bool) -> int:
    """Where the compressed data from `at` ends. Restart markers must count 0 to 7 over and over."""
    end = _data_end(data, at, restarts=restarts)
    in_order = restarts or data[end + 1] & 0xF8 != _RST0
    count = 0
    for start in range(at, end if restarts else at, _WINDOW):
        part = np.frombuffer(data, np.uint8, count=min(_WINDOW + 1, end - start), offset=start)
        numbers = part[1:][(part[:-1] == 0xFF) & (part[1:] & 0xF8 == _RST0)] & 7
        in_order = in_order and bool((numbers == (count + np.arange(numbers.size)) % 8).all())
        count += numbers.size
    if not in_order:
        raise damaged("JPEG", "its restart markers are out of order")
    return end

"""Arithmetic-coded JPEG, which no library here writes. Source: ITU-T T.81, annexes D and F.1.4."""

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

# Table D.3: Qe, next state after the less probable symbol, after the more probable one, exchange. The last
# one is the state that never changes, for signs.
_STATES = (
    (0x5A1D, 1, 1, 1), (0x2586, 14, 2, 0), (0x1114, 16, 3, 0), (0x080B, 18, 4, 0), (0x03D8, 20, 5, 0),
    (0x01DA, 23, 6, 0), (0x00E5, 25, 7, 0), (0x006F, 28, 8, 0), (0x0036, 30, 9, 0), (0x001A, 33, 10, 0),
    (0x000D, 35, 11, 0), (0x0006, 9, 12, 0), (0x0003, 10, 13, 0), (0x0001, 12, 13, 0), (0x5A7F, 15, 15, 1),
    (0x3F25, 36, 16, 0), (0x2CF2, 38, 17, 0), (0x207C, 39, 18, 0), (0x17B9, 40, 19, 0), (0x1182, 42, 20, 0),
    (0x0CEF, 43, 21, 0), (0x09A1, 45, 22, 0), (0x072F, 46, 23, 0), (0x055C, 48, 24, 0), (0x0406, 49, 25, 0),
    (0x0303, 51, 26, 0), (0x0240, 52, 27, 0), (0x01B1, 54, 28, 0), (0x0144, 56, 29, 0), (0x00F5, 57, 30, 0),
    (0x00B7, 59, 31, 0), (0x008A, 60, 32, 0), (0x0068, 62, 33, 0), (0x004E, 63, 34, 0), (0x003B, 32, 35, 0),
    (0x002C, 33, 9, 0), (0x5AE1, 37, 37, 1), (0x484C, 64, 38, 0), (0x3A0D, 65, 39, 0), (0x2EF1, 67, 40, 0),
    (0x261F, 68, 41, 0), (0x1F33, 69, 42, 0), (0x19A8, 70, 43, 0), (0x1518, 72, 44, 0), (0x1177, 73, 45, 0),
    (0x0E74, 74, 46, 0), (0x0BFB, 75, 47, 0), (0x09F8, 77, 48, 0), (0x0861, 78, 49, 0), (0x0706, 79, 50, 0),
    (0x05CD, 48, 51, 0), (0x04DE, 50, 52, 0), (0x040F, 50, 53, 0), (0x0363, 51, 54, 0), (0x02D4, 52, 55, 0),
    (0x025C, 53, 56, 0), (0x01F8, 54, 57, 0), (0x01A4, 55, 58, 0), (0x0160, 56, 59, 0), (0x0125, 57, 60, 0),
    (0x00F6, 58, 61, 0), (0x00CB, 59, 62, 0), (0x00AB, 61, 63, 0), (0x008F, 61, 32, 0), (0x5B12, 65, 65, 1),
    (0x4D04, 80, 66, 0), (0x412C, 81, 67, 0), (0x37D8, 82, 68, 0), (0x2FE8, 83, 69, 0), (0x293C, 84, 70, 0),
    (0x2379, 86, 71, 0), (0x1EDF, 87, 72, 0), (0x1AA9, 87, 73, 0), (0x174E, 72, 74, 0), (0x1424, 72, 75, 0),
    (0x119C, 74, 76, 0), (0x0F6B, 74, 77, 0), (0x0D51, 75, 78, 0), (0x0BB6, 77, 79, 0), (0x0A40, 77, 48, 0),
    (0x5832, 80, 81, 1), (0x4D1C, 88, 82, 0), (0x438E, 89, 83, 0), (0x3BDD, 90, 84, 0), (0x34EE, 91, 85, 0),
    (0x2EAE, 92, 86, 0), (0x299A, 93, 87, 0), (0x2516, 86, 71, 0), (0x5570, 88, 89, 1), (0x4CA9, 95, 90, 0),
    (0x44D9, 96, 91, 0), (0x3E22, 97, 92, 0), (0x3824, 99, 93, 0), (0x32B4, 99, 94, 0), (0x2E17, 93, 86, 0),
    (0x56A8, 95, 96, 1), (0x4F46, 101, 97, 0), (0x47E5, 102, 98, 0), (0x41CF, 103, 99, 0),
    (0x3C3D, 104, 100, 0), (0x375E, 99, 93, 0), (0x5231, 105, 102, 0), (0x4C0F, 106, 103, 0),
    (0x4639, 107, 104, 0), (0x415E, 103, 99, 0), (0x5627, 105, 106, 1), (0x50E7, 108, 107, 0),
    (0x4B85, 109, 103, 0), (0x5597, 110, 109, 0), (0x504F, 111, 107, 0), (0x5A10, 110, 111, 1),
    (0x5522, 112, 109, 0), (0x59EB, 112, 111, 1), (0x5A1D, 113, 113, 0),
)  # fmt: skip
_SIGN = 113
_DC, _AC = 0, 64  # where the contexts begin
_DC_TAIL, _AC_LOW, _AC_HIGH, _BITS, _LOW = 20, 189, 217, 14, 5
_ZIGZAG = sorted(range(64), key=lambda at: (sum(divmod(at, 8)), divmod(at, 8)[(sum(divmod(at, 8)) + 1) % 2]))
_STEP = 12  # of quantisation, for all coefficients


class _Coder:
    """The encoder of figure D.1 on, with one number of any length in place of its carry logic."""

    def __init__(self) -> None:
        self._interval, self._code, self._shifts = 0x10000, 0, 0
        self._contexts = [[0, 0] for _ in range(_AC + 256)]

    def put(self, context: int | None, bit: int) -> None:
        """One decision; None is the context of signs."""
        state = [_SIGN, 0] if context is None else self._contexts[context]
        estimate, after_less, after_more, exchange = _STATES[state[0]]
        self._interval -= estimate
        if bit != state[1]:
            if self._interval >= estimate:
                self._code += self._interval
                self._interval = estimate
            state[0] = after_less
            state[1] ^= exchange
        else:
            if self._interval >= 0x8000:
                return
            if self._interval < estimate:
                self._code += self._interval
                self._interval = estimate
            state[0] = after_more
        while self._interval < 0x8000:
            self._interval <<= 1
            self._code <<= 1
            self._shifts += 1

    def finish(self) -> bytes:
        bits = self._shifts + 16
        pad = -bits % 8
        return (self._code << pad).to_bytes((bits + pad) // 8, "big").replace(b"\xff", b"\xff\0")


def _put_magnitude(coder: _Coder, context: int, value: int, *, tail: int, low_tail: bool) -> int:
    """A magnitude >= 1 behind its sign; returns its class. `low_tail`: the tail begins one decision later."""
    size, rest = 0, value - 1
    if rest:
        coder.put(context, 1)
        size, left = 1, rest >> 1
        if left and low_tail:
            coder.put(context, 1)
            size, left = 2, left >> 1
            context = tail
        elif not low_tail:
            context = tail
        while left:
            coder.put(context, 1)
            size, left, context = size << 1, left >> 1, context + 1
    coder.put(context, 0)
    bit = size >> 1
    while bit:
        coder.put(context + _BITS, int(bool(bit & rest)))
        bit >>= 1
    return size


def _put_block(coder: _Coder, block: list[int], *, before: int, conditioning: int) -> int:
    """One block of 64 in zigzag order; returns the conditioning of the next DC difference."""
    difference = block[0] - before
    context = _DC + conditioning
    coder.put(context, int(difference != 0))
    conditioning = 0
    if difference:
        coder.put(context + 1, int(difference < 0))
        context += 2 if difference > 0 else 3
        size = _put_magnitude(coder, context, abs(difference), tail=_DC + _DC_TAIL, low_tail=False)
        conditioning = (4 if difference > 0 else 8) + (8 if size > 1 else 0)
    last = max((at for at in range(1, 64) if block[at]), default=0)
    at = 1
    while at <= last:
        context = _AC + 3 * (at - 1)
        coder.put(context, 0)
        while not block[at]:
            coder.put(context + 1, 0)
            context, at = context + 3, at + 1
        coder.put(context + 1, 1)
        coder.put(None, int(block[at] < 0))
        tail = _AC + (_AC_LOW if at <= _LOW else _AC_HIGH)
        _put_magnitude(coder, context + 2, abs(block[at]), tail=tail, low_tail=True)
        at += 1
    if at < 64:
        coder.put(_AC + 3 * (at - 1), 1)
    return conditioning


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def arithmetic_jpeg(grey: NDArray[np.uint8]) -> bytes:
    """A grey picture [H, W] as a sequential arithmetic-coded JPEG (SOF9); sides are multiples of 8."""
    height, width = grey.shape
    coder, before, conditioning = _Coder(), 0, 0
    for top in range(0, height, 8):
        for left in range(0, width, 8):
            tile = grey[top : top + 8, left : left + 8].astype(np.float32) - 128
            block = np.rint(cv2.dct(tile) / _STEP).astype(int).reshape(-1)[_ZIGZAG].tolist()
            conditioning = _put_block(coder, block, before=before, conditioning=conditioning)
            before = block[0]
    return _around(width, height, marker=0xC9, scan=b"\1\1\0\0\x3f\0", data=coder.finish())


def empty_progressive(*, width: int, height: int) -> bytes:
    """A progressive arithmetic-coded JPEG (SOF10) whose one scan is empty: a decoder reads zeros."""
    return _around(width, height, marker=0xCA, scan=b"\1\1\0\0\0\0", data=b"")


def _around(width: int, height: int, *, marker: int, scan: bytes, data: bytes) -> bytes:
    frame = struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0)
    tables = _segment(0xDB, b"\0" + bytes([_STEP] * 64))
    return b"\xff\xd8" + tables + _segment(marker, frame) + _segment(0xDA, scan) + data + b"\xff\xd9"

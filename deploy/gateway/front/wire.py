"""The protobuf wire format, as far as a forwarder needs it: where the fields of a message lie.

A request of many megabytes is one field of raw tensor bytes and a little around it. Knowing where that field
lies, the rest is parsed by protobuf alone, and the bytes are neither copied nor unpacked.
"""

from collections.abc import Iterator

LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}  # bytes of a value, by wire type
_VARINT_BYTES = 10
_SHORT_VARINT_BYTES = 5  # of a tag or a length: more are not read by every parser, however small the number
_LARGEST_TAG = (1 << 32) - 1


def fields(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Each field of a message: (number, wire type, start of its tag, start of its value, end of its value).

    Of a length-delimited field the value is what follows the length. ValueError where the bytes are no
    message, and for groups, which no message of the protocol has.
    """
    position, size = 0, len(data)
    while position < size:
        begin = position
        tag = data[position]
        position += 1
        if tag >= 0x80:
            tag, position = _varint(data, begin, longest=_SHORT_VARINT_BYTES)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag > _LARGEST_TAG:
            raise ValueError("a field has a number that can't be")
        if kind == LENGTH_DELIMITED:
            if position >= size:
                raise ValueError("a field has no length")
            length = data[position]
            position += 1
            if length >= 0x80:
                length, position = _varint(data, position - 1, longest=_SHORT_VARINT_BYTES)
            end = position + length
        elif kind == 0:
            _, end = _varint(data, position)
        elif kind in _FIXED:
            end = position + _FIXED[kind]
        else:
            raise ValueError(f"a field has the wire type {kind}")
        if end > size:
            raise ValueError("a field is longer than the message")
        yield number, kind, begin, position, end
        position = end


def _varint(data: bytes, position: int, *, longest: int = _VARINT_BYTES) -> tuple[int, int]:
    """The number that begins at `position`, and where it ends."""
    value = 0
    for index in range(longest):
        if position + index >= len(data):
            break
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("a number has no end")

"""Changes to a protobuf message field by field: of whatever bytes, a message of the type comes out."""

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import DecodeError

from tests.fuzz.target import Change
from tests.helpers.hostile_requests import DATATYPES

_INTEGERS = (0, 1, 2, 3, 4, 5, 127, 128, 255, 256, 65535, 65536, 1 << 31, (1 << 32) - 1, (1 << 63) - 1)
_FLOATS = (0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), -float("inf"), 5e-324, 3.4e38)
# The words that the protocol and its extensions know.
_WORDS = (
    *DATATYPES,
    *("image", "crop", "box", "boxes", "landmarks", "contract", "photo_analysis", "age", ""),
    *("priority", "timeout", "sequence_id", "sequence_start", "shared_memory_region", "binary_data_size"),
    *("shared_memory_byte_size", "shared_memory_offset", "binary_data", "classification", "min_score", "1"),
    *("triton_enable_empty_final_response", "max_faces", "min_face", "a\nb", "\u202e", "x" * 200),
)
_SIGNED = frozenset({Field.CPPTYPE_INT32, Field.CPPTYPE_INT64})
_BITS = {
    Field.CPPTYPE_INT32: 31,
    Field.CPPTYPE_INT64: 63,
    Field.CPPTYPE_UINT32: 32,
    Field.CPPTYPE_UINT64: 64,
}
_DEEPEST = 4


def mutate_message(kind: Any, data: bytes, most: int, numbers: random.Random, change: Change) -> bytes:
    """`data` with one to four fields changed, added, doubled or removed; at most `most` bytes of it."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        message = kind()
    for _ in range(numbers.randrange(1, 5)):
        _mutate(message, most, numbers, change, depth=0)
    changed: bytes = message.SerializeToString()
    if numbers.random() < 0.2:  # as protobuf merges messages, and in another order
        part = kind()
        _mutate(part, most, numbers, change, depth=0)
        changed = part.SerializeToString() + changed
    return changed[:most]


def _mutate(message: Any, most: int, numbers: random.Random, change: Change, *, depth: int) -> None:
    field = numbers.choice(list(message.DESCRIPTOR.fields))
    name = field.name
    if numbers.random() < 0.1:
        message.ClearField(name)
    elif _is_map(field):
        _mutate_map(getattr(message, name), field, most, numbers, change, depth=depth)
    elif field.is_repeated:
        _mutate_list(getattr(message, name), field, most, numbers, change, depth=depth)
    elif field.cpp_type == Field.CPPTYPE_MESSAGE:
        if depth < _DEEPEST:
            getattr(message, name).SetInParent()
            _mutate(getattr(message, name), most, numbers, change, depth=depth + 1)
    else:
        setattr(message, name, _value(field, getattr(message, name), most, numbers, change))


def _mutate_map(
    values: Any, field: Any, most: int, numbers: random.Random, change: Change, *, depth: int
) -> None:
    key = numbers.choice(_WORDS)
    _mutate(values[key], most, numbers, change, depth=depth + 1)


def _mutate_list(
    values: Any, field: Any, most: int, numbers: random.Random, change: Change, *, depth: int
) -> None:
    at = numbers.randrange(len(values)) if values else 0
    choice = numbers.randrange(4)
    if field.cpp_type == Field.CPPTYPE_MESSAGE:
        if choice == 0 or not values:
            _mutate(values.add(), most, numbers, change, depth=depth + 1)
        elif choice == 1:
            values.add().CopyFrom(values[at])
        elif choice == 2:
            del values[at]
        else:
            _mutate(values[at], most, numbers, change, depth=depth + 1)
    elif choice == 0 or not values:
        values.append(_value(field, None, most, numbers, change))
    elif choice == 1:
        values.extend([values[at]] * numbers.choice((1, 1, 2, 70)))
    elif choice == 2:
        del values[at]
    else:
        values[at] = _value(field, values[at], most, numbers, change)


def _value(field: Any, old: Any, most: int, numbers: random.Random, change: Change) -> Any:
    kind = field.cpp_type
    if kind == Field.CPPTYPE_BOOL:
        return numbers.random() < 0.5
    if kind in _BITS:
        sign = numbers.choice((1, 1, -1)) if kind in _SIGNED else 1
        return sign * (numbers.choice(_INTEGERS) % (1 << _BITS[kind]))
    if kind in (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE):
        return numbers.choice(_FLOATS)
    if field.type == Field.TYPE_BYTES:
        return change(old or b"", most)
    if numbers.random() < 0.7 or not old:
        return numbers.choice(_WORDS)
    return change(old.encode(), most).decode("utf-8", "replace")


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry

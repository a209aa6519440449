"""Dataclasses as plain data for JSON, with the same bytes as before a field was added to them."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# In a field's metadata: it was added after files were written. At its default it is left out, so that older
# readers take what they know, and a run that began without it goes on.
ADDED_LATER = "added_later"


def plain(record: "DataclassInstance") -> dict[str, Any]:
    """As dataclasses.asdict, but for fields `ADDED_LATER` at their defaults."""
    return {
        field.name: _plain(getattr(record, field.name))
        for field in dataclasses.fields(record)
        if not (field.metadata.get(ADDED_LATER) and getattr(record, field.name) == field.default)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return copy.deepcopy(value)

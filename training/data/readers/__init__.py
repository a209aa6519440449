"""Every data set that `prepare` can read: one module each, found by itself.

A module defines its set as `READER`, or several sets that share its code as a tuple `READERS`. A new
data set is a new file in this folder; nothing lists them. Readers import no torch.
"""

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from training.data.reader import Reader


@functools.cache
def readers() -> Mapping[str, Reader]:
    """All readers by the data set's name, in the order of the names."""
    found: dict[str, Reader] = {}
    for info in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        module = importlib.import_module(info.name)
        defined: tuple[Reader, ...] = getattr(module, "READERS", None) or (module.READER,)
        for reader in defined:
            if reader.name in found:
                raise ValueError(f"{info.name} defines {reader.name} a second time: give it another name")
            found[reader.name] = reader
    return MappingProxyType(dict(sorted(found.items())))


def reader_of(name: str) -> Reader:
    """The reader of a data set; ValueError names those that exist."""
    reader = readers().get(name)
    if reader is None:
        raise ValueError(f"there is no data set {name!r}: it is one of {', '.join(readers())}")
    return reader

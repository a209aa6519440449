"""Every data set that `prepare` can read: one module each, found by itself.

A module defines its set as `READER`, or several sets that share its code as a tuple `READERS`. A new
data set is a new file in this folder; nothing lists them. Other packages add theirs as entry points of
"qface.readers". Readers import no torch.
"""

import functools
import importlib
import itertools
import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from runtime.plugins import plugins
from training.data.reader import Reader


@functools.cache
def readers() -> Mapping[str, Reader]:
    """All readers by the data set's name, in the order of the names."""
    found: dict[str, Reader] = {}
    for origin, defined in itertools.chain(_own(), plugins("qface.readers")):
        for reader in (defined,) if isinstance(defined, Reader) else defined:
            if not isinstance(reader, Reader):
                raise ValueError(f"{origin} defines {reader!r}, which is no Reader (training.data.reader)")
            if reader.name in found:
                raise ValueError(f"{origin} defines {reader.name} a second time: give it another name")
            found[reader.name] = reader
    return MappingProxyType(dict(sorted(found.items())))


def _own() -> Iterator[tuple[str, Reader | tuple[Reader, ...]]]:
    for info in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        module = importlib.import_module(info.name)
        yield info.name, getattr(module, "READERS", None) or module.READER


def reader_of(name: str) -> Reader:
    """The reader of a data set; ValueError names those that exist."""
    reader = readers().get(name)
    if reader is None:
        raise ValueError(f"there is no data set {name!r}: it is one of {', '.join(readers())}")
    return reader

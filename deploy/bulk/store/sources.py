"""What a command line names as a run's inputs: sources, and a list of addresses."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deploy.bulk.errors import Refused
from deploy.bulk.photo import Photo
from deploy.bulk.store.base import Listed, Store, root_of
from deploy.bulk.store.registry import LOCAL, open_store, protocol_of

STANDARD_INPUT = "-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a run's photos are named, and how their stores are opened."""

    named: Sequence[str]
    files_from: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of fsspec's file systems

    @property
    def can_overlap(self) -> bool:
        """Whether one photo can be listed twice."""
        return len(self.named) + 2 * (self.files_from is not None) > 1

    def listed(self) -> Iterator[Listed]:
        """All photos, in the order of the sources. Refused where one can't be listed."""
        stores = Stores(self.options)
        for source in self.named:
            yield from stores.of(source).list(source)
        if self.files_from is not None:
            for address in _lines(self.files_from):
                yield stores.of(address).look_up(address)


class Stores:
    """The stores of a process, each opened once."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._open: dict[str, Store] = {}

    def of(self, address: str) -> Store:
        """The store of an address; Refused for a protocol that can't be used."""
        protocol = protocol_of(address)
        if protocol != LOCAL and not _is_text(address):
            raise Refused(f"{address!a} is no UTF-8, as addresses of {protocol}:// are: mend it")
        if protocol not in self._open:
            self._open[protocol] = open_store(protocol, self._options)
        return self._open[protocol]


def root_of_photo(photo: Photo, named: Sequence[str]) -> str:
    """The folder or bucket that shows whether a photo's store can be reached: of its source, or its own."""
    roots = [root.rstrip("/") for root in map(root_of, named)]
    roots = [root for root in roots if photo.address.startswith(f"{root}/")]
    return max(roots, key=len, default=photo.address.rpartition("/")[0])


def _is_text(address: str) -> bool:
    try:
        address.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lines(name: str) -> Iterator[str]:
    """The addresses of a list, a line each; Refused where it can't be read."""
    try:
        with ExitStack() as stack:
            opened = (
                sys.stdin
                if name == STANDARD_INPUT
                else stack.enter_context(Path(name).open(errors="surrogateescape"))
            )
            for number, line in enumerate(opened):
                # Editors of some systems begin a file with a mark of its encoding.
                if address := (line if number else line.removeprefix("\ufeff")).rstrip("\r\n"):
                    yield address
    except (OSError, ValueError) as error:
        raise Refused(
            f"the list {name} can't be read ({getattr(error, 'strerror', None) or error})"
        ) from error

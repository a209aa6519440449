"""Which modules the reference has."""

import pkgutil
from collections.abc import Iterator

import qface_client

# The command line is no library: its guide describes it.
NOT_A_LIBRARY = "qface_client.cli"


def public_modules() -> list[str]:
    """The package and each module of it without an underscore, by name."""
    return [qface_client.__name__, *sorted(_below(qface_client.__path__, qface_client.__name__))]


def _below(path: list[str], package: str) -> Iterator[str]:
    for found in pkgutil.iter_modules(path):
        name = f"{package}.{found.name}"
        if found.name.startswith("_") or name == NOT_A_LIBRARY:
            continue
        yield name
        if found.ispkg:
            folder = [f"{entry}/{found.name}" for entry in path]
            yield from _below(folder, name)

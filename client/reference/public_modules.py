"""Which modules the reference has."""

import pkgutil
from collections.abc import Iterable, Iterator

import qface_client
from qface_client import kinds

# The command line is no library: its guide describes it. What measures is not promised to users.
NOT_PUBLIC = {"cli", "measuring"}


def public_modules() -> list[str]:
    """The package, each module of it without an underscore, and the kinds, whose base is for further kinds.

    The modules of another package in it are that package's own business.
    """
    found = sorted(name for name in _modules(qface_client.__path__) if name not in NOT_PUBLIC)
    names = [*found, *(f"kinds.{name}" for name in _modules(kinds.__path__))]
    return [qface_client.__name__, *(f"{qface_client.__name__}.{name}" for name in sorted(names))]


def _modules(path: Iterable[str]) -> Iterator[str]:
    """The modules and packages in a package's folders."""
    return (module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))

"""What other installed packages add to this one, by the entry points that they declare.

[project.entry-points."qface.readers"]
shop = "shop_faces:READER"
"""

import importlib.metadata
from collections.abc import Iterator
from typing import Any


def plugins(group: str) -> Iterator[tuple[str, Any]]:
    """The name and the object of each entry point of a group, in the order of the names.

    ValueError, with the package, for one that can't be loaded.
    """
    for entry in sorted(importlib.metadata.entry_points(group=group), key=lambda entry: entry.name):
        try:
            loaded = entry.load()
        except Exception as error:  # a plugin is any code
            package = "" if entry.dist is None else f" of the package {entry.dist.name}"
            raise ValueError(
                f"the plugin {entry.name}{package} can't be loaded ({type(error).__name__}: {error}): "
                "mend it or uninstall it"
            ) from error
        yield entry.name, loaded

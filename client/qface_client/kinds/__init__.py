"""The kinds of answers: one module each, found by itself.

A module defines KIND. A task that this client has never heard of is read by its kind. Other packages add
kinds as entry points of "qface.client_kinds".
"""

import importlib
import importlib.metadata
import pkgutil

from .base import Kind

__all__ = ["KINDS", "Kind"]


class _Kinds(dict[str, Kind]):
    """Kinds by name. Those of other packages are looked for once, when one is asked for that is not here."""

    _complete = False

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (self._adopt() and super().__contains__(name))

    def __missing__(self, name: str) -> Kind:
        if name in self:
            return self[name]
        raise KeyError(name)

    def _adopt(self) -> bool:
        if not self._complete:
            self._complete = True
            for entry in importlib.metadata.entry_points(group="qface.client_kinds"):
                kind: Kind = entry.load()
                self.setdefault(kind.name, kind)
        return True


def _found() -> _Kinds:
    modules = (
        importlib.import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(__path__)
    )
    return _Kinds({module.KIND.name: module.KIND for module in modules if hasattr(module, "KIND")})


KINDS: dict[str, Kind] = _found()

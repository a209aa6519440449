"""What the tests of the client against the real server share."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from runtime import engines

_LOADED: dict[tuple[Path, tuple[tuple[str, str], ...]], engines.Engine] = {}


@pytest.fixture(scope="module", autouse=True)
def networks_loaded_once() -> Iterator[None]:
    """Local clients, of a document's program too, share each network: to load one takes seconds of a core."""
    load = engines.load_engine

    def loaded(directory: Path, parameters: Mapping[str, str]) -> engines.Engine:
        key = (directory.resolve(), tuple(sorted(parameters.items())))
        if key not in _LOADED:
            _LOADED[key] = load(directory, parameters)
        return _LOADED[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "load_engine", loaded)
        yield

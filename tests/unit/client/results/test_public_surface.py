"""The names that programs may rest on: listed, documented, and no others by accident."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import qface_client
from tests.helpers.paths import ROOT

# What takes long to import, or is not installed with the client: loaded where it is used.
HEAVY = (
    "PIL",
    "cv2",
    "matplotlib",
    "onnxruntime",
    "opentelemetry",
    "pandas",
    "pyarrow",
    "runtime",
    "shtab",
    "torch",
    "tqdm",
)
MODULES = [
    importlib.import_module(f"qface_client.{entry.name}")
    for entry in pkgutil.iter_modules(qface_client.__path__)
    if not entry.ispkg and not entry.name.startswith("_")
]
EACH_MODULE = pytest.mark.parametrize("module", [qface_client, *MODULES], ids=lambda module: module.__name__)


def functions_of(owner: Any) -> Iterator[tuple[str, Any]]:
    """A function itself; of a class its public methods and properties."""
    if inspect.isfunction(owner):
        yield owner.__name__, owner
    elif inspect.isclass(owner):
        for name, member in vars(owner).items():
            bare = getattr(member, "__func__", getattr(member, "fget", member))
            if not name.startswith("_") and inspect.isfunction(bare):
                yield f"{owner.__name__}.{name}", getattr(owner, name)


@EACH_MODULE
def test_a_module_lists_its_public_names(module: ModuleType) -> None:
    assert module.__doc__
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if name.startswith("_")] in ([], ["__version__"])


@EACH_MODULE
def test_each_public_name_has_a_docstring_of_its_own(module: ModuleType) -> None:
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            assert value.__doc__, name
            assert not value.__doc__.startswith(f"{name}("), f"{name} has only what dataclasses write"
        for function, documented in functions_of(value):
            assert inspect.getdoc(documented), function


def test_the_package_has_no_public_name_that_it_does_not_list() -> None:
    public = {name for name in vars(qface_client) if not name.startswith("_")}
    modules = {name for name in public if isinstance(getattr(qface_client, name), ModuleType)}
    assert public - modules == set(qface_client.__all__) - {"__version__"}


@EACH_MODULE
def test_dataclasses_of_the_surface_are_frozen(module: ModuleType) -> None:
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) and dataclasses.is_dataclass(value):
            assert value.__dataclass_params__.frozen, name  # type: ignore[attr-defined]


def test_importing_the_client_loads_nothing_heavy() -> None:
    program = "import json, sys, qface_client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "client")},
        capture_output=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded & set(HEAVY) == set()
    assert "qface_client" in loaded

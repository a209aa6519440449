"""TensorRT is found under either name of its module, and a broken one is not passed over."""

import sys
import types
from types import SimpleNamespace
from typing import Any

import pytest

from build.backends.tensorrt_tools import module
from build.backends.tensorrt_tools.module import tensorrt_module


def test_the_whole_package_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, bindings = types.ModuleType("tensorrt"), types.ModuleType("tensorrt_bindings")
    monkeypatch.setitem(sys.modules, "tensorrt", whole)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", bindings)
    assert tensorrt_module() is whole


def test_the_bindings_alone_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    bindings = types.ModuleType("tensorrt_bindings")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", bindings)
    assert tensorrt_module() is bindings


def test_where_neither_is_installed_tensorrt_is_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        tensorrt_module()
    assert caught.value.name == "tensorrt"


def test_a_package_that_lacks_something_is_not_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> types.ModuleType:
        raise ModuleNotFoundError("No module named 'tensorrt_libs'", name="tensorrt_libs")

    monkeypatch.setattr("build.backends.tensorrt_tools.module.importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="tensorrt_libs"):
        tensorrt_module()


def test_a_version_that_its_package_names_is_known_without_the_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"tensorrt_bindings": ["tensorrt-cu13-bindings"]}
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: names)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "11.3.0.99")

    def load() -> Any:
        return SimpleNamespace(__version__="11.3.0.99.post1")

    monkeypatch.setattr(module, "tensorrt_module", lambda: pytest.fail("the module was loaded"))
    assert module.tensorrt_version("11.3.0.99") == "11.3.0.99"
    monkeypatch.setattr(module, "tensorrt_module", load)
    assert module.tensorrt_version("11.2.0.1") == "11.3.0.99.post1"

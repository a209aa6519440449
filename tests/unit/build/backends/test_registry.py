"""Backends are found in their package; names, precisions and GPUs that do not fit are refused."""

import pytest

from build import machine
from build.backends import backend, backend_of, backends, default_backend, servable_backends
from build.errors import BuildError


def test_each_device_s_default_comes_first() -> None:
    found = list(backends().values())
    assert [backend.device for backend in found] == sorted(backend.device for backend in found)
    for device in ("cpu", "gpu"):
        of_device = [backend for backend in found if backend.device == device]
        assert of_device[0] is default_backend(device)
        assert [backend.is_default for backend in of_device] == [True] + [False] * (len(of_device) - 1)


def test_a_server_without_a_gpu_has_something_to_run() -> None:
    assert default_backend("cpu").name in servable_backends()
    assert not default_backend("cpu").needs_gpu


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BuildError, match=f"'abacus' is unknown: choose from {', '.join(backends())}"):
        backend("abacus")


def test_a_precision_that_a_target_lacks_is_refused_with_those_that_it_has() -> None:
    for found in backends().values():
        assert found.default_precision in found.precisions
        with pytest.raises(BuildError, match=f"choose from {', '.join(found.precisions)}"):
            backend_of(found.name, "fp4")


def test_a_target_that_needs_a_gpu_names_one_for_this_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    needy = [found for found in backends().values() if found.needs_gpu]
    assert needy
    for found in needy:
        with pytest.raises(BuildError, match=f"choose --target {default_backend('cpu').name} for this CPU"):
            backend_of(found.name, found.default_precision)

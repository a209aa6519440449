"""The doctor looks at room, ports, keys and certificates by the service's own rules."""

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.doctor import __main__ as doctor
from deploy.doctor import identity, resources
from deploy.embedded.host_check import SharedMemory
from tests.helpers.certificates import Authority
from tests.helpers.doctors import examined, note_of, stop_of
from tests.helpers.networks import standin_network as standin

MEBIBYTE = 1 << 20
CHECKS = (
    *(resources.shared_memory, resources.memory, resources.disks, resources.free_ports),
    *(identity.exposure, identity.keys, identity.certificates),
)


@pytest.fixture(autouse=True)
def _these_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", CHECKS)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cpu")
    weights = standin.write(folder / "x.onnx", standin.contract_of("expression", "age"))
    assemble(ServingPlan(weights=weights), output=folder / "var")
    return folder / "var" / "repository"


# -- room and ports ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "free", "status", "words"),
    [
        (64, 1, 1, "is too full: 1 of 64 MiB are free"),
        (64, 60, 0, "the service starts, and for large requests"),
    ],
)
def test_a_small_dev_shm_stops_or_is_noted(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    free: int,
    status: int,
    words: str,
) -> None:
    now = SharedMemory(size=size * MEBIBYTE, free=free * MEBIBYTE)
    monkeypatch.setattr(SharedMemory, "now", classmethod(lambda *_: now))
    found = examined(repository, capsys=capsys, status=status)
    sentence = stop_of(found, "shared memory") if status else note_of(found, "shared memory")
    assert words in sentence
    assert "--shm-size=" in sentence


def test_little_memory_is_noted_with_what_is_wanted(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "available_bytes", lambda: 100 * MEBIBYTE)
    sentence = note_of(examined(repository, capsys=capsys, status=0), "memory")
    assert re.search(r"100 MiB of memory are available, and .* want some \d+ MiB", sentence)


def test_a_full_or_locked_disk_is_noted(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 3 * MEBIBYTE

    monkeypatch.setattr(resources.shutil, "disk_usage", lambda path: Usage)
    monkeypatch.setattr(resources.os, "access", lambda path, mode: Path(path) != tmp_path)
    found = examined(repository, "--cache", str(tmp_path), capsys=capsys, status=0)
    assert f"{tmp_path} can't be written by user {os.geteuid()}" in note_of(found, "disk of the cache")
    assert "has 3 MiB free" in note_of(found, "disk of the repositories")


def test_a_port_that_is_taken_stops(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        found = examined(repository, "--grpc-port", port, capsys=capsys, status=1)
    assert f"port {port} of 127.0.0.1, wanted for gRPC, is taken" in stop_of(found, "ports")


def test_ports_and_exposure_of_a_gateway_that_runs_are_its_own(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as listening, socket.create_server(("127.0.0.1", 0)) as other:
        listening.bind(str(control))
        listening.listen()
        port = str(other.getsockname()[1])
        words = ("--control", str(control), "--grpc-port", port, "--host", "0.0.0.0")
        found = examined(repository, *words, capsys=capsys, status=0)
    assert "a gateway of this repository runs" in found["ports"][0][1]
    assert "exposure" not in found  # it runs with its own keys, which this command line does not have


# -- identity ---------------------------------------------------------------------------------------


def test_a_key_file_that_others_can_read_stops(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.shop]\nsha256 = "{"0" * 64}"\n')
    keys.chmod(0o644)
    found = examined(repository, "--keys", str(keys), capsys=capsys, status=1)
    assert "can be read or changed by others (mode 0644): run `chmod 600" in stop_of(found, "keys")
    keys.chmod(0o600)
    found = examined(repository, "--keys", str(keys), capsys=capsys, status=0)
    assert found["keys"] == [("ok", f"{keys} holds 1 API keys")]


def certificates(folder: Path, **changes: Any) -> tuple[str, ...]:
    """The options of a certificate with its key."""
    chain, key = Authority().issue(folder, "server", **changes)
    return ("--certificate", str(chain), "--private-key", str(key))


def test_a_certificate_with_another_s_key_stops(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = certificates(tmp_path)
    _, other = Authority().issue(tmp_path, "other")
    found = examined(repository, *words[:3], str(other), capsys=capsys, status=1)
    assert "is not that of the certificate" in stop_of(found, "certificate")


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [(-1, 1, "expired"), (3, 0, "expires on"), (90, 0, "fits its key and holds until")],
)
def test_a_certificate_is_known_by_its_end(
    repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    days: int,
    status: int,
    words: str,
) -> None:
    found = examined(repository, *certificates(tmp_path, days=days), capsys=capsys, status=status)
    [(level, sentence)] = found["certificate"]
    assert words in sentence
    assert level == {-1: "stops", 3: "note", 90: "ok"}[days]


def test_a_file_without_authorities_stops(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "authorities.pem"
    empty.write_text("none\n")
    words = (*certificates(tmp_path), "--client-authorities", str(empty))
    found = examined(repository, *words, capsys=capsys, status=1)
    assert "the file of client authorities" in stop_of(found, "authorities")


def test_an_address_of_the_network_without_keys_stops(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examined(repository, "--host", "0.0.0.0", capsys=capsys, status=1)
    assert "nothing tells who calls" in stop_of(found, "exposure")
    found = examined(repository, "--host", "0.0.0.0", "--insecure", capsys=capsys, status=0)
    assert "insecure: everybody" in note_of(found, "exposure")

"""The bundle: all of it or nothing, whatever comes between."""

import errno
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from build.errors import BuildError
from deploy.web.bundle import make as module
from deploy.web.bundle.__main__ import main
from deploy.web.bundle.contents import read_bundle, read_manifest
from deploy.web.bundle.make import make_bundle
from deploy.web.bundle.runtime import ON_CPU, ON_GPU
from deploy.web.weight import table
from tests.helpers.networks import standin_network

RUNTIME = {f"ort/{name}": name.encode() * 100 for name in (*ON_CPU, *ON_GPU)}


@pytest.fixture(autouse=True)
def small_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network and a detector of a few bytes; returns the network's file."""
    network = tmp_path / "weights" / "qface-tiny-open.onnx"
    network.parent.mkdir()
    standin_network.write(network, standin_network.contract_of("age"))
    monkeypatch.setattr(module, "NETWORK", network)
    monkeypatch.setattr(
        "deploy.web.bundle.detector_onnx.write_detector", lambda path: path.write_bytes(b"detector")
    )
    return network


def loads(times: list[int]) -> Callable[[], dict[str, bytes]]:
    def load() -> dict[str, bytes]:
        times.append(1)
        return RUNTIME

    return load


def beside(output: Path) -> list[str]:
    return sorted(path.name for path in output.parent.iterdir() if path.name != ".lock")


def test_it_has_every_part_and_the_manifest_says_so(tmp_path: Path) -> None:
    output = tmp_path / "web" / "bundle"
    assert make_bundle(output, log=print, load=loads([]))
    manifest = read_manifest(output)
    for key in ("network", "detector", "runtime", "runtime_webgpu"):
        assert manifest[key] in manifest["files"]
    licences = {"ort/LICENSE.txt", "ort/ThirdPartyNotices.txt", "qface-tiny-open.LICENSE.txt"}
    assert manifest["files"].keys() == {*RUNTIME, "qface-tiny-open.onnx", "detector.onnx", *licences}
    for name, entry in manifest["files"].items():
        content = (output / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest["versions"]["onnxruntime-web"] == "1.30.0"
    assert manifest["request_parameters"]["min_score"]["type"] == "number"
    assert "min_quality" not in manifest["request_parameters"]
    assert read_bundle(output)["ort/ort.wasm.min.mjs"].packed is not None
    shown = table(bundle=output)
    assert "more with the network in the browser" in shown
    assert "/web/bundle/detector.onnx" in shown


def test_it_is_made_again_only_of_other_parts_and_loaded_once(tmp_path: Path, small_parts: Path) -> None:
    output, times = tmp_path / "web" / "bundle", []
    assert make_bundle(output, log=print, load=loads(times))
    before = output.resolve()
    assert not make_bundle(output, log=print, load=loads(times))
    contract = standin_network.stating_errors(
        standin_network.contract_of("age", "face_quality"), minimum=0.25
    )
    standin_network.write(small_parts, contract)
    assert make_bundle(output, log=print, load=loads(times))
    assert times == [1], "the runtime is taken out of the bundle before"
    assert (output / "qface-tiny-open.onnx").read_bytes() == small_parts.read_bytes()
    assert read_manifest(output)["request_parameters"]["min_quality"]["default"] == 0.25
    assert beside(output) == ["bundle", output.resolve().name]
    assert not before.exists()
    damaged = output / "ort" / ON_CPU[0]
    damaged.write_bytes(bytes(len(damaged.read_bytes())))
    assert make_bundle(output, log=print, load=loads(times))
    assert times == [1, 1]


def test_what_fails_leaves_what_was_there_and_nothing_half_made(
    tmp_path: Path, small_parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "web" / "bundle"
    make_bundle(output, log=print, load=loads([]))
    before, there, network = output.resolve(), beside(output), small_parts.read_bytes()
    standin_network.write(small_parts, standin_network.contract_of("expression"))

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("deploy.web.bundle.detector_onnx.write_detector", full)
    with pytest.raises(BuildError, match=r"No space left on device\): make room there for \d+ MB"):
        make_bundle(output, log=print, load=loads([]))
    assert (output.resolve(), beside(output)) == (before, there)

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deploy.web.bundle.detector_onnx.write_detector", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_bundle(output, log=print, load=loads([]))
    assert (output.resolve(), beside(output)) == (before, there)
    assert read_bundle(output)["qface-tiny-open.onnx"].content == network


def test_what_a_killed_maker_left_is_removed_by_the_next(tmp_path: Path) -> None:
    output = tmp_path / "web" / "bundle"
    left = tmp_path / "web" / "bundle-killed"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    make_bundle(output, log=print, load=loads([]))
    assert beside(output) == ["bundle", output.resolve().name]


def test_two_makers_at_once_make_one(tmp_path: Path) -> None:
    output, times = tmp_path / "web" / "bundle", []
    entered, go_on = threading.Event(), threading.Event()

    def slow() -> dict[str, bytes]:
        entered.set()
        assert go_on.wait(20)
        return loads(times)()

    said: list[str] = []
    made: list[bool] = []

    def waits(sentence: str) -> None:
        said.append(sentence)
        go_on.set()

    first = threading.Thread(target=lambda: made.append(make_bundle(output, log=print, load=slow)))
    first.start()
    assert entered.wait(20)
    assert not make_bundle(output, log=waits, load=loads(times)), "it finds what the first has made"
    first.join()
    assert (made, times) == ([True], [1])
    assert "waiting" in said[0]


def test_a_place_that_can_not_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BuildError, match="name a writable directory with --output"):
        make_bundle(tmp_path / "file" / "bundle", log=print, load=loads([]))
    own = tmp_path / "own" / "bundle"
    own.mkdir(parents=True)
    (own / "thesis.txt").write_text("mine")
    with pytest.raises(BuildError, match="was not made here: move it away"):
        make_bundle(own, log=print, load=loads([]))
    assert (own / "thesis.txt").read_text() == "mine"


def test_the_command_ends_with_a_sentence_where_there_is_no_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "package.tgz"
    wrong.write_bytes(b"no package")
    words = ["--output", str(tmp_path / "web" / "bundle"), "--package"]
    assert main([*words, str(wrong)]) == 1
    assert "is another file" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "none.tgz")]) == 1
    error = capsys.readouterr().err
    assert "npm pack onnxruntime-web@1.30.0" in error
    assert error.count("\n") == 1
    assert beside(tmp_path / "web" / "bundle") == []

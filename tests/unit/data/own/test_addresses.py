"""Tars in a bucket: read as those in a folder are, and what is told where they can't be."""

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.helpers.s3_server import DENIED, S3Server
from training.data.__main__ import main
from training.data.addresses import Address, files_of, place_of, streamed

BUCKET = "faces"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(autouse=True)
def _as_it_was(server: S3Server) -> None:
    """Nothing that was listed or refused before is remembered."""
    server.reset()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def _tar(rows: dict[str, int], portrait: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for key, years in rows.items():
            row = json.dumps({"age": [years, years], "split": "test" if years > 40 else "train"}).encode()
            for suffix, content in (("jpg", portrait), ("json", row)):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture(scope="module")
def shards(server: S3Server, portrait: bytes) -> dict[str, bytes]:
    """Two tars, in the bucket."""
    tars = {
        "train/00.tar": _tar({"a": 20, "b": 30}, portrait),
        "train/01.tar": _tar({"c": 50}, portrait),
    }
    server.fill(BUCKET, {**tars, "train/readme.txt": b"no tar", "other/00.tar": b"no tar either"})
    return tars


def _content(prepared: Path) -> dict[str, Any]:
    """All files of a set; of its manifest all but what tells where it came from."""
    content: dict[str, Any] = {path.name: path.read_bytes() for path in prepared.iterdir() if path.is_file()}
    manifest = json.loads(content["manifest.json"])
    del manifest["source"], manifest["options"]["pictures"]
    return content | {"manifest.json": manifest}


@pytest.mark.usefixtures("shards")
@pytest.mark.parametrize("named", ["train", "train/", "train/{00..01}.tar", "train/0?.tar", "train/*.tar"])
def test_a_folder_braces_and_wildcards_name_the_same_tars(named: str) -> None:
    found = files_of(Address(f"s3://{BUCKET}/{named}"), suffix=".tar")
    assert [str(each) for each in found] == [f"s3://{BUCKET}/train/0{number}.tar" for number in (0, 1)]


def test_a_chain_that_keeps_files_reads_each_once(server: S3Server, shards: dict[str, bytes]) -> None:
    (kept,) = files_of(Address(f"filecache::s3://{BUCKET}/train/*1.tar"), suffix=".tar")
    for _ in range(2):
        with streamed(kept) as stream:
            assert stream.read() == shards["train/01.tar"]
    assert sum(request.reads_object for request in server.requests) == 1


def test_a_bucket_is_described_and_prepared_as_a_folder_is(
    shards: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    for name, content in shards.items():
        (tmp_path / name).write_bytes(content)
    told = []
    for place, output in ((str(folder), tmp_path / "here"), (f"s3://{BUCKET}/train", tmp_path / "there")):
        assert main(["prepare", "own", "--source", place, "--output", str(output)]) == 0
        capsys.readouterr()
        assert main(["describe", place]) == 1  # nearly the same in two splits: it is one portrait
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "c" in told[0]
    here, there = _content(tmp_path / "here" / "train"), _content(tmp_path / "there" / "train")
    assert here == there
    assert there["manifest.json"]["faces"] == {"test": 1, "train": 2}


def test_a_bucket_that_refuses_midway_costs_nothing_that_was_done(
    server: S3Server, shards: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare = ["prepare", "own", "--source", f"s3://{BUCKET}/train/{{00..01}}.tar", "--set-name", "faces"]
    assert main([*prepare, "--output", str(tmp_path / "whole")]) == 0
    reads = sum(request.reads_object for request in server.requests)
    server.reset()
    server.rule = lambda request: DENIED if request.reads_object and request.number == reads else None
    capsys.readouterr()
    assert main([*prepare, "--output", str(tmp_path / "cut")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"s3://{BUCKET}/train/01.tar can't be read (")
    assert said.endswith("give the same command again")
    assert not (tmp_path / "cut" / "faces" / "manifest.json").exists()
    server.reset()
    assert main([*prepare, "--output", str(tmp_path / "cut")]) == 0
    assert _content(tmp_path / "cut" / "faces") == _content(tmp_path / "whole" / "faces")


@pytest.mark.usefixtures("shards")
@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("train/{00..02}.tar", "train/02.tar does not exist: check the address"),
        ("empty", "empty names no .tar file: check the address"),
        ("other/00.tar", "other/00.tar is no whole tar"),
    ],
)
def test_what_a_bucket_does_not_have_is_named(
    named: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", f"s3://{BUCKET}/{named}"]) == 2
    assert f"s3://{BUCKET}/{sentence}" in capsys.readouterr().err


def test_a_protocol_whose_package_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    for address, sentence in (
        ("gs://faces/0.tar", "gs://faces/0.tar needs a package that is not installed (Please install gcsfs"),
        ("nosuch://faces/0.tar", "nosuch://faces/0.tar can't be read (Protocol not known: nosuch)"),
    ):
        assert main(["describe", address]) == 2
        assert sentence in capsys.readouterr().err


def test_only_tars_of_ones_own_are_read_from_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "fairface", "--source", f"s3://{BUCKET}/fairface"]) == 2
    assert "only tars of your own" in capsys.readouterr().err
    assert place_of("photos/faces.tar") == Path("photos/faces.tar")

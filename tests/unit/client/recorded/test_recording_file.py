"""The file of a recording: whole or not at all under its name, and what is wrong with one is stated."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qface_client import FaceClient, InvalidInput
from qface_client.recorded import Replayed
from tests.helpers.fake_v2_server import FakeServer, classes, closed_port, contract_of, running

PHOTO = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    with running(fake) as address:
        yield address


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def faces_in(path: Path) -> int:
    with FaceClient(transport=Replayed(path)) as client:
        return len(client.analyze(PHOTO))


def test_an_older_recording_stays_until_the_new_one_is_whole(fake: FakeServer, url: str, path: Path) -> None:
    with FaceClient(url, record=path) as client:
        client.analyze(PHOTO)
    fake.faces = 3
    with FaceClient(url, record=path) as client:
        client.analyze(PHOTO)
        assert faces_in(path) == 1
    assert faces_in(path) == 3
    assert list(path.parent.iterdir()) == [path]


def test_of_two_recorders_of_a_file_the_last_one_wins_and_warns(
    url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FaceClient(url, record=path) as older:
        older.analyze(PHOTO)
    with FaceClient(url, record=path) as outer:
        outer.analyze(PHOTO)
        assert not caplog.records
        with FaceClient(url, record=path) as inner:
            inner.detect(PHOTO)
        assert not caplog.records
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("qface_client", "WARNING")
    assert f"{path} was written by another recorder meanwhile" in record.getMessage()
    assert faces_in(path) == 1


def test_what_a_killed_run_had_written_can_be_replayed(url: str, path: Path) -> None:
    client = FaceClient(url, record=path)
    client.analyze(PHOTO)
    (part,) = path.parent.iterdir()
    with pytest.raises(InvalidInput, match=rf"{part.name} has what a run wrote that did not end"):
        Replayed(path)
    kept = part.read_bytes()
    client.close()
    path.write_bytes(kept + b'{"call": "infer", "mod')  # in the middle of a line
    assert faces_in(path) == 1


def test_where_nothing_was_answered_there_is_no_file(path: Path) -> None:
    with (
        FaceClient(f"127.0.0.1:{closed_port()}", record=path, retries=False) as client,
        pytest.raises(Exception, match="no server answers"),
    ):
        client.analyze(PHOTO)
    assert list(path.parent.iterdir()) == []


def test_closing_twice_writes_once(url: str, path: Path) -> None:
    client = FaceClient(url, record=path)
    client.analyze(PHOTO)
    client.close()
    client.close()
    assert faces_in(path) == 1


def test_a_recording_goes_only_where_it_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"can't be written \(No such file or directory\): check its folder"
    ):
        FaceClient(record=tmp_path / "missing" / "answers.jsonl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "can't be read .*make one with"),
        ("", "is no recording"),
        ("\xff\xd8\xff", "is no recording"),
        ('["a", "list"]\n', "is no recording"),
        ('{"format": "cassette", "version": 1}\n', "is no recording"),
        (
            '{"format": "qface-recording", "version": 2}\n',
            "of version 2, .* reads up to 1",
        ),
        ('{"format": "qface-recording", "version": 1}\n{"call": "infer"}\n', "damaged .*record it again"),
    ],
)
def test_what_is_wrong_with_a_file_is_stated(path: Path, text: str | None, words: str) -> None:
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(InvalidInput, match=words):
        Replayed(path)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"values": [0.9]', '"values": [0.9, 0.9]'),
        ('"values": [0.9]', f'"values": [1{400 * "0"}]'),
        ('"timings": {}', '"timings": []'),
        ('"texts": ["', '"texts": [7, "'),
        ('"dtype": "float32"', '"dtype": []'),
    ],
)
def test_a_damaged_answer_is_found_when_it_is_wanted(
    url: str, path: Path, written: str, instead: str
) -> None:
    with FaceClient(url, record=path) as client:
        client.analyze(PHOTO)
    assert written in path.read_text()
    path.write_text(path.read_text().replace(written, instead))
    with (
        FaceClient(transport=Replayed(path)) as client,
        pytest.raises(InvalidInput, match=r"was damaged .*record it again"),
    ):
        client.analyze(PHOTO)

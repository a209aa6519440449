"""Pictures in a folder and in a bucket, a server that answers at once, and runs that nothing disturbs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.bulk_pictures import BulkPicture, bulk_pictures, write_pictures
from tests.helpers.bulk_runs import Ended, Run, finished, require_bulk
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, serve
from tests.helpers.paths import ROOT
from tests.helpers.s3_server import S3Server

COUNT, CHUNK = 40, 8
BUCKET = "photos"


@pytest.fixture(scope="session", autouse=True)
def _bulk() -> None:
    require_bulk()


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """The command makes its files its owner's alone; in this process that is taken back."""
    before = os.umask(0o077)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, BulkPicture]]:
    """A folder of pictures, and what they are by their names. Nobody changes it."""
    folder = tmp_path_factory.mktemp("bulk") / "pictures"
    return folder, write_pictures(folder, bulk_pictures(COUNT))


@pytest.fixture(scope="session")
def folder(corpus: tuple[Path, dict[str, BulkPicture]]) -> Path:
    return corpus[0]


@pytest.fixture(scope="session")
def _fake() -> Iterator[tuple[FakeServer, str]]:
    fake = FakeServer(contract_of(classes("mood", ["glad", "sad"])))
    for url in serve(fake):
        yield fake, url


@pytest.fixture
def fake(_fake: tuple[FakeServer, str]) -> Iterator[FakeServer]:
    """A server that answers every photo at once; what a test makes of it is taken back."""
    fake, _ = _fake
    fake.infers = 0
    before = fake.before_infer
    yield fake
    fake.before_infer = before


@pytest.fixture(scope="session")
def words(_fake: tuple[FakeServer, str]) -> tuple[str, ...]:
    """Options of a run that this server answers, in chunks of some photos, without Ray."""
    _, url = _fake
    return (
        *("--tasks", "mood", "--url", url, "--timeout", "5", "--concurrency", "2"),
        *_CHUNKS,
        "--in-process",
    )


_CHUNKS = ("--chunk", str(CHUNK))


@pytest.fixture(scope="session")
def whole(folder: Path, words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over the folder that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole") / "run"
    finished(folder, "--output", output, *words)
    return Run(output)


@pytest.fixture(scope="session")
def computed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Ended]:
    """A run over the folder that a network answered, with all that it was asked for."""
    output = tmp_path_factory.mktemp("computed") / "run"
    network = ROOT / "var" / "test" / "repository"
    asked = ("--tasks", "age,expression", "--network", network, "--in-process", "--json")
    return Run(output), finished(folder, "--output", output, *asked, *_CHUNKS)


@pytest.fixture(scope="session")
def _s3(corpus: tuple[Path, dict[str, BulkPicture]]) -> Iterator[S3Server]:
    folder, pictures = corpus
    with S3Server() as server:
        server.fill(BUCKET, ((name, (folder / name).read_bytes()) for name in pictures))
        yield server


@pytest.fixture
def s3(_s3: S3Server) -> Iterator[S3Server]:
    """The same pictures in a bucket of a server; what a test makes of it is taken back."""
    _s3.reset()
    yield _s3
    _s3.reset()
    _s3.start()

"""What tests of the client share: servers that they can turn against it, photos, and reports on those."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qface_client import cli
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, running, serve
from tests.helpers.written_reports import WrittenReport, make_photos

EVERY_KIND = Path(__file__).parents[2] / "assets" / "contracts" / "good_every_kind.json"


@pytest.fixture
def fake() -> FakeServer:
    """A server of one task."""
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    """The fake server's address."""
    yield from serve(fake)


@pytest.fixture
def every_kind() -> FakeServer:
    """A server that answers a face a photo, by a task of each kind."""
    return FakeServer(json.loads(EVERY_KIND.read_text()))


@pytest.fixture
def every_kind_url(every_kind: FakeServer) -> Iterator[str]:
    """Its address."""
    with running(every_kind) as address:
        yield address


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`photos` in the current folder, with three pictures."""
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def report(
    every_kind_url: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., WrittenReport]:
    """Runs `qface report` on `photos`, to report.html in the current folder, and reads that."""

    def run(*arguments: str, status: int = 0) -> WrittenReport:
        words = ["report", "photos", "--html", "report.html", "--url", every_kind_url, *arguments]
        assert cli.main(words) == status, capsys.readouterr().err
        return WrittenReport(Path("report.html").read_text(encoding="utf-8"))

    return run

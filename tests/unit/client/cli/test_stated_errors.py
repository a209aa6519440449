"""What `qface` prints of a server that states errors and a face's quality, and takes of `--min-quality`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from qface_client import cli
from tests.helpers.fake_v2_server import FakeServer, first_generation, running, second_generation


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    served = FakeServer(second_generation())
    with running(served) as url:
        monkeypatch.setenv("QFACE_URL", url)
        yield served


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    Image.new("RGB", (100, 80)).save(path)
    return str(path)


def test_info_names_errors_and_quality(fake: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "years  value in years: years; expected error in years (80% of true values within" in printed
    assert "quality: usable of rated; faces of photos below 0.3 are left out (--min-quality)" in printed
    assert cli.main(["info", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["quality"] == fake.contract["quality"]
    assert [task.get("error") for task in data["tasks"]] == [
        task.get("error") for task in fake.contract["tasks"]
    ]
    fake.contract = first_generation()
    assert cli.main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "error" not in printed
    assert "quality" not in printed


def test_analyze_prints_spread_and_quality_and_sends_the_bound(
    fake: FakeServer, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.faces_found, fake.faces_below_quality = 3, 2
    assert cli.main(["analyze", photo, "--min-quality", "0"]) == 0
    assert fake.parameters == {"min_quality": 0.0}
    head, face, *rows = capsys.readouterr().out.splitlines()
    assert "1 face of 3 found, 2 of too low quality" in head
    assert "score 0.90  quality 1.00" in face
    assert any(row.split() == ["years", "31", "±", "2", "years"] for row in rows)
    assert cli.main(["analyze", photo, "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["faces_below_quality"], line["faces"][0]["quality"]) == (2, 1.0)
    assert line["faces"][0]["years_error"] == {"years": 1.0}


@pytest.mark.parametrize("wrong", ["1.5", "-0.1", "nan", "good"])
def test_a_bound_that_is_no_probability_is_refused_before_anything_is_sent(
    fake: FakeServer, photo: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["analyze", photo, f"--min-quality={wrong}"])
    assert ended.value.code == 2
    assert f"a number from 0 to 1, not '{wrong}'" in capsys.readouterr().err
    assert (fake.reads, fake.infers) == (0, 0)


def test_a_server_without_quality_refuses_the_bound(
    fake: FakeServer, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.contract = first_generation()
    assert cli.main(["analyze", photo, "--min-quality", "0.5"]) == 2
    assert "does not take min_quality" in capsys.readouterr().err

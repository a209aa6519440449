"""`qface analyze --resume`: a table that ended early becomes that of all photos."""

from pathlib import Path
from typing import Any

import grpc
import pandas
import pytest
from PIL import Image

from qface_client import cli
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of

NAMES = ("a.png", "b.png", "c.png", "d.png")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder of four pictures of which the second is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in NAMES:
        Image.new("RGB", (100, 80)).save(folder / name)
    (folder / "b.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return folder


def read(name: str) -> pandas.DataFrame:
    return pandas.read_csv(name) if name.endswith(".csv") else pandas.read_parquet(name)


def analyze(table: str, *arguments: str) -> int:
    return cli.main(["analyze", f"--{table.partition('.')[2]}", table, "--quiet", *arguments])


def rows_of(table: str) -> list[tuple[Any, ...]]:
    frame = read(table)
    return list(zip(frame["file"], frame["photo"], frame["error"].isna(), strict=True))


tables = pytest.mark.parametrize("table", ["f.csv", "f.parquet"])


@tables
def test_answered_photos_are_left_out_and_failed_ones_tried_again(
    fake: FakeServer, url: str, photos: Path, table: str
) -> None:
    fake.faces = 2
    assert analyze(table, "photos/b.png", "photos/c.png") == 2
    assert fake.infers == 1
    Image.new("RGB", (100, 80)).save(photos / "b.png")
    fake.faces = 0
    assert analyze(table, "photos", "--resume") == 0
    assert fake.infers == 4
    expected = [("c", 1), ("c", 1), ("a", 2), ("b", 3), ("d", 4)]
    assert rows_of(table) == [(f"photos/{name}.png", number, True) for name, number in expected]
    assert read(table)["face"].isna().tolist() == [False, False, True, True, True]


@tables
def test_a_resumed_table_is_the_one_of_a_whole_run(url: str, photos: Path, table: str) -> None:
    (photos / "b.png").unlink()
    assert analyze(table.replace("f", "g", 1), "photos") == 0
    assert analyze(table, "photos/a.png") == 0
    assert analyze(table, "photos", "--resume") == 0
    pandas.testing.assert_frame_equal(read(table), read(table.replace("f", "g", 1)))


@tables
def test_a_table_with_all_photos_stays_as_it_is(
    fake: FakeServer, url: str, photos: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(table, "photos/a.png") == 0
    before = Path(table).read_bytes()
    assert cli.main(["analyze", "photos/a.png", f"--{table[2:]}", table, "--resume"]) == 0
    assert (Path(table).read_bytes(), fake.infers) == (before, 1)
    assert capsys.readouterr().err == f"qface: photos that {table} has answered, which are left out: 1\n"


@tables
def test_a_run_that_answers_nothing_leaves_failed_photos_in_their_table(
    fake: FakeServer, url: str, photos: Path, table: str
) -> None:
    def refuse(number: int, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "gone")

    assert analyze(table, "photos/b.png") == 2
    before = Path(table).read_bytes()
    fake.before_infer = refuse
    assert analyze(table, "photos/a.png", "--resume") == 1
    assert Path(table).read_bytes() == before


@tables
def test_without_an_earlier_table_a_run_begins(url: str, photos: Path, table: str) -> None:
    assert analyze(table, "photos/a.png", "--resume") == 0
    assert rows_of(table) == [("photos/a.png", 0, True)]


@tables
def test_a_table_of_other_answers_or_none_at_all_stays_and_no_photo_is_sent(
    fake: FakeServer, url: str, photos: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(table).write_text('no table, "of any sort')
    assert analyze(table, "photos/a.png", "--resume") == 2
    Path(table).unlink()
    assert analyze(table, "photos/a.png") == 0
    before = Path(table).read_bytes()
    fake.contract = contract_of(classes("mood", ["glad", "sad"]), classes("air", ["mild"]))
    assert analyze(table, "photos/c.png", "--resume") == 2
    assert analyze(table, "photos/c.png", "--resume", "--tasks", "mood") == 2
    assert (Path(table).read_bytes(), fake.infers) == (before, 1)
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "other columns" in errors[1]
    assert "was answered by contract" in errors[2]


@tables
def test_a_name_that_is_no_text_is_found_again(fake: FakeServer, url: str, photos: Path, table: str) -> None:
    name = b"photos/\xff,\n.png"
    Path("photos/a.png").rename(name.decode(errors="surrogateescape"))
    for _ in range(2):
        assert analyze(table, "photos/c.png", name.decode(errors="surrogateescape"), "--resume") == 0
    assert fake.infers == 2


def test_a_damaged_line_is_an_error(
    fake: FakeServer, url: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze("f.csv", "photos/a.png") == 0
    with Path("f.csv").open("a") as file:
        file.write("photos/c.png,1,")
    assert analyze("f.csv", "photos", "--resume") == 2
    assert "line 3 has 3 cells" in capsys.readouterr().err
    assert fake.infers == 1


@pytest.mark.parametrize("outputs", [[], ["--csv", "-"], ["--csv", "f.csv", "--parquet", "f.parquet"]])
def test_one_table_is_gone_on_with(url: str, outputs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["analyze", "a.png", "--resume", *outputs])
    assert "--resume goes on with one table" in capsys.readouterr().err

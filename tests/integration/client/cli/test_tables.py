"""`qface analyze --csv` and `--parquet`: every photo is in the table, and a file is whole or not there."""

import csv
import io
import math
import os
import sys
from pathlib import Path
from typing import Any

import grpc
import pandas
import pytest
from PIL import Image

from qface_client import FaceClient, cli
from qface_client.tables import columns, faces_to_frame
from tests.helpers.fake_v2_server import FakeServer, classes, closed_port, contract_of

from .conftest import Command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three pictures, of which the second is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        Image.new("RGB", (100, 80)).save(folder / name)
    (folder / "b.png").write_bytes(b"")
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def no_face_of_the_second(fake: FakeServer) -> None:
    def answer(number: int, context: grpc.ServicerContext) -> None:
        fake.faces = 1 if number == 1 else 0

    fake.before_infer = answer


def test_faces_photos_without_one_and_failed_ones_have_a_row(
    fake: FakeServer, url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_face_of_the_second(fake)
    target = tmp_path / "faces.csv"
    assert cli.main(["analyze", str(photos), "--csv", str(target), "--concurrency", "1"]) == 2
    face, failed, none = read(target)
    assert (face["file"], face["face"], face["mood"], face["mood.glad"]) == (
        f"{photos}/a.png",
        "0",
        "glad",
        "1.0",
    )
    assert (failed["face"], failed["mood"], failed["width"]) == ("", "", "")
    assert failed["error"] == f"{photos}/b.png: the picture is empty (0 bytes): check how it was written"
    assert (none["file"], none["face"], none["width"], none["error"]) == (f"{photos}/c.png", "", "100", "")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1


def test_csv_and_parquet_are_the_data_frame_of_the_same_photos(
    url: str, photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / "faces"
    outputs = ["--csv", f"{target}.csv", "--parquet", f"{target}.parquet"]
    assert cli.main(["analyze", str(photos), *outputs]) == 2
    with FaceClient(url) as client:
        names = [str(path) for path in sorted(photos.iterdir())]
        frame = faces_to_frame(client.analyze_many(names, ordered=True), empty=True)
        expected = columns(client.contract())
    stored = pandas.read_parquet(f"{target}.parquet")
    pandas.testing.assert_frame_equal(stored, frame)
    assert list(stored["mood"].cat.categories) == ["glad", "sad"]
    assert list(read(Path(f"{target}.csv"))[0]) == [column.name for column in expected] == list(frame)


def test_a_parquet_file_is_written_in_groups(
    url: str, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet

    monkeypatch.setattr("qface_client.cli.outputs.parquet._CELLS", 30)
    target = tmp_path / "faces.parquet"
    assert cli.main(["analyze", *[photo] * 5, "--parquet", str(target)]) == 0
    stored = pyarrow.parquet.ParquetFile(target)
    assert stored.metadata.num_rows == 5
    assert stored.num_row_groups > 1
    assert stored.read()["photo"].to_pylist() == [0, 1, 2, 3, 4]


def test_csv_goes_to_standard_output_with_names_as_they_are(
    url: str, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = ["=1+1.png", 'a "b", c.png', "new\nline.png"]
    for name in odd:
        Path(name).write_bytes(Path(photo).read_bytes())
    assert cli.main(["analyze", *odd, "--csv", "-"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == odd


def test_json_and_a_table_at_once(
    url: str, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["analyze", photo, "--json", "--csv", str(tmp_path / "f.csv")]) == 0
    assert capsys.readouterr().out.startswith('{"file": ')
    assert len(read(tmp_path / "f.csv")) == 1


def test_an_earlier_table_stays_where_nothing_was_answered(
    photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFACE_URL", f"127.0.0.1:{closed_port()}")
    tables = {name: tmp_path / f"f.{name}" for name in ("csv", "parquet")}
    for path in tables.values():
        path.write_text("earlier")
    outputs = [word for name, path in tables.items() for word in (f"--{name}", str(path))]
    assert cli.main(["analyze", photo, *outputs]) == 1
    assert {path.read_text() for path in tables.values()} == {"earlier"}
    assert files(tmp_path) == ["f.csv", "f.parquet", "photo.png"]


def test_a_table_through_a_link_takes_the_place_of_what_it_links_to(
    url: str, photo: str, tmp_path: Path
) -> None:
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert cli.main(["analyze", photo, "--csv", str(tmp_path / "link.csv")]) == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read(tmp_path / "real.csv")) == 1


def test_another_contract_in_the_middle_ends_the_table_with_what_it_has(
    fake: FakeServer, url: str, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = contract_of(classes("mood", ["glad", "sad", "calm"]))

    def change(number: int, context: grpc.ServicerContext) -> None:
        if number == 3:
            fake.contract = other

    fake.before_infer = change
    target = tmp_path / "f.csv"
    assert cli.main(["analyze", *[photo] * 6, "--csv", str(target), "--concurrency", "1"]) == 1
    assert len(read(target)) == 2
    assert f"to {other['hash']}, which has other columns" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named_with_the_file(url: str, photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["analyze", photo, "--csv", "/dev/full"]) == 1
    assert capsys.readouterr().err == "qface: /dev/full can't be written: No space left on device\n"


def test_a_full_disk_leaves_whole_rows(
    url: str, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            written.append(bytes(data))
            if len(written) < 3:
                return super().write(data)
            if len(written) == 3:
                return super().write(data[:7])
            raise OSError(28, "No space left on device")

    from qface_client.cli.outputs import comma_separated

    monkeypatch.setattr(comma_separated, "_open", lambda path: Full(path, "ab"))
    assert cli.main(["analyze", *[photo] * 5, "--csv", str(tmp_path / "f.csv")]) == 1
    rows = read(tmp_path / "f.csv")
    assert len(rows) == 2
    assert rows[-1]["error"] == ""


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (["--json", "--csv", "-"], "standard output"),
        (["--parquet", "-"], "name a file"),
        (["--csv", "x", "--parquet", "./x"], "the same file"),
        (["--csv", "other.JPG"], "would replace a photo"),
        (["--record", "a.png"], "would replace a photo"),
        (["photos.txt", "--parquet", "./photos.txt"], "would replace a photo"),
        (["--files-from", "list", "--csv", "list"], "the list of photos"),
        (["--concurrency", "0"], "whole number"),
        (["--min-score", "1.5"], "at most 1"),
        (["--min-face", "nan"], "at most 1"),
        (["--max-faces", "-3"], "whole number"),
        (["--priority", "7"], "invalid choice"),
        (["--null"], "--files-from"),
        (["--conc", "3"], "unrecognized"),
    ],
)
def test_a_mistake_is_found_before_a_photo_is_sent(
    fake: FakeServer, url: str, photo: str, outputs: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["analyze", photo, *outputs])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
    assert fake.infers == 0


@pytest.mark.parametrize("option", ["--csv", "--parquet"])
def test_a_table_that_cannot_be_written_is_found_before_a_photo_is_sent(
    fake: FakeServer, url: str, photo: str, tmp_path: Path, option: str
) -> None:
    assert cli.main(["analyze", photo, option, str(tmp_path)]) == 2
    assert cli.main(["analyze", photo, option, str(tmp_path / "nowhere" / "f")]) == 2
    assert cli.main(["analyze", photo, option, str(tmp_path / ("f" * 5000))]) == 2
    assert cli.main(["analyze", photo, option, str(tmp_path / "f"), "--tasks", "aura"]) == 2
    assert (fake.infers, files(tmp_path)) == (0, ["photo.png"])


def test_without_pyarrow_one_line_says_what_to_install(
    url: str,
    photo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert cli.main(["analyze", photo, "--parquet", str(tmp_path / "f.parquet")]) == 2
    assert "qface-client[parquet]" in capsys.readouterr().err


def test_a_reader_of_csv_that_has_gone_ends_quietly(url: str, photo: str, command: Command) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with command("analyze", photo, "--csv", "-", stdout=writes) as process:
        os.close(writes)
        _, printed = process.communicate(timeout=60)
    assert (process.returncode, printed) == (141, "")


def test_the_score_of_a_missing_face_is_missing(
    url: str, fake: FakeServer, photo: str, tmp_path: Path
) -> None:
    fake.faces = 0
    assert cli.main(["analyze", photo, "--parquet", str(tmp_path / "f.parquet")]) == 0
    assert math.isnan(pandas.read_parquet(tmp_path / "f.parquet")["score"][0])

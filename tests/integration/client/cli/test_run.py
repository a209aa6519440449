"""`qface analyze` as a whole: where photos come from, what is sent, what answers, what a terminal shows."""

import io
import json
import sys
import threading
import time
import types
from pathlib import Path

import grpc
import pytest

from qface_client import FaceClient, cli
from qface_client.cli.inputs import Inputs
from qface_client.cli.progress import Progress
from tests.helpers.fake_v2_server import FakeServer, classes, closed_port, contract_of


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The files that were answered."""
    return [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_picture_by_standard_input_is_called_by_its_sign(
    url: str,
    photo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    standard_input(monkeypatch, Path(photo).read_bytes())
    assert cli.main(["analyze", "-", "--json", "--draw", str(tmp_path / "drawn")]) == 0
    assert lines(capsys) == ["-"]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["standard-input.png"]
    standard_input(monkeypatch, b"")
    assert cli.main(["analyze", "-"]) == 2
    assert capsys.readouterr().err.startswith("qface: -: the picture is empty")


def test_a_list_by_standard_input(
    url: str, photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input(monkeypatch, f"{photo}\0{photo}\0".encode())
    assert cli.main(["analyze", "--files-from", "-", "--null", "--json"]) == 0
    assert lines(capsys) == [photo, photo]


def test_a_folder_without_pictures_is_one_line_and_hides_no_other(
    url: str, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.main(["analyze", str(tmp_path / "empty"), photo, "--json"]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == len(printed.err.splitlines()) == 1


def test_the_options_of_the_search_and_priority_are_sent(fake: FakeServer, url: str, photo: str) -> None:
    asked = ["--min-score", "0.25", "--max-faces", "3", "--min-face", "0.01", "--priority", "1"]
    assert cli.main(["analyze", photo, *asked]) == 0
    assert fake.parameters == {"min_score": 0.25, "max_faces": 3, "min_face": 0.01, "priority": 1}


def test_a_search_that_the_server_does_not_take_is_one_line_and_no_photo_is_sent(
    fake: FakeServer, url: str, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(number: int, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "min_face is a number of 0.004 to 1")

    fake.before_infer = refuse
    assert cli.main(["analyze", *[photo] * 9, "--min-face", "0.0001"]) == 2
    assert capsys.readouterr().err == "qface: min_face is a number of 0.004 to 1\n"
    assert fake.infers == 1


def test_no_more_photos_are_under_way_than_wanted(fake: FakeServer, url: str, photo: str) -> None:
    three, lock, now, most = threading.Barrier(3), threading.Lock(), 0, 0

    def count(number: int, context: grpc.ServicerContext) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        three.wait(timeout=30)
        with lock:
            now -= 1

    fake.before_infer = count
    assert cli.main(["analyze", *[photo] * 12, "--concurrency", "3", "--quiet"]) == 0
    assert most <= 3


def test_the_environment_names_the_server_and_an_option_goes_before_it(
    url: str, photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QFACE_URL", f"127.0.0.1:{closed_port()}")
    assert cli.main(["info"]) == 1
    assert cli.main(["info", "--url", url]) == 0
    assert capsys.readouterr().out.startswith(f"{url}  contract ")


def test_a_recorded_run_is_played_again_without_a_server(
    url: str,
    photo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recording = str(tmp_path / "answers.rec")
    assert cli.main(["analyze", photo, "--json", "--record", recording]) == 0
    recorded = capsys.readouterr().out
    monkeypatch.setenv("QFACE_URL", f"127.0.0.1:{closed_port()}")
    assert cli.main(["analyze", photo, "--json", "--replay", recording]) == 0
    assert capsys.readouterr().out == recorded
    other = tmp_path / "other.png"
    other.write_bytes(Path(photo).read_bytes() + b"\0")
    assert cli.main(["analyze", str(other), photo, "--json", "--replay", recording]) == 1
    assert capsys.readouterr().out == recorded  # the one that is not in it hides no other


def test_local_answers_come_from_what_the_option_names(
    url: str, photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[object] = []

    def local(source: str, **options: object) -> FaceClient:
        given.extend((source, options))
        return FaceClient(url)

    monkeypatch.setattr("qface_client.local.LocalFaceClient", local)
    monkeypatch.setenv("QFACE_URL", f"127.0.0.1:{closed_port()}")
    assert cli.main(["analyze", photo, "--json", "--local", "var/repository"]) == 0
    assert lines(capsys) == [photo]
    assert given == ["var/repository", {"timeout": 60.0, "record": None}]


def test_what_is_missing_for_local_answers_is_one_line(
    photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["analyze", photo, "--local", str(tmp_path / "nowhere")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_terminal_sees_faces_and_errors_of_a_folder_and_nothing_when_quiet(
    url: str, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for quiet, shown in (([], True), (["--quiet"], False)):
        screen = Screen()
        monkeypatch.setattr("sys.stderr", screen)
        (tmp_path / "empty.png").write_bytes(b"")
        assert cli.main(["analyze", str(tmp_path), "--json", *quiet]) == 2
        assert ("faces=1, errors=1" in screen.getvalue()) == shown


def test_photos_of_a_folder_are_counted_while_the_first_are_answered(
    photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", Screen())
    with Progress(Inputs(operands=[str(tmp_path), photo]), shown=True) as progress:
        while progress._bar.total is None:
            time.sleep(0.001)
        assert progress._bar.total == 2


def test_photos_of_telephones_are_read_where_the_package_for_them_is(
    url: str, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[bool] = []
    package = types.ModuleType("pillow_heif")
    package.register_heif_opener = lambda: registered.append(True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    assert cli.main(["analyze", photo]) == 0
    assert registered


def test_info_has_no_version_of_a_server_that_names_none(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["server"] is None


def test_info_wraps_labels_on_a_terminal_alone(
    fake: FakeServer, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [f"label_{number}" for number in range(40)]
    fake.contract = contract_of(classes("mood", labels))
    assert cli.main(["info"]) == 0
    piped = capsys.readouterr().out
    assert f"  mood  classes in probability: {', '.join(labels)}\n" in piped
    monkeypatch.setenv("COLUMNS", "70")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    assert cli.main(["info"]) == 0
    wrapped = screen.getvalue().splitlines()[1:]
    assert max(map(len, wrapped)) <= 70
    assert all(line.startswith(" " * 8) for line in wrapped[1:])
    assert " ".join(screen.getvalue().split()) == " ".join(piped.split())

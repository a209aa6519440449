"""The command line without a server: its words, its exit status, its files."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from qface_client import cli
from tests.helpers.fake_v2_server import (
    FakeServer,
    classes,
    closed_port,
    contract_of,
    late,
    refuse,
    serve,
)


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    yield from serve(fake)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(path)
    return str(path)


@contextlib.contextmanager
def command(
    *arguments: str | bytes, stdout: Any = subprocess.PIPE, **variables: str
) -> Iterator["subprocess.Popen[str]"]:
    """`qface` in a process of its own."""
    program = "import sys; from qface_client import cli; sys.exit(cli.main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "",
            "PYTHONPATH": str(Path(cli.__file__).parents[2]),
            **variables,
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_no_server_is_one_line_with_the_address_and_what_to_do(
    photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"127.0.0.1:{closed_port()}"
    assert cli.main(["analyze", photo, "--url", url]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert url in printed.err
    assert "make serve" in printed.err
    assert "qface doctor" in printed.err


def test_an_unknown_task_is_one_line_with_those_that_there_are(
    photo: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["analyze", photo, photo, "--tasks", "mood,aura", "--url", url]) == 2
    assert capsys.readouterr().err == "qface: unknown task aura: this server has mood\n"


def test_order_is_kept_and_what_cannot_be_read_hides_no_other(
    photo: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.png")
    copies = [str(tmp_path / f"{i}.png") for i in range(20)]
    for name in copies:
        Path(name).write_bytes(Path(photo).read_bytes())
    asked = [*copies[:10], missing, *copies[10:]]
    assert cli.main(["analyze", *asked, "--json", "--url", url]) == 2
    printed = capsys.readouterr()
    assert [json.loads(line)["file"] for line in printed.out.splitlines()] == copies
    errors = [line for line in printed.err.splitlines() if line.startswith("qface:")]
    assert errors == [f"qface: {missing}: can't be read: No such file or directory"]


def test_a_photo_without_a_face_is_an_answer(
    fake: FakeServer, photo: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.faces = 0
    assert cli.main(["analyze", photo, "--json", "--url", url]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["faces_found"], line["faces"]) == (0, [])


def test_the_text_says_how_many_more_faces_there_are_and_how_small_ones_were_looked_for(
    fake: FakeServer, photo: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--min-score", "0.25", "--max-faces", "1", "--min-face", "0.005"]
    fake.faces_found = 640
    assert cli.main(["analyze", photo, *options, "--url", url]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("  1 face of 640 found, looked for from 22 pixels on")
    assert fake.parameters == {"min_score": 0.25, "max_faces": 1, "min_face": 0.005}
    fake.faces_found, fake.search_outputs = None, ()
    assert cli.main(["analyze", photo, "--url", url]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("  1 face")


def test_drawings_never_write_over_a_photo_or_each_other(url: str, tmp_path: Path) -> None:
    photos = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        photos.append(str(tmp_path / folder / "same.png"))
        Image.new("RGB", (50, 50)).save(photos[-1])
    before = [Path(photo).read_bytes() for photo in photos]
    assert cli.main(["analyze", *photos, "--draw", str(tmp_path / "a"), "--url", url]) == 0
    assert [Path(photo).read_bytes() for photo in photos] == before
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "same-2.png",
        "same-3.png",
        "same.png",
    ]


def test_a_folder_that_cannot_be_made_is_one_line(
    photo: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["analyze", photo, "--draw", photo, "--url", url]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_info_lists_tasks_with_their_labels(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--url", url]) == 0
    assert "mood  classes in probability: glad, sad" in capsys.readouterr().out
    assert cli.main(["info", "--json", "--url", url]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"][0]["labels"] == ["glad", "sad"]


def test_info_prints_the_precision(fake: FakeServer, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    fake.precision = "bf16"
    assert cli.main(["info", "--url", url]) == 0
    assert capsys.readouterr().out.partition("\n")[0].endswith("computed in bf16")
    assert cli.main(["info", "--json", "--url", url]) == 0
    assert json.loads(capsys.readouterr().out)["precision"] == "bf16"


def test_info_prints_the_notice_and_none_where_there_is_none(
    fake: FakeServer, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", "--url", url]) == 0
    assert "notice" not in capsys.readouterr().out
    fake.notice = "Your age is estimated.\nAsk \x1b[31mus."
    assert cli.main(["info", "--url", url]) == 0
    assert "  notice: Your age is estimated.\n  Ask \\x1b[31mus.\n" in capsys.readouterr().out
    assert cli.main(["info", "--json", "--url", url]) == 0
    assert json.loads(capsys.readouterr().out)["notice"] == fake.notice


@pytest.mark.parametrize(
    "wrong", [["analyze"], ["analyze", "x", "--tasks", ","], ["analyze", "x", "--timeout", "inf"]]
)
def test_a_wrong_command_is_told_by_its_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(wrong)
    assert caught.value.code == 2
    assert "usage: qface" in capsys.readouterr().err


def test_answers_that_came_are_printed_though_another_photo_meets_no_server(
    fake: FakeServer, url: str, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_the_first(number: int, context: grpc.ServicerContext) -> None:
        if number == 1:
            while fake.infers < 4:
                time.sleep(0.01)
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "gone")

    fake.before_infer = break_the_first
    assert cli.main(["analyze", *[photo] * 40, "--json", "--concurrency", "4", "--url", url]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == fake.infers - 1
    assert fake.infers < 40  # nothing new was begun
    assert printed.err.count("gone") == 1


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_how_many_of_several_photos_are_done_and_a_log_does_not(
    url: str, photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["analyze", photo, photo, "--url", url]) == 0
    assert capsys.readouterr().err == ""
    for photos, shown in (([photo], False), ([photo] * 3, True)):
        screen = Screen()
        monkeypatch.setattr("sys.stderr", screen)
        assert cli.main(["analyze", *photos, "--url", url]) == 0
        assert ("3/3" in screen.getvalue()) == shown
        assert ("photo/s" in screen.getvalue()) == shown


def test_the_bar_of_a_run_that_ends_early_is_not_full(photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    assert cli.main(["analyze", photo, photo, "--url", f"127.0.0.1:{closed_port()}"]) == 1
    assert "0/2" in screen.getvalue()
    assert "100%" not in screen.getvalue()


def test_ctrl_c_waits_for_no_photo_under_way(fake: FakeServer, url: str, photo: str) -> None:
    fake.before_infer = late(300)
    with command("analyze", photo, photo, "--url", url, "--timeout", "300") as process:
        while fake.infers == 0:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_each_line_is_there_as_soon_as_its_photo_is_answered(fake: FakeServer, url: str, photo: str) -> None:
    seen = threading.Event()
    fake.before_infer = lambda number, context: None if number == 1 else (seen.wait(60), None)[1]
    # One after the other: of two that are under way, the second photo's request may come first.
    arguments = ("--json", "--url", url, "--timeout", "30", "--concurrency", "1")
    with command("analyze", photo, photo, *arguments) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["faces_found"] == 1
        seen.set()
        rest, said = process.communicate(timeout=60)
    assert (len(rest.splitlines()), said) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(url: str, photo: str) -> None:
    with Path("/dev/full").open("w") as full, command("analyze", photo, "--url", url, stdout=full) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == "qface: standard output can't be written: No space left on device\n"


def test_a_reader_that_has_gone_is_no_matter_for_words(url: str, photo: str) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with command("analyze", photo, "--url", url, stdout=writes) as process:
        os.close(writes)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (141, "")


@pytest.mark.parametrize(
    ("name", "encoding", "shown"),
    [("\u00e9.png", "ascii", "\\xe9.png"), ("\udcff.png", "utf-8", "\\udcff.png")],
    ids=["ascii", "surrogate"],
)
def test_a_name_that_the_terminal_cannot_show_is_escaped(
    url: str, photo: str, tmp_path: Path, name: str, encoding: str, shown: str
) -> None:
    path = tmp_path / name
    path.write_bytes(Path(photo).read_bytes())
    missing = tmp_path / f"missing-{name}"
    arguments = [os.fsencode(path), os.fsencode(missing)]
    with command("analyze", *arguments, "--url", url, PYTHONIOENCODING=encoding) as process:
        out, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert shown in out
    assert f"missing-{shown}: can't be read" in said


def test_a_photo_named_twice_is_drawn_twice(url: str, photo: str, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    assert cli.main(["analyze", photo, photo, "--draw", str(drawn), "--url", url]) == 0
    assert sorted(path.name for path in drawn.iterdir()) == ["photo-2.png", "photo.png"]


def test_damaged_exif_is_not_complained_about(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, encoded = tmp_path / "photo.jpg", io.BytesIO()
    cut = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0"
    Image.new("RGB", (100, 80)).save(encoded, "JPEG", exif=cut)
    photo.write_bytes(encoded.getvalue())
    # Warnings are errors in these tests.
    assert cli.main(["analyze", str(photo), "--draw", str(tmp_path / "drawn"), "--url", url]) == 0
    assert capsys.readouterr().err == ""


def test_a_pipe_is_not_waited_for(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert cli.main(["analyze", str(pipe), "--url", url]) == 2
    assert "no regular file" in capsys.readouterr().err


KEY = "qf-3e9aK_2.b~"


@pytest.mark.parametrize("command", [["analyze", "PHOTO"], ["info"]])
def test_a_key_of_a_file_goes_with_every_call(
    fake: FakeServer, url: str, photo: str, tmp_path: Path, command: list[str]
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    arguments = [photo if word == "PHOTO" else word for word in command]
    assert cli.main([*arguments, "--url", url, "--api-key-file", str(file)]) == 0
    assert {call.get("authorization") for call in fake.metadata} == {f"Bearer {KEY}"}


def test_no_option_takes_the_key_itself(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["info", "--url", url, "--api-key", KEY])
    assert "unrecognized arguments: --api-key" in capsys.readouterr().err


def test_a_caller_who_is_not_let_in_is_told_once_how_to_be(
    fake: FakeServer, url: str, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.before_read = refuse(99, grpc.StatusCode.UNAUTHENTICATED, "this key is unknown")
    file = tmp_path / "key"
    file.write_text(KEY)
    assert cli.main(["analyze", photo, photo, "--url", url, "--api-key-file", str(file)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("qface:")]
    assert len(lines) == 1
    assert "--api-key-file" in lines[0]
    assert KEY not in lines[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--api-key-file", "nowhere"], "nowhere: the API key can't be read from it: No such file"),
        (["--tls-ca", "nowhere"], "nowhere: can't be read: No such file"),
        (["--tls-cert", "nowhere"], "belong together"),
    ],
)
def test_a_key_or_certificate_that_is_none_is_one_line(
    options: list[str], words: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", "--url", url, *options]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert words in said


def test_a_key_for_another_machine_needs_encryption_or_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    info = ["info", "--url", "faces.invalid:1", "--api-key-file", str(file)]
    assert cli.main(info) == 2
    assert "--insecure-key" in capsys.readouterr().err
    assert cli.main([*info, "--insecure-key"]) == 1  # it looks for the host, which there is none of
    assert cli.main([*info, "--tls"]) == 1

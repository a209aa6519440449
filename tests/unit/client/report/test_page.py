"""The page of `qface report`: what stands in it, that it is whole, and that names are nothing but text."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qface_client import cli
from qface_client.cli.report import figures
from qface_client.cli.report.gathered import FaceShown, PhotoShown
from qface_client.cli.report.spool import Kept
from tests.helpers.fake_v2_server import FakeServer
from tests.helpers.written_reports import WrittenReport, pattern

Run = Callable[..., WrittenReport]


def tiles(page: WrittenReport) -> dict[str, str]:
    return dict(re.findall(r"<dt>([a-z ]+)</dt><dd>([\d,]+)</dd>", page.source))


def test_the_head_counts_and_each_photo_has_a_card(report: Run, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"")
    page = report(status=2)
    assert tiles(page) == {"photos": "4", "faces": "3", "without a face": "0", "not analysed": "1"}
    cards = [attributes for attributes in page.all("li") if "data-score" in attributes]
    assert len(cards) == 3
    assert re.findall(r"[abc]\.png", page.texts["photos"]) == ["a.png", "b.png", "c.png"]
    assert "broken.jpg" in page.texts["failed"]
    assert "0 bytes" in page.texts["failed"]
    assert page.texts["failed"].count("broken.jpg") == 1


def test_every_known_kind_has_its_chart_and_points_have_none(report: Run) -> None:
    text = report().texts["answers"]
    assert "glad100%3" in text  # classes
    assert "scar100%3" in text  # multilabel
    assert "age: median 31.2, from 31.2 to 31.2 years" in text  # value
    assert "pitch: median 1, from 1 to 1 degrees" in text  # rotation
    assert "faces in which the point can be seen" in text  # visibility
    assert "skin0%" in text  # mask
    assert "corners" not in text


def test_a_task_marked_as_asked_for_by_name_is_in_no_report_that_does_not_name_it(
    report: Run, every_kind: FakeServer
) -> None:
    page = report()
    assert "origin_label" not in every_kind.asked
    assert "here" not in page.texts["answers"]
    assert "left out, as not named" in page.texts["run"]
    page = report("--tasks", "origin")
    assert "origin_label" in every_kind.asked
    assert "here100%3" in page.texts["answers"]


def test_a_kind_that_is_newer_than_the_client_is_left_out_and_named(
    report: Run, every_kind: FakeServer
) -> None:
    every_kind.contract["tasks"].append({"name": "aura", "kind": "field", "labels": ["a"], "unit": "tesla"})
    page = report()
    assert "aura" not in page.texts["answers"]
    assert "left out, as unknown to this clientaura" in page.texts["run"].replace("\n", "")


def test_the_run_is_stated(report: Run, every_kind: FakeServer, every_kind_url: str) -> None:
    every_kind.notice, every_kind.precision = "Tell <people> of it.", "int8"
    page = report()
    assert "Tell <people> of it." in page.texts[""]
    for stated in (
        every_kind_url,
        "int8",
        every_kind.contract["hash"],
        "qface report photos --html report.html",
    ):
        assert stated in page.texts["run"]


def test_the_page_loads_nothing_and_runs_its_own_script_alone(report: Run) -> None:
    page = report()
    loaded = [value for _, attributes in page.elements for name, value in attributes.items() if name == "src"]
    assert loaded
    assert all(value.startswith(("data:image/webp;base64,", "data:image/jpeg;base64,")) for value in loaded)
    assert not re.search(r"""https?:|url\(|@import""", page.source)
    assert not page.all("link")
    assert not any(name.startswith("on") or name == "style" for _, named in page.elements for name in named)
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag, source in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy


RIGHT_TO_LEFT = "\u202e"
HOSTILE = [
    "<script>alert(1)<x.png",
    '" onerror="alert(1).png',
    "line\nend.png",
    f"{RIGHT_TO_LEFT}gnp.png",
    "صورة.png",
    "a&amp;b.png",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_files_name_is_text(report: Run, photos: Path, name: str) -> None:
    pattern(9).save(photos / "plain.png")
    (photos / "plain.png").rename(photos / name)
    page = report()
    assert len(page.all("script")) == 1
    assert not any("onerror" in attributes for _, attributes in page.elements)
    shown = name.replace("\n", "\\n").replace(RIGHT_TO_LEFT, "\\u202e")
    assert shown in page.texts["photos"]


def test_names_that_are_no_utf8_are_shown_and_lead_to_their_files(report: Run, photos: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (photos / "a.png").rename(photos / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    page = report()
    assert "caf\\udce9.png" in page.texts["photos"]
    assert "./photos/caf%E9.png" in {link["href"] for link in page.all("a")} | {
        f"./{link['href']}" for link in page.all("a")
    }


def test_a_failed_photos_words_are_text_too(report: Run, photos: Path) -> None:
    (photos / "<b>bold<.png").write_bytes(b"")
    page = report(status=2)
    assert not page.all("b")
    assert "<b>bold<.png" in page.texts["failed"]


def test_no_more_photos_are_shown_than_wanted_and_the_page_says_so(
    report: Run, every_kind: FakeServer
) -> None:
    page = report("--most", "2")
    assert page.cards == 2
    assert "Shown are 2 of 3 photos" in page.texts["photos"]
    assert tiles(page)["faces"] == "3"


def test_photos_without_a_face_have_a_section_and_no_section_is_empty(
    report: Run, every_kind: FakeServer
) -> None:
    every_kind.faces = 0
    page = report()
    assert {"photos", "doubt", "answers", "failed", "copies"}.isdisjoint(page.texts)
    assert len(page.all("img")) == 3
    assert tiles(page)["without a face"] == "3"


def test_of_many_faces_in_a_photo_the_first_and_the_most_doubtful_are_shown(
    report: Run, every_kind: FakeServer
) -> None:
    every_kind.faces = 20
    every_kind.faces_found = 25
    every_kind.change_answer = lambda tensors: tensors.update(
        scores=np.linspace(0.95, 0.55, 20, dtype=np.float32)
    )
    page = report()
    crops = [image["alt"] for image in page.all("img") if image["alt"].endswith("of photos/a.png")]
    assert [f"face {number} of photos/a.png" for number in (*range(1, 13), *range(17, 21))] == crops[-16:]
    assert "and 4 more faces" in page.texts["photos"]
    assert "15 more faces" in page.texts[""]


def test_a_number_of_three_digits_fits_its_disc() -> None:
    box, kept = (0.0, 0.0, 9.0, 9.0), Kept(0, 4)
    heights = []
    for number in (9, 99, 999):
        face = FaceShown(
            number=number,
            box=box,
            colour=(0, 0, 0),
            side=9,
            rows=(),
            score=0,
            doubts=(),
            crop=kept,
            hash=None,
        )
        photo = PhotoShown(index=0, name="a", size=(9, 9), faces=(face,), count=999, score=0, thumbnail=None)
        (height,) = re.findall(r'font-size="([0-9.]+)"', figures.crop(face, photo, read=lambda _: b"RIFF"))
        heights.append(float(height))
    assert heights[0] == heights[1]
    assert heights[2] * 3 <= heights[1] * 2 + 0.2  # rounded


def test_what_is_printed(every_kind_url: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["report", "photos", "--html", "report.html", "--url", every_kind_url]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.startswith("report.html: 3 photos, 0 failed, 0 without a face; 3 faces, ")
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "html": "report.html",
        "photos": 3,
        "faces": 3,
        "without_face": 0,
        "failed": 0,
        "in_doubt": 0,
    }
    assert cli.main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_photo_on_standard_input_has_a_card_without_a_link(
    every_kind_url: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (photos / "a.png").open() as opened:
        monkeypatch.setattr("sys.stdin", opened)
        assert cli.main(["report", "-", "--html", "report.html", "--url", every_kind_url]) == 0
    page = WrittenReport(Path("report.html").read_text())
    assert page.cards == 1
    assert all(link["href"].startswith("#") for link in page.all("a"))


def test_recorded_answers_make_a_report_without_a_server(
    report: Run, every_kind_url: str, every_kind: FakeServer
) -> None:
    arguments = ["analyze", "photos", "--record", "answers.rec", "--quiet", "--url", every_kind_url]
    assert cli.main([*arguments, "--tasks", "mood,age"]) == 0
    every_kind.contract = {}
    page = report("--tasks", "mood,age", "--replay", "answers.rec")
    assert page.cards == 3
    assert "glad100%3" in page.texts["answers"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boxes", np.array([[-1e30, -1e30, 1e30, 1e30]], np.float32)),
        ("boxes", np.array([[0, 0, 60_000, 60_000]], np.float32)),
        ("photo_size", np.array([0, 0], np.int32)),
        ("photo_size", np.array([2**31 - 1, 1], np.int32)),
    ],
)
def test_an_answer_that_fits_no_photo_makes_a_page_all_the_same(
    report: Run, every_kind: FakeServer, name: str, value: np.ndarray[Any, Any]
) -> None:
    every_kind.change_answer = lambda tensors: tensors.update({name: value})
    page = report()
    assert page.cards == 3
    assert ("could be analysed but not be shown here" in page.source) == (name == "photo_size")


def test_a_recording_of_all_tasks_makes_no_report_of_those_that_are_asked_for_by_name(
    report: Run, every_kind_url: str
) -> None:
    assert cli.main(["analyze", "photos", "--record", "r.rec", "--quiet", "--url", every_kind_url]) == 0
    page = report("--replay", "r.rec")
    assert "left out, as not named" in page.texts["run"]
    assert "here" not in page.texts["answers"]

"""The page that `qface report` writes, opened from a file: for all to read, sorted by keyboard."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from qface_client import cli
from tests.helpers.fake_v2_server import FakeServer, running
from tests.helpers.paths import ROOT
from tests.helpers.written_reports import make_photos, pattern

EVERY_KIND = ROOT / "tests" / "assets" / "contracts" / "good_every_kind.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report in which no section is missing."""
    folder = tmp_path_factory.mktemp("report")
    make_photos(folder / "photos")
    pattern(0).save(folder / "photos" / "copy.jpg")
    (folder / "photos" / "broken.png").write_bytes(b"")
    fake = FakeServer(json.loads(EVERY_KIND.read_text()), faces=2)
    fake.change_answer = lambda tensors: tensors["scores"].__setitem__(
        slice(None), 0.55 + 0.1 * (fake.infers % 4)
    )
    with running(fake) as url:
        arguments = ["--html", str(folder / "report.html"), "--url", url, "--quiet", "--concurrency", "1"]
        assert cli.main(["report", str(folder / "photos"), *arguments]) == 2
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_and_nothing_is_cut_off(page: Page, written: str, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(written)
    sections = [
        "Look at these first",
        "How the answers spread",
        "Photos with faces",
        "Near copies",
        "Not analysed",
    ]
    for name in sections:
        expect(page.get_by_role("region", name=name)).to_be_visible()
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_photos_are_ordered_and_filtered_by_keyboard(page: Page, written: str) -> None:
    page.goto(written)
    names = page.locator("#sheet > li:visible .name a")
    page.get_by_label("Order").focus()
    page.keyboard.type("as they were given")
    expect(names).to_have_text(["a.png", "b.png", "c.png", "copy.jpg"])
    page.keyboard.press("Tab")
    page.keyboard.type("COPY glad")
    expect(names).to_have_text(["copy.jpg"])
    expect(page.get_by_text("1 of 4 photos")).to_be_visible()


def test_without_scripts_all_photos_are_there_and_no_control_that_does_nothing(
    chromium: Browser, written: str
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(written)
        expect(page.locator("#sheet > li")).to_have_count(4)
        expect(page.locator(".controls")).to_be_hidden()
    finally:
        context.close()

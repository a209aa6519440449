"""How photos come into the page: dropped, chosen, as a folder, pasted, from the webcam."""

import shutil
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from tests.helpers.browser.gestures import drop, paste
from tests.helpers.browser.page_server import PageServer
from tests.helpers.browser.pictures import Pictures

# What browsers without a camera do, and those that show the page to another machine over http.
NO_CAMERA = """() => {
    navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException("Requested device not found", "NotFoundError");
    };
}"""
NO_CAMERA_GIVEN = (
    "() => Object.defineProperty(navigator, 'mediaDevices', {value: undefined, configurable: true}) && null"
)


def test_photos_are_dropped_chosen_pasted_and_given_as_a_folder(
    page: Page, stand_in: PageServer, pictures: Pictures, tmp_path: Path
) -> None:
    """Each is listed, analysed as it is, byte by byte, and nothing of a folder but its files."""
    status, photos = (
        page.get_by_role("status"),
        page.get_by_role("list", name="Photos").get_by_role("listitem"),
    )
    page.goto(stand_in.url)
    expect(page.get_by_role("button", name="Photos")).to_be_visible()
    expect(photos).to_have_count(0)
    drop(page, pictures.astronaut)
    expect(status).to_have_text("1 face found in astronaut.jpg")
    paste(page, pictures.turned)
    expect(status).to_have_text("1 face found in turned.jpg")
    page.locator("#photos").set_input_files([pictures.faceless, pictures.twenty])
    folder = tmp_path / "album"
    (folder / "below").mkdir(parents=True)
    shutil.copy(pictures.astronaut, folder / "first.jpg")
    shutil.copy(pictures.astronaut, folder / "below" / "second.jpg")
    (folder / ".hidden").write_text("of the system's own")
    page.locator("#folder").set_input_files(folder)
    expect(photos.locator(".said")).to_have_text(["1 face"] * 6)
    names = photos.locator(".file").all_inner_texts()
    assert names[:4] == ["astronaut.jpg", "turned.jpg", "moon.png", "twenty.jpg"]
    assert sorted(names[4:]) == ["first.jpg", "second.jpg"]
    given = [
        pictures.astronaut,
        pictures.turned,
        pictures.faceless,
        pictures.twenty,
        *[pictures.astronaut] * 2,
    ]
    assert sorted(asked.body for asked in stand_in.asked) == sorted(each.read_bytes() for each in given)


def test_what_is_no_file_and_an_empty_folder_are_answered_in_a_sentence(
    page: Page, stand_in: PageServer, tmp_path: Path
) -> None:
    page.goto(stand_in.url)
    drop(page)
    expect(page.get_by_role("alert")).to_contain_text("nothing of what was dropped is a file")
    paste(page)
    expect(page.get_by_role("alert")).to_contain_text("the clipboard has no picture")
    (tmp_path / ".DS_Store").write_text("of the system's own")
    page.locator("#folder").set_input_files(tmp_path)
    expect(page.get_by_role("alert")).to_contain_text("the folder is empty")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_empty()
    assert not stand_in.asked


def test_a_frame_of_the_webcam_is_a_photo_and_live_asks_frame_after_frame(
    context: BrowserContext, page: Page, stand_in: PageServer
) -> None:
    context.grant_permissions(["camera"])
    page.goto(stand_in.url)
    page.get_by_role("button", name="Webcam").click()
    page.get_by_role("button", name="Take a frame").click()
    expect(page.get_by_role("status")).to_have_text("1 face found in webcam 1.jpg")
    expect(page.get_by_role("article", name="Face 1")).to_be_visible()
    assert [asked.body[:3] for asked in stand_in.asked] == [b"\xff\xd8\xff"]  # a JPEG
    page.get_by_role("button", name="Webcam", exact=True).click()
    live = page.get_by_role("button", name="Live")
    live.click()
    expect(page.get_by_text("frames/s")).to_be_visible()
    live.click()
    expect(live).to_have_attribute("aria-pressed", "false")
    asked = len(stand_in.asked)
    page.get_by_role("button", name="Close the webcam").click()
    expect(page.get_by_role("article", name="Face 1")).to_be_visible()  # the photo of before
    expect(page.get_by_role("list", name="Photos").get_by_role("listitem")).to_have_count(1)
    assert page.evaluate("document.querySelector('video').srcObject") is None
    assert len(stand_in.asked) in (asked, asked + 1)


def test_a_webcam_that_is_refused_or_missing_is_a_sentence_and_nothing_else(
    page: Page, stand_in: PageServer
) -> None:
    alert = page.get_by_role("alert")
    page.goto(stand_in.url)
    page.get_by_role("button", name="Webcam").click()
    expect(alert).to_contain_text("the camera was refused: allow it for this page")
    page.evaluate(NO_CAMERA)
    page.get_by_role("button", name="Webcam").click()
    expect(alert).to_contain_text("this machine has no camera")
    page.evaluate(NO_CAMERA_GIVEN)
    page.get_by_role("button", name="Webcam").click()
    expect(alert).to_contain_text("browsers give a camera to https and to localhost only")
    expect(page.get_by_role("button", name="Photos")).to_be_visible()  # the page is as it was
    expect(page.get_by_role("button", name="Take a frame")).to_be_hidden()

"""The page on the real server: what it shows, draws and copies is what the server answered."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Locator, Page, Response, expect

from tests.helpers.browser.gestures import drop
from tests.helpers.browser.pictures import FACES, Pictures
from tests.helpers.browser.watch import Watch

# The boxes as they lie on the screen, in pixels of a photo of this width.
DRAWN = """width => {
    const photo = document.getElementById("shown").getBoundingClientRect();
    const scale = photo.width / width;
    return [...document.querySelectorAll("#overlay rect.box")].map(each => {
        const {x, y, width, height} = each.getBBox();
        const matrix = each.getScreenCTM();
        const [low, high] = [[x, y], [x + width, y + height]].map(([x, y]) =>
            new DOMPoint(x, y).matrixTransform(matrix));
        return [low.x - photo.x, low.y - photo.y, high.x - photo.x, high.y - photo.y].map(at => at / scale);
    });
}"""
SMALL = 16  # pixels: of pictures that are compared as a whole
PIXELS = """side => {
    const canvas = new OffscreenCanvas(side, side);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(document.getElementById("shown"), 0, 0, side, side);
    return [...context.getImageData(0, 0, side, side).data];
}"""


class Answers(list[dict[str, Any]]):
    """Every answer that the page gets of the server, with its Server-Timing."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._responses: list[Response] = []
        page.on("response", self._note)

    def _note(self, response: Response) -> None:
        if "/v1/analyze" in response.url and response.ok:
            self._responses.append(response)

    def last(self) -> dict[str, Any]:
        content: dict[str, Any] = self._responses[-1].json()
        return content

    def timing(self) -> str:
        return self._responses[-1].headers["server-timing"]


def faces(page: Page) -> Locator:
    return page.get_by_role("region", name="Faces", exact=True).get_by_role("article")


def percent(share: float) -> str:
    """As the page shows it: nothing that is not certain is called 100 %, nothing possible 0 %."""
    value = 100 * share
    shown = "<1" if 0 < value < 1 else ">99" if 99 < value < 100 else f"{value:.0f}"
    return f"{shown}\u202f%"


def copied(page: Page) -> Any:
    page.get_by_role("button", name="Copy JSON").click()
    expect(page.get_by_role("status")).to_have_text("copied as JSON")
    return json.loads(page.evaluate("navigator.clipboard.readText()"))


def test_a_portrait_is_shown_drawn_timed_and_copied_as_it_was_answered(
    page: Page, web_server: str, pictures: Pictures
) -> None:
    answers = Answers(page)
    page.goto(web_server)
    drop(page, pictures.astronaut)
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")
    answer = answers.last()
    (face,) = answer["faces"]
    described = page.request.get(f"{web_server}v1/tasks").json()["tasks"]
    card = faces(page)
    for task in described:
        name = task["name"].replace("_", " ")
        expect(card.locator("h4, dt").get_by_text(name, exact=True).first).to_be_visible()
        expect(page.get_by_role("checkbox", name=name, exact=True)).to_be_checked()
    for task in (task for task in described if task["kind"] == "classes"):
        label = face[task["name"]]["label"]
        shown = f"{label.replace('_', ' ')} {percent(face[task['name']]['probabilities'][label])}"
        expect(card.get_by_role("definition").filter(has_text=shown)).to_be_visible()
    assert page.evaluate(DRAWN, answer["width"]) == [pytest.approx(face["box"], abs=0.01)]
    points = next(task for task in described if task["kind"] == "points")
    assert page.locator("#overlay circle").count() >= len(points["labels"])
    parts = [part.split(";dur=") for part in answers.timing().split(", ")]
    times = page.get_by_role("list", name="Parts of the time")
    for name, ms in parts:
        if name != "total" and float(ms) < 10_000:  # a longer part is shown in seconds
            digits = 0 if float(ms) >= 100 else 1 if float(ms) >= 1 else 2
            expect(times).to_contain_text(f"{name} {float(ms):.{digits}f}\u202fms")
    assert copied(page) == answer


def test_a_photo_on_its_side_is_shown_upright_and_its_face_lies_right(
    page: Page, web_server: str, pictures: Pictures
) -> None:
    answers = Answers(page)
    page.goto(web_server)
    drop(page, pictures.turned)
    expect(page.get_by_role("status")).to_have_text("1 face found in turned.jpg")
    answer = answers.last()
    assert (answer["width"], answer["height"]) == (384, 512)
    (drawn,) = page.evaluate(DRAWN, answer["width"])
    assert drawn == pytest.approx(answer["faces"][0]["box"], abs=0.01)
    assert drawn == pytest.approx([172 - 64, 68, 279 - 64, 174], abs=6)  # as in the photo that it was cut of
    with Image.open(pictures.turned) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    expected = np.asarray(upright.resize((SMALL, SMALL), Image.Resampling.BOX), dtype=float)
    shown = np.array(page.evaluate(PIXELS, SMALL), dtype=float).reshape(SMALL, SMALL, 4)[..., :3]
    assert np.abs(shown - expected).mean() < 8


def test_twenty_faces_can_all_be_selected_and_stand_in_the_table(
    page: Page, web_server: str, pictures: Pictures
) -> None:
    answers = Answers(page)
    page.goto(web_server)
    drop(page, pictures.twenty)
    expect(page.get_by_role("status")).to_have_text(f"{FACES} faces found in twenty.jpg")
    answer = answers.last()
    drawn = page.evaluate(DRAWN, answer["width"])
    assert np.array(drawn) == pytest.approx(np.array([face["box"] for face in answer["faces"]]), abs=0.01)
    expect(page.get_by_role("table", name="Answers").get_by_role("row")).to_have_count(1 + FACES)
    expect(faces(page)).to_have_count(FACES)
    overlay = page.get_by_role("group", name="Faces in the photo")
    for number in range(1, FACES + 1):
        overlay.get_by_role("button", name=f"Face {number}", exact=True).click()
        expect(faces(page).nth(number - 1).get_by_role("definition").first).to_be_visible()
        expect(faces(page).get_by_role("button", expanded=True)).to_have_count(1)
    assert copied(page) == answer


def test_broken_files_and_those_without_a_face_leave_the_good_one_alone(
    page: Page, web_server: str, pictures: Pictures, watch: Watch
) -> None:
    watch.expect_status(422)
    page.goto(web_server)
    given = {
        pictures.broken: "The JPEG is cut short: it ends after 200 bytes; send the whole file.",
        pictures.astronaut: "1 face",
        pictures.empty: "the file is empty",
        pictures.faceless: "no face",
        pictures.text: "not a picture that is known here",
    }
    page.locator("#photos").set_input_files(list(given))
    listed = page.get_by_role("list", name="Photos").get_by_role("listitem")
    expect(listed).to_have_count(len(given))
    for at, said in enumerate(given.values()):
        expect(listed.nth(at).locator(".said")).to_contain_text(said)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()  # nothing is under way any more
    expect(page.get_by_role("alert")).to_contain_text("2 more photos: the list has the reasons")
    listed.nth(3).get_by_role("button").first.click()
    expect(page.get_by_role("table", name="Answers").get_by_role("row")).to_have_count(1)
    expect(page.get_by_text("no face, no row")).to_be_visible()
    page.get_by_role("checkbox", name="all photos").check()
    content = copied(page)
    assert [each["file"] for each in content if "faces" in each] == ["astronaut.jpg", "moon.png"]
    listed.nth(1).get_by_role("button").first.click()
    expect(faces(page)).to_have_count(1)

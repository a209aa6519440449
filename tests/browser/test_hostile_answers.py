"""What answers is not what it seems, or in no known form: a sentence, and the rest of the page goes on."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.helpers.browser.answers import TASKS, answer, description, face
from tests.helpers.browser.gestures import drop
from tests.helpers.browser.page_server import PageServer, Reply, one_face, usual_tasks
from tests.helpers.browser.pictures import Pictures

# Names that every object of JavaScript has: a face has them only where its answer does.
INHERITED = tuple(
    {"name": name, "kind": "classes", "labels": ["a", "b"], "unit": "probability"}
    for name in ("constructor", "toString", "__proto__")
)
FORMLESS: tuple[Any, ...] = (
    None,
    [],
    {},
    {**answer(), "faces": {"length": 1}},
    {**answer(), "faces": [None]},
    {**answer(), "faces": [{"score": 0.5}]},
    {**answer(), "faces": [{**face(), "box": [1, 2, 3]}]},
    {**answer(), "width": "wide"},
)


def test_what_is_no_answer_and_no_description_is_a_sentence(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    alert = page.get_by_role("alert")
    for content in (None, {}, {"tasks": [{"name": "age"}]}):
        stand_in.tasks = lambda _asked, content=content: Reply(content=content)  # type: ignore[misc]
        page.goto(stand_in.url)
        expect(alert).to_contain_text("what answered is no Q-Face server: it describes no tasks")
    stand_in.tasks = usual_tasks
    alert.get_by_role("button", name="Ask again").click()
    expect(alert).to_be_empty()
    for content in FORMLESS:
        stand_in.analyze = lambda _asked, content=content: Reply(content=content)  # type: ignore[misc]
        drop(page, pictures.astronaut)
        expect(alert).to_contain_text("astronaut.jpg: what answered is no Q-Face server")
        page.get_by_role("button", name="Clear").click()
        expect(alert).to_be_empty()
    stand_in.analyze = one_face
    drop(page, pictures.astronaut)
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")


def test_answers_in_another_form_than_their_kinds_hide_no_other(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    odd: dict[str, Any] = {str(task["name"]): None for task in TASKS if task["name"] != "weight"}
    huge = face()["regions"] | {"size": [-1, 4], "runs": [[7, 1e9]]}
    stand_in.tasks = lambda _asked: Reply(content=description([*TASKS, *INHERITED]))
    stand_in.analyze = lambda _asked: Reply(content=answer(face(**odd), face(regions=huge)))
    page.goto(stand_in.url)
    drop(page, pictures.astronaut)
    card = page.get_by_role("article", name="Face 1")
    expect(card.get_by_role("definition").filter(has_text="41.5 grams")).to_be_visible()
    expect(card.locator("pre.json")).to_have_text(["null"] * len(odd))
    table = page.get_by_role("table", name="Answers")
    expect(table.get_by_role("row")).to_have_count(3)
    expect(table.get_by_role("columnheader", name="constructor")).to_have_count(0)
    expect(page.get_by_role("group", name="Faces in the photo").locator("rect.box")).to_have_count(2)
    page.get_by_role("button", name="Copy CSV").click()
    expect(page.get_by_role("status")).to_have_text("copied as CSV")


def test_a_proxy_that_sends_to_its_own_page_is_no_server_that_is_away(
    page: Page, stand_in: PageServer
) -> None:
    stand_in.tasks = lambda _asked: Reply(content={}, status=302, headers={"Location": "/blank"})
    page.goto(stand_in.url)
    expect(page.get_by_role("alert")).to_contain_text("sends elsewhere, perhaps to sign in")


def test_photos_that_are_taken_away_cost_nothing_more(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    """A long queue that is canceled asks for none of those that waited; one that is cleared decodes none."""
    page.add_init_script(
        "const decode = createImageBitmap; window.decoded = 0;"
        "window.createImageBitmap = (...given) => { window.decoded += 1; return decode(...given); }"
    )
    page.goto(stand_in.url)
    stand_in.hold()
    drop(page, *[pictures.astronaut] * 8)
    assert stand_in.arrived.wait(20)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("canceled: answers that there are stay")
    stand_in.release()
    photos = page.get_by_role("list", name="Photos")
    photos.get_by_role("button", name="astronaut.jpg", exact=False).first.focus()
    page.keyboard.press("End")
    expect(photos.get_by_role("listitem").last.locator(".pick")).to_have_attribute("aria-current", "true")
    expect(photos.get_by_role("listitem").last.locator("canvas")).to_be_visible()
    decoded = page.evaluate("window.decoded")
    page.get_by_role("button", name="Clear").click()
    drop(page, pictures.faceless)
    expect(page.get_by_role("status")).to_have_text("1 face found in moon.png")
    assert page.evaluate("window.decoded") == decoded + 1
    assert len(stand_in.asked) <= 3  # two were under way


def test_a_file_that_is_gone_when_its_turn_comes_is_named_and_the_server_is_not_blamed(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    gone = pictures.folder / "gone.jpg"
    gone.write_bytes(pictures.astronaut.read_bytes())
    page.goto(stand_in.url)
    page.locator("#photos").set_input_files(gone)
    expect(page.get_by_role("status")).to_have_text("1 face found in gone.jpg")
    gone.unlink()
    page.get_by_role("checkbox", name="signs").uncheck()  # it is asked anew
    expect(page.get_by_role("alert")).to_contain_text("gone.jpg: the file can't be read any more")
    assert len(stand_in.asked) == 1


def test_a_webcam_is_opened_once_however_often_it_is_asked_for(page: Page, stand_in: PageServer) -> None:
    page.context.grant_permissions(["camera"])
    page.add_init_script(
        "const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media); window.streams = 0;"
        "media.getUserMedia = (...given) => { window.streams += 1; return ask(...given); }"
    )
    page.goto(stand_in.url)
    page.evaluate("const webcam = document.getElementById('webcam'); webcam.click(); webcam.click()")
    expect(page.get_by_role("button", name="Take a frame")).to_be_visible()
    assert page.evaluate("window.streams") == 1

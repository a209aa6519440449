"""The page without a mouse: from the first Tab to the copied answer, and where one is at any time."""

import json

from playwright.sync_api import Page, expect

from tests.helpers.browser.answers import TASKS, answer, face
from tests.helpers.browser.page_server import PageServer, Reply
from tests.helpers.browser.pictures import Pictures

FAR = 60  # stops until something would be called out of reach
# The focused element, and whether its outline, or that of the label or list that stands for it, is seen.
FOCUSED = """() => {
    const element = document.activeElement;
    const {width, height} = element.getBoundingClientRect();
    const shows = each => {
        if (!each) return false;
        const style = getComputedStyle(each);
        const isOutlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
        return isOutlined || (each.matches("svg .hit") && style.stroke !== "none");
    };
    return {
        name: element.getAttribute("aria-label") ?? element.id ?? "",
        text: element.textContent.trim().slice(0, 40),
        place: element.closest("[id], article")?.id ?? "",
        isMarked: shows(element) || shows(element.parentElement) || shows(element.nextElementSibling)
            || [...element.children].some(shows),
    };
}"""


def tab_to(page: Page, wanted: str, *, key: str = "Tab") -> list[str]:
    """Presses Tab until the focused element has this name or text; the stops that show no focus."""
    unmarked = []
    for _ in range(FAR):
        page.keyboard.press(key)
        focused = page.evaluate(FOCUSED)
        if not focused["isMarked"]:
            unmarked.append(f"{focused['name']} {focused['text']}")
        if wanted in (focused["name"], focused["text"]):
            return unmarked
    raise AssertionError(f"{FAR} times {key} did not lead to {wanted!r}")


def test_from_load_to_the_copied_answer_without_a_mouse(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    faces = [face((60.0 + 150 * at, 60.0, 160.0 + 150 * at, 160.0)) for at in range(3)]
    stand_in.analyze = lambda _asked: Reply(content=answer(*faces))
    page.on("filechooser", lambda _chooser: None)  # from now on none is the system's own
    page.goto(stand_in.url)
    expect(page.get_by_role("checkbox", name=str(TASKS[0]["name"]))).to_be_visible()
    unmarked = tab_to(page, "Photos")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([pictures.astronaut, pictures.twenty])
    said = page.get_by_role("list", name="Photos").locator(".said")
    expect(said).to_have_text(["3 faces", "3 faces"])

    unmarked += tab_to(page, "astronaut.jpg3 faces")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("img", name="twenty.jpg")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.get_by_role("img", name="astronaut.jpg")).to_be_visible()

    unmarked += tab_to(page, "Face 1")
    drawn = page.get_by_role("group", name="Faces in the photo")
    for key, number in (("ArrowRight", 2), ("End", 3), ("ArrowDown", 1), ("ArrowLeft", 3)):
        page.keyboard.press(key)
        expect(drawn.get_by_role("button", name=f"Face {number}", pressed=True)).to_be_focused()
        card = page.get_by_role("region", name="Faces", exact=True).get_by_role(
            "article", name=f"Face {number}"
        )
        expect(card.get_by_role("heading", name=str(TASKS[0]["name"]))).to_be_visible()

    unmarked += tab_to(page, "Boxes")
    page.keyboard.press("Space")
    expect(page.locator("#overlay rect.box")).to_have_count(0)
    unmarked += tab_to(page, "Copy JSON")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("copied as JSON")
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == answer(*faces)
    unmarked += tab_to(page, "Photos", key="Shift+Tab")  # and back again: no trap
    assert unmarked == []


def test_a_photo_is_removed_by_its_key_and_the_focus_stays_in_the_list(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    page.goto(stand_in.url)
    page.locator("#photos").set_input_files([pictures.astronaut, pictures.twenty])
    photos = page.get_by_role("list", name="Photos")
    expect(photos.locator(".said")).to_have_text(["1 face", "1 face"])
    photos.get_by_role("button", name="astronaut.jpg 1 face").focus()
    page.keyboard.press("Delete")
    expect(photos.get_by_role("listitem")).to_have_count(1)
    expect(photos.get_by_role("button", name="twenty.jpg 1 face")).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.get_by_role("button", name="Photos")).to_be_focused()
    expect(page.get_by_role("heading", name="Drop photos of people anywhere")).to_be_visible()

"""Eyes and screens: axe finds nothing; dark and light, phone and desk, and still for those who want that."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.accessibility import axe_findings
from tests.helpers.browser.answers import answer, face, no_face
from tests.helpers.browser.gestures import drop
from tests.helpers.browser.page_server import PageServer, Reply, problem
from tests.helpers.browser.pictures import FACES, Pictures
from tests.helpers.browser.watch import Watch

CROWD = [
    face((20.0 + 170 * (at % 5), 20.0 + 170 * (at // 5), 120.0 + 170 * (at % 5), 120.0 + 170 * (at // 5)))
    for at in range(FACES)
]
WIDTHS = (320, 360, 768, 1000, 1240, 1920)  # pixels: of phones, of tablets, at the layout's bounds, of desks
# The pixels by which the page is wider than its window, and what sticks out of it.
SIDEWAYS = """() => {
    const width = document.documentElement.clientWidth;
    const isScrolled = each => each.closest(".scroll, [class*=unseen]");
    const out = [...document.body.querySelectorAll("*")].filter(each => !isScrolled(each)
        && each.getBoundingClientRect().right > width + 1).map(each => each.outerHTML.slice(0, 80));
    return {over: document.documentElement.scrollWidth - width, out: out.slice(0, 3)};
}"""
MOVING = """() => [...document.querySelectorAll("*")].flatMap(each => {
    const style = getComputedStyle(each);
    const durations = `${style.transitionDuration},${style.animationDuration}`.split(",");
    const longest = Math.max(...durations.map(parseFloat));
    return longest > 0.01 ? [each.outerHTML.slice(0, 80)] : [];
})"""
SURFACE = "() => getComputedStyle(document.body).backgroundColor"


def crowd(page: Page, server: PageServer, pictures: Pictures) -> None:
    """The page with a photo of twenty faces, answered."""
    server.analyze = lambda _asked: Reply(content=answer(*CROWD, width=900, height=720))
    drop(page, pictures.twenty)
    expect(page.get_by_role("status")).to_have_text("20 faces found in twenty.jpg")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    page: Page, stand_in: PageServer, pictures: Pictures, watch: Watch, scheme: str
) -> None:
    watch.expect_status(422)
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(stand_in.url)
    expect(page.get_by_role("checkbox").first).to_be_visible()
    assert axe_findings(page) == []
    crowd(page, stand_in, pictures)
    page.get_by_text("What answers").click()
    page.get_by_role("button", name="Masks").click()
    assert axe_findings(page) == []
    stand_in.analyze = lambda _asked: problem(422, "The JPEG is cut short.", reason="picture")
    drop(page, pictures.broken)
    expect(page.get_by_role("alert")).to_contain_text("cut short")
    assert axe_findings(page) == []
    stand_in.analyze = lambda _asked: Reply(content=no_face(width=320, height=240))
    page.set_viewport_size({"width": 360, "height": 740})
    drop(page, pictures.faceless)
    expect(page.get_by_role("status")).to_contain_text("face")
    assert axe_findings(page) == []


def test_no_screen_makes_the_page_scroll_sideways(
    page: Page, stand_in: PageServer, pictures: Pictures, watch: Watch
) -> None:
    watch.expect_status(422)
    long = "a" * 300
    named = pictures.folder / f"{long[:200]}.jpg"
    named.write_bytes(pictures.broken.read_bytes())
    page.goto(stand_in.url)
    expect(page.get_by_role("checkbox").first).to_be_visible()

    def check() -> None:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate(SIDEWAYS) == {"over": 0, "out": []}, width

    check()
    crowd(page, stand_in, pictures)
    check()
    stand_in.analyze = lambda _asked: problem(422, long, reason="picture")
    drop(page, named)
    expect(page.get_by_role("alert")).to_contain_text("aaaa")
    check()


def test_a_phone_shows_the_photo_and_each_of_twenty_faces(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(stand_in.url)
    crowd(page, stand_in, pictures)
    photo = page.get_by_role("img", name="twenty.jpg").bounding_box()
    assert photo is not None
    assert photo["width"] > 280
    for number in (FACES, 7):
        page.get_by_role("group", name="Faces in the photo").get_by_role(
            "button", name=f"Face {number}", exact=True
        ).click()
        card = page.get_by_role("region", name="Faces", exact=True).get_by_role(
            "article", name=f"Face {number}", exact=True
        )
        expect(card.get_by_role("button")).to_have_attribute("aria-expanded", "true")
    rows = page.get_by_role("table", name="Answers").get_by_role("row")
    expect(rows).to_have_count(1 + FACES)


def test_light_and_dark_are_the_systems_unless_the_visitor_says_otherwise(
    page: Page, stand_in: PageServer
) -> None:
    page.goto(stand_in.url)
    theme = page.get_by_role("button", name="Theme")
    light = page.evaluate(SURFACE)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(SURFACE)
    assert light != dark
    theme.click()
    expect(theme).to_have_text("Theme: light")
    assert page.evaluate(SURFACE) == light
    theme.click()
    expect(theme).to_have_text("Theme: dark")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(SURFACE) == dark
    page.reload()  # kept in the address alone
    expect(page).to_have_url(re.compile("#theme=dark$"))
    assert page.evaluate(SURFACE) == dark


def test_nothing_moves_for_those_who_want_it_still(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    page.goto(stand_in.url)
    crowd(page, stand_in, pictures)
    page.locator("main").dispatch_event("dragenter")
    assert page.evaluate(MOVING) == []
    assert page.evaluate("document.getAnimations().length") == 0

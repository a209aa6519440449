"""Where a photo is computed: the page's switch between its server and the network in this browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.gestures import drop
from tests.helpers.browser.page_server import PageServer
from tests.helpers.browser.pictures import Pictures
from tests.helpers.browser.watch import Watch


@pytest.fixture
def without_bundle(tmp_path: Path) -> Iterator[PageServer]:
    """A server whose browser's network was never made."""
    with PageServer(bundle=tmp_path / "missing") as running:
        yield running


def test_without_a_network_for_the_browser_the_page_says_so_and_the_server_answers_again(
    page: Page, without_bundle: PageServer, pictures: Pictures, watch: Watch
) -> None:
    watch.expect_status(404)
    page.goto(without_bundle.url)
    page.get_by_role("radio", name="This browser").check()
    expect(page.get_by_role("alert")).to_contain_text("the browser's network is not whole")
    expect(page.get_by_text("No photo leaves this machine.")).to_be_visible()
    expect(page.get_by_label("API key")).to_be_hidden()  # nothing of the server's
    drop(page, pictures.astronaut)
    expect(page.get_by_role("list", name="Photos").get_by_role("listitem")).to_have_count(1)
    assert not without_bundle.asked  # it waits, and is not sent where the visitor did not want it
    page.get_by_role("radio", name="Server").check()
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")
    expect(page.get_by_role("alert")).to_be_empty()
    assert len(without_bundle.asked) == 1


def test_the_network_in_this_browser_answers_and_the_photo_is_not_sent(
    page: Page, pages_only: str, pictures: Pictures, watch: Watch
) -> None:
    """The page alone, without a server: it turns to the browser by itself, and does not ask for race."""
    watch.expect_status(404)
    page.goto(pages_only)
    expect(page.get_by_role("radio", name="This browser")).to_be_checked()
    expect(page.get_by_role("radio", name="Server")).to_be_disabled()
    drop(page, pictures.astronaut)
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg", timeout=120_000)
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.locator("#overlay rect.box")).to_have_count(1)
    expect(page.get_by_role("list", name="Parts of the time").get_by_role("listitem").first).to_be_visible()
    expect(page.get_by_role("checkbox", name="race")).not_to_be_checked()
    expect(page.get_by_role("columnheader", name="race")).to_have_count(0)
    assert {url for url in watch.requests if "/v1/" in url} == {f"{pages_only}v1/tasks"}

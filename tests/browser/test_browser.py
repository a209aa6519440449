"""The browser itself, as these tests use it: what they rely on is watched."""

from playwright.sync_api import Page

from tests.helpers.browser.page_server import PageServer
from tests.helpers.browser.watch import Watch


def test_what_a_page_hides_is_found(page: Page, stand_in: PageServer, watch: Watch) -> None:
    """Errors of scripts, refused inline scripts and requests to elsewhere: each would fail a test."""
    page.goto(stand_in.blank)
    assert watch.findings() == []
    page.evaluate("setTimeout(() => { throw new Error('thrown') })")
    page.evaluate("console.error('written')")
    page.evaluate("fetch('http://127.0.0.2:9/elsewhere').catch(() => {})")
    page.wait_for_function("fetch('/v1/nothing').then(answer => answer.status === 404)")
    found = "\n".join(watch.findings())
    for part in ("thrown", "written", "more than one origin", "status of 404"):
        assert part in found
    watch.expect("thrown|written")
    watch.expect_status(404)
    watch.expect_no_server()
    watch.requests.clear()
    assert watch.findings() == []

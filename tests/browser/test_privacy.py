"""What the page keeps and whom it talks to: nothing, and its own server."""

from playwright.sync_api import BrowserContext, Page, expect

from deploy.web.policy import HEADERS
from tests.helpers.browser.gestures import drop
from tests.helpers.browser.page_server import PageServer
from tests.helpers.browser.pictures import Pictures
from tests.helpers.browser.watch import Watch

KEPT = """async () => ({
    cookies: document.cookie,
    local: localStorage.length,
    session: sessionStorage.length,
    databases: (await indexedDB.databases()).length,
    caches: (await caches.keys()).length,
    workers: (await navigator.serviceWorker.getRegistrations()).length,
    history: JSON.stringify(history.state),
})"""
# In a task of its own: what a debugger evaluates may itself evaluate text.
INLINE = """() => new Promise(resolve => setTimeout(() => {
    const script = document.createElement("script");
    script.textContent = "document.title = 'inline'";
    document.head.append(script);
    document.body.setAttribute("onclick", "document.title = 'attribute'");
    document.body.click();
    try {
        eval("document.title = 'eval'");
        resolve("evaluated");
    } catch (error) {
        resolve(error.name);
    }
}))"""


def test_nothing_is_kept_and_nothing_comes_from_elsewhere(
    context: BrowserContext, page: Page, stand_in: PageServer, pictures: Pictures, watch: Watch
) -> None:
    page.goto(stand_in.url)
    drop(page, pictures.astronaut, pictures.twenty)
    expect(page.get_by_role("list", name="Photos").locator(".said")).to_have_text(["1 face", "1 face"])
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Pose axes").click()
    page.get_by_label("Most faces").fill("3")
    page.get_by_label("Most faces").blur()
    expect(page.get_by_role("list", name="Photos").locator(".said")).to_have_text(["1 face", "1 face"])
    kept = page.evaluate(KEPT)
    assert kept == {
        "cookies": "",
        "local": 0,
        "session": 0,
        "databases": 0,
        "caches": 0,
        "workers": 0,
        "history": "null",
    }
    assert context.cookies() == []
    assert watch.origins == {stand_in.url.rstrip("/")}
    page.reload()
    expect(page.get_by_role("button", name="Photos")).to_be_visible()
    expect(page.get_by_role("list", name="Photos").get_by_role("listitem")).to_have_count(0)


def test_no_script_runs_that_is_no_file_of_the_page(page: Page, stand_in: PageServer, watch: Watch) -> None:
    answered = page.goto(stand_in.url)
    assert answered is not None
    sent = {name.lower(): value for name, value in answered.all_headers().items()}
    assert {name: sent.get(name.lower()) for name in HEADERS} == dict(HEADERS)
    watch.expect("Content Security Policy")
    assert page.evaluate(INLINE) == "EvalError"
    assert page.title() == "Q-Face"

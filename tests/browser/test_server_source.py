"""deploy/web/page/sources/server.js: what the page makes of a server's answers, the odd ones too."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.helpers.browser.page_server import PageServer

# Called with a response in pieces; returns the answer, or the error as plain data.
ANALYZE = """async ({body, status, headers, key}) => {
    const {ServerSource} = await import("/web/sources/server.js");
    const calls = [];
    const fetch = async (url, init) => {
        calls.push({url: String(url), method: init.method, headers: Object.fromEntries(init.headers)});
        if (status === 0) throw new TypeError("Failed to fetch");
        return new Response(body, {status, headers});
    };
    const source = new ServerSource({base: "http://host/prefix/", key: () => key, fetch});
    const request = {tasks: ["b", "a"], parameters: {max_faces: 3}, signal: new AbortController().signal};
    try {
        return {calls, ...await source.analyze(new Blob(["photo"]), request)};
    } catch ({name, message, reason, retryAfter}) {
        return {calls, error: {name, message, reason, retryAfter}};
    }
}"""

# Status (0: no connection), body and headers of a response -> reason, seconds until another try, words.
FAILURES: dict[tuple[int, str, tuple[tuple[str, str], ...]], tuple[str, float | None, str]] = {
    (0, "", ()): ("unreachable", None, "can't be reached"),
    (200, "<html>", ()): ("http", None, "no Q-Face server"),
    (422, '{"detail": "It is cut short.", "reason": "picture"}', ()): ("picture", None, "It is cut short."),
    (429, '{"detail": "Too much.", "reason": "rate"}', (("Retry_After", "7"),)): ("rate", 7, "Too much."),
    (503, "<html>", (("Retry_After", "9999"),)): ("http", 60, "status 503"),
    (503, "", (("Retry_After", "Thu, 01 Jan 1970 00:00:00 GMT"),)): ("http", 0, "status 503"),
    (429, "{}", (("Retry_After", "soon"),)): ("http", None, "status 429"),
    (502, "", ()): ("http", 2, "status 502"),
    (503, "{}", (("Content_Type", "application/problem+json"),)): ("http", None, "status 503"),
    (500, "[]", ()): ("http", None, "status 500"),
    (500, '{"detail": 5, "reason": 5}', ()): ("http", None, "status 500"),
}


@pytest.fixture
def source(page: Page, stand_in: PageServer) -> Page:
    """A page from which the module can be imported."""
    page.goto(stand_in.blank)
    return page


def analyze(page: Page, body: str = "{}", *, status: int = 200, key: str = "", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return page.evaluate(ANALYZE, {"body": body, "status": status, "headers": named, "key": key})


def test_a_call_is_relative_to_the_page_and_names_tasks_parameters_and_key(source: Page) -> None:
    (call,) = analyze(source, key="secret")["calls"]
    assert call["url"] == "http://host/prefix/v1/analyze?tasks=b%2Ca&max_faces=3"
    assert call["method"] == "POST"
    assert call["headers"] == {"content-type": "application/octet-stream", "authorization": "Bearer secret"}
    (call,) = analyze(source)["calls"]
    assert "authorization" not in call["headers"]


def test_the_parts_of_the_time_add_up_to_the_whole(source: Page) -> None:
    split = source.evaluate(
        """async headers => {
            const {parts} = await import("/web/sources/server.js");
            return headers.map(header => parts(header, 20));
        }""",
        [
            "total;dur=12.5, queue;dur=0.5, triton;dur=9, json;dur=1",
            "total;dur=30, triton;dur=35",
            "cache, x;dur=y",
            "",
        ],
    )
    assert {part["name"]: part["ms"] for part in split[0]} == {
        "network": 7.5,
        "queue": 0.5,
        "triton": 9,
        "json": 1,
        "gateway": 2,
    }
    assert {part["name"]: part["ms"] for part in split[1]} == {"network": 0, "triton": 35, "gateway": 0}
    assert split[2] == split[3] == [{"name": "request", "ms": 20}]


def test_each_failure_has_a_reason_and_a_sentence(source: Page) -> None:
    for (status, body, headers), (reason, retry_after, sentence) in FAILURES.items():
        error = analyze(source, body, status=status, **dict(headers))["error"]
        said = (error["name"], error["reason"], error["retryAfter"])
        assert said == ("SourceError", reason, retry_after), (status, body, headers)
        assert sentence in error["message"]

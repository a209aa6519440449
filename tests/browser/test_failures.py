"""A server that refuses, goes away, comes back or answers too late: each photo ends in an answer or words."""

import itertools
import re

from playwright.sync_api import Page, expect

from tests.helpers.browser.answers import answer, description, face
from tests.helpers.browser.gestures import drop
from tests.helpers.browser.page_server import Asked, PageServer, Reply, one_face, problem, usual_tasks
from tests.helpers.browser.pictures import Pictures
from tests.helpers.browser.watch import Watch


def test_a_photo_that_a_server_leaves_behind_is_asked_again_when_it_is_back(
    page: Page, stand_in: PageServer, pictures: Pictures, watch: Watch
) -> None:
    watch.expect_no_server()
    page.goto(stand_in.url)
    stand_in.hold()
    drop(page, pictures.astronaut)
    assert stand_in.arrived.wait(20)
    expect(page.get_by_role("list", name="Photos")).to_contain_text("is analysed")
    stand_in.go_away()
    expect(page.get_by_role("alert")).to_contain_text("the server can't be reached")
    drop(page, pictures.faceless)  # meanwhile
    expect(page.get_by_role("list", name="Photos").get_by_role("listitem")).to_have_count(2)
    stand_in.release()
    stand_in.come_back()
    expect(page.get_by_role("list", name="Photos").locator(".said")).to_have_text(["1 face", "1 face"])
    expect(page.get_by_role("alert")).to_be_empty()
    bodies = [asked.body for asked in stand_in.asked]
    assert bodies == [
        each.read_bytes() for each in (pictures.astronaut, pictures.astronaut, pictures.faceless)
    ]


def test_a_page_opened_before_its_server_is_ready_asks_until_it_is(
    page: Page, stand_in: PageServer, pictures: Pictures, watch: Watch
) -> None:
    watch.expect_status(503)
    starting = problem(503, "The server starts: its models load.", reason="not_ready", **{"Retry-After": "1"})
    stand_in.tasks = lambda _asked: starting
    page.goto(stand_in.url)
    expect(page.get_by_role("status")).to_have_text(
        "The server starts: its models load; this page waits for it"
    )
    expect(page.get_by_role("alert")).to_be_empty()  # nothing is wrong
    drop(page, pictures.astronaut)
    stand_in.tasks = usual_tasks
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")


def test_a_server_that_is_busy_is_asked_again_when_it_says_so_and_not_before(
    page: Page, stand_in: PageServer, pictures: Pictures, watch: Watch
) -> None:
    watch.expect_status(429)
    busy = problem(429, "Too much at the moment.", reason="queue_full", **{"Retry-After": "2"})
    replies = itertools.chain([busy], itertools.repeat(one_face(Asked(query={}, headers={}))))
    stand_in.analyze = lambda _asked: next(replies)
    page.goto(stand_in.url)
    drop(page, pictures.astronaut)
    expect(page.get_by_role("list", name="Photos")).to_contain_text(
        re.compile(r"Too much at the moment.*asked again in \d seconds?")
    )
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")
    assert len(stand_in.asked) == 2


def test_a_server_that_wants_a_key_is_asked_with_the_one_that_is_typed_and_the_page_keeps_it_nowhere(
    page: Page, stand_in: PageServer, pictures: Pictures, watch: Watch
) -> None:
    watch.expect_status(401)
    refused = problem(401, "The request has no API key: send one.", reason="key")

    def guarded(asked: Asked) -> Reply:
        is_known = asked.headers.get("Authorization") == "Bearer open sesame"
        return (one_face(asked) if asked.body else Reply(content=description())) if is_known else refused

    stand_in.tasks = stand_in.analyze = guarded
    page.goto(stand_in.url)
    expect(page.get_by_role("alert")).to_contain_text("The request has no API key")
    drop(page, pictures.astronaut)  # it waits for the key
    key = page.get_by_label("API key")
    key.fill("wrong")
    key.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The request has no API key")
    key.fill("open sesame")
    key.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")
    expect(page.get_by_role("alert")).to_be_empty()
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The request has no API key")
    expect(key).to_have_value("")


def test_a_proxy_that_answers_instead_and_a_photo_that_is_too_large_for_it_are_named(
    page: Page, stand_in: PageServer, pictures: Pictures, watch: Watch
) -> None:
    watch.expect_status(413)
    stand_in.analyze = lambda _asked: Reply(content={}, status=413, headers={"Content-Type": "text/html"})
    page.goto(stand_in.url)
    drop(page, pictures.astronaut)
    expect(page.get_by_role("alert")).to_contain_text("astronaut.jpg: the server answered with status 413")
    expect(page.get_by_role("status")).to_have_text("astronaut.jpg was not analysed")
    stand_in.analyze = one_face
    page.get_by_role("alert").get_by_role("button", name="Ask again").click()
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")
    expect(page.get_by_role("alert")).to_be_empty()


def test_an_answer_to_an_earlier_question_never_takes_the_place_of_a_later_one(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    """What is asked changes while the server computes; the photo is taken away while it computes."""
    page.goto(stand_in.url)
    stand_in.hold()
    stand_in.analyze = lambda asked: Reply(
        content=answer(face(score=0.25 if "tasks" in asked.query else 0.75)),
    )
    drop(page, pictures.astronaut)
    assert stand_in.arrived.wait(20)
    page.get_by_role("checkbox", name="signs").uncheck()
    stand_in.release()
    expect(page.get_by_role("table", name="Answers")).to_contain_text("25")
    assert [asked.query.get("tasks") for asked in stand_in.asked] == [
        None,
        "colour,weight,turn,corners,regions",
    ]
    stand_in.hold()
    page.get_by_role("checkbox", name="signs").check()
    assert stand_in.arrived.wait(20)
    page.get_by_role("button", name="Remove astronaut.jpg").click()
    stand_in.release()
    drop(page, pictures.faceless)
    expect(page.get_by_role("status")).to_have_text("1 face found in moon.png")
    expect(page.get_by_role("list", name="Photos").get_by_role("listitem")).to_have_count(1)

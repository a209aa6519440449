"""The page knows no task by name: what the contract has shows itself, also what the page was not made for."""

from playwright.sync_api import Page, expect

from tests.helpers.browser.answers import TASKS, answer, description, face, rated, stating
from tests.helpers.browser.gestures import drop
from tests.helpers.browser.page_server import PageServer, Reply
from tests.helpers.browser.pictures import Pictures

PAIN = {"name": "pain", "kind": "value", "labels": ["percent"], "unit": "percent"}
LEVEL = {"name": "level", "kind": "ordinal", "labels": ["low", "high"], "unit": "level"}
ON_REQUEST = {"name": "secret", "kind": "value", "labels": ["points"], "unit": "points", "default": False}
FURTHER = {"pain": {"percent": 12.5}, "level": {"label": "high", "at_least": [0.75]}}
SECRET = {"secret": {"points": 7}}
MARKUP = "<img src=x onerror=document.title='run'><b>bold</b>"


def test_tasks_and_kinds_that_were_added_show_themselves(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    stand_in.tasks = lambda _asked: Reply(content=description([*TASKS, PAIN, LEVEL, ON_REQUEST]))
    stand_in.analyze = lambda asked: Reply(
        content=answer({**face(), **FURTHER, **(SECRET if "secret" in asked.query.get("tasks", "") else {})})
    )
    page.goto(stand_in.url)
    drop(page, pictures.astronaut)
    card, table = page.get_by_role("article", name="Face 1"), page.get_by_role("table", name="Answers")
    expect(card.get_by_role("definition").filter(has_text="12.5 percent")).to_be_visible()
    expect(card.get_by_role("heading", name="level")).to_be_visible()
    expect(card).to_contain_text('"at_least"')  # a kind without a module: its JSON
    for task in ("pain", "level"):
        expect(page.get_by_role("checkbox", name=task)).to_be_checked()
        expect(table.get_by_role("columnheader", name=task)).to_be_visible()
    expect(page.get_by_role("checkbox", name="secret")).not_to_be_checked()
    expect(table.get_by_role("columnheader", name="secret")).to_have_count(0)
    assert "tasks" not in stand_in.asked[0].query  # what is answered by default is not named
    page.get_by_role("checkbox", name="secret").check()
    expect(table.get_by_role("columnheader", name="secret")).to_be_visible()
    names = [str(task["name"]) for task in (*TASKS, PAIN, LEVEL, ON_REQUEST)]
    assert stand_in.asked[-1].query["tasks"] == ",".join(names)
    page.get_by_role("button", name="Copy CSV").click()
    expect(page.get_by_role("status")).to_have_text("copied as CSV")
    head = page.evaluate("navigator.clipboard.readText()").splitlines()[0]
    assert head.endswith(",pain,level,secret")


def test_another_network_that_is_served_meanwhile_is_read_by_its_own_contract(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    page.goto(stand_in.url)
    drop(page, pictures.astronaut)
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")
    stand_in.tasks = lambda _asked: Reply(content=description([*TASKS, PAIN]))
    stand_in.analyze = lambda _asked: Reply(content=answer(face(pain={"percent": 12.5})))
    drop(page, pictures.turned)
    expect(page.get_by_role("checkbox", name="pain")).to_be_checked()
    expect(page.get_by_role("definition").filter(has_text="12.5 percent")).to_be_visible()
    expect(page.get_by_role("table").get_by_role("columnheader", name="pain")).to_be_visible()


def test_how_far_answers_may_be_off_and_the_quality_of_faces_are_shown(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    """Four of five true values lie within what is drawn and printed: 1.6 times the expected error here."""
    stand_in.tasks = lambda _asked: Reply(content=stating())
    stand_in.analyze = lambda _asked: Reply(
        content={**answer(rated()), "faces_found": 3, "faces_below_quality": 2}
    )
    page.goto(stand_in.url)
    page.get_by_label("Lowest quality of a face").fill("0.5")
    page.get_by_label("Lowest quality of a face").blur()
    drop(page, pictures.astronaut)
    card, table = page.get_by_role("article", name="Face 1"), page.get_by_role("table", name="Answers")
    expect(card.get_by_role("definition").filter(has_text="42 ± 4 grams")).to_be_visible()
    expect(card.get_by_role("listitem").filter(has_text="20 ± 8°")).to_be_visible()
    expect(card).to_contain_text("quality 90")
    expect(table.get_by_role("columnheader", name="quality")).to_be_visible()
    expect(page.get_by_text("1 face, 2 left out by quality")).to_be_visible()
    drawn = page.locator("g[data-face='1']")
    expect(drawn.locator("circle.reach")).to_have_count(2)
    expect(drawn.locator("path.whisker")).to_have_count(2)
    assert stand_in.asked[-1].query == {"min_quality": "0.5"}
    page.get_by_role("button", name="Copy CSV").click()
    expect(page.get_by_role("status")).to_have_text("copied as CSV")
    head = page.evaluate("navigator.clipboard.readText()").splitlines()[0].split(",")
    assert head[4:6] == ["faces_found", "faces_below_quality"]
    assert {"quality", "weight.error", "turn.yaw.error", "corners.left.error"} <= set(head)
    stand_in.analyze = lambda _asked: Reply(
        content={**answer(), "faces": [], "faces_found": 1, "faces_below_quality": 1}
    )
    drop(page, pictures.turned)
    expect(page.get_by_text("The face that was found is of too low a quality")).to_be_visible()


def test_limits_are_those_that_the_server_states(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    page.goto(stand_in.url)
    score = page.get_by_label("Lowest score of a face")
    score.fill("0.05")
    score.blur()
    expect(page.get_by_text("it is a number from 0.1 to 1")).to_be_visible()
    score.fill("0.25")
    score.blur()
    page.get_by_label("Most faces").fill("3")
    page.get_by_label("Most faces").blur()
    drop(page, pictures.astronaut)
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")
    assert stand_in.asked[-1].query == {"min_score": "0.25", "max_faces": "3"}


def test_names_labels_and_sentences_are_text_whatever_is_in_them(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    """Markup in a contract, an answer and a file's name is shown, and does nothing."""
    task = {"name": MARKUP, "kind": "classes", "labels": [MARKUP, "other"], "unit": "probability"}
    known = {MARKUP: {"label": MARKUP, "probabilities": {MARKUP: 0.75, "other": 0.25}}}
    strange = {"name": "strange", "kind": MARKUP, "labels": [], "unit": ""}
    stand_in.tasks = lambda _asked: Reply(content=description([task, strange], notice=MARKUP))
    stand_in.analyze = lambda _asked: Reply(
        content={**answer(), "faces": [{"box": [1, 2, 30, 40], "score": 0.5, **known, "strange": [MARKUP]}]}
    )
    page.goto(stand_in.url)
    named = pictures.folder / f"{MARKUP.replace('/', '')}.jpg"
    named.write_bytes(pictures.astronaut.read_bytes())
    drop(page, named)
    expect(page.get_by_role("article", name="Face 1")).to_contain_text(MARKUP)
    expect(page.get_by_role("list", name="Photos")).to_contain_text("onerror=document.title")
    expect(page.get_by_role("status")).to_contain_text("onerror=document.title")
    assert page.locator("b:text('bold'), img[src='x']").count() == 0
    assert page.title() == "Q-Face"

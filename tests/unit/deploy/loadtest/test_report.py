"""A run's report: every figure is there, nothing of it is markup, and the page needs no network."""

import dataclasses
import html.parser
import json
import re
from pathlib import Path

import pytest

from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.report import write_report
from deploy.loadtest.report.__main__ import main
from deploy.loadtest.report.stages import figure, names, with_others
from deploy.loadtest.report.summary import headline, warnings
from deploy.loadtest.results import Failure, Run, Search, Server
from tests.helpers.load_runs import REFUSED, SENTENCE, simulated_run, simulated_stage, whole_run

ATTACK = "<script>alert('x')</script>|</td>\x1b[31m& \"quoted\" $x_1$ `code` 照片\n## not a heading"


class Elements(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def run() -> Run:
    return whole_run()


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with all that a run may have."""
    folder = tmp_path_factory.mktemp("report")
    verdicts = [
        {"requirement": "p99<200ms@30rps", "kept": True, "sentence": "p99 is 129 ms at 30/s"},
        {"requirement": "errors<1%", "kept": False, "sentence": "errors are 9 %"},
    ]
    write_report(dataclasses.replace(run, about={**run.about, "requirements": verdicts}), folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Elements:
    return Elements((folder / "report.html").read_text())


def test_the_report_is_json_markdown_and_one_page(folder: Path, run: Run) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "report.md"]
    assert len(json.loads((folder / "report.json").read_text())["stages"]) == len(run.stages)


def test_the_page_loads_nothing(folder: Path, page: Elements) -> None:
    for tag, attributes in page.found:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "image"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert attributes.get(name, "#").startswith("#")
    text = (folder / "report.html").read_text()
    assert "://" not in text
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]{2})", text)) <= {"#c", "#r", "#d", "#s", "#p", "#w"}
    (policy,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'")


def test_each_section_has_its_plot_and_each_plot_its_words(page: Elements) -> None:
    labels = [attributes["aria-label"] for attributes in page.all("svg")]
    assert all(attributes["role"] == "img" for attributes in page.all("svg"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(labels) == len(set(labels))
    for words in (
        "p99 by clients. 1 client: 2",
        "by the rate offered. 10/s, poisson: 1",
        "A curve each of latency against the share of answers: 1 client, ",
        "engine 2",  # the split
        "core-ms",
        "perf_analyzer: ",
        "the longest gap 4.9",  # the soak over time
    ):
        assert [label for label in labels if words in label], words


def test_text_in_plots_is_text_in_the_pages_font_and_colours(folder: Path, page: Elements) -> None:
    for words in ("latency from when each was due, ms", "no answer for 5.0 s", "p99<200ms", "32 clients"):
        assert words in page.text
    svg = "".join(re.findall(r"<svg.*?</svg>", (folder / "report.html").read_text(), re.DOTALL))
    assert "DejaVu" not in svg
    # What isn't a variable of the style sheet has no dark form; the text on bars needs none.
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#101418"}


def test_identifiers_of_plots_are_their_own(page: Elements) -> None:
    found = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(found) == len(set(found))
    links = [attributes["href"] for _, attributes in page.found if "href" in attributes]
    used = [link[1:] for link in links if link.startswith("#")]
    assert used
    assert set(used) <= set(found)


def test_a_reader_sees_first_what_the_server_bears_and_what_is_doubtful(folder: Path, page: Elements) -> None:
    for text in ((folder / "report.md").read_text(), page.text):
        bears = text.index("Bears 35 requests a second with p99 below 200 ms")
        stall = text.index("For 4.99 s")
        assert bears < stall < text.index("With more clients")
        assert "beyond that, at 40 a second, p99 is" in text
        assert "errors are 9 %" in text
        assert text.index("errors are 9 %") < text.index("With more clients")
        assert SENTENCE in text
        assert REFUSED in text.replace("\\", "")


def test_markdown_has_every_stages_row(folder: Path, run: Run) -> None:
    rows = (folder / "report.md").read_text().splitlines()
    for stage in run.stages:
        own = [row for row in rows if row.startswith(f"| {stage.load.name}")]
        assert [row for row in own if f"| {figure(stage.rate)} |" in row]
    tables = [row for row in rows if row.startswith("|")]
    assert len(tables) > 100
    assert not [row for row in tables if "nan" in row.lower()]


def test_notes_on_a_server_that_counts_nothing_are_shown(tmp_path: Path) -> None:
    stage = simulated_stage(ClosedLoop(clients=1), windows=1)
    bare = dataclasses.replace(stage, server=Server(notes=("the server has no statistics",)))
    write_report(simulated_run([bare]), tmp_path)
    assert "the server has no statistics" in (tmp_path / "report.md").read_text()
    assert "the server has no statistics" in Elements((tmp_path / "report.html").read_text()).text


def test_a_models_times_stand_by_the_size_of_its_batches(folder: Path) -> None:
    assert "| 1: 12.5, 8: 61.2 |" in (folder / "report.md").read_text()


def test_a_percentile_of_too_few_answers_is_marked(folder: Path) -> None:
    lines = (folder / "report.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| 8 clients | 50.1"))
    cells = [cell.strip() for cell in row.split("|")]
    p99 = figure(1000 * simulated_stage(ClosedLoop(clients=8), seed=8).latency.percentile(0.99))
    assert p99 in cells
    assert [cell for cell in cells if cell.startswith("(")]
    assert "In brackets" in (folder / "report.md").read_text()


def test_other_tools_stand_beside_ours_with_what_differs_and_why(folder: Path, page: Elements) -> None:
    text = (folder / "report.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| MLPerf LoadGen") and "VALID" in line]
    assert re.search(r"\*\*110 / [\d.]+\*\*", row)  # p90, more than 10 % above
    assert "**50.0 /" not in row
    assert "it asks for one kind only" in text
    assert "p90, p99: differ by more than 10%, and no reason is known" in text
    labels = [attributes["aria-label"] for attributes in page.all("svg")]
    assert [
        label
        for label in labels
        if "MLPerf LoadGen: photo of one face, 30/s, poisson" in label and "of ours" in label
    ]


def test_a_tool_without_a_load_of_ours_says_so(run: Run, tmp_path: Path) -> None:
    bare = dataclasses.replace(
        run, stages=(), about={"peers_not_measured": ["locust is not installed"]}, searches=()
    )
    write_report(bare, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert text.count("no load of ours of this form was measured") == len(run.peers)
    assert "locust is not installed" in text


def test_what_comes_of_a_server_is_never_markup(tmp_path: Path) -> None:
    stage = simulated_stage(ClosedLoop(clients=2), windows=3)
    windows = tuple(
        dataclasses.replace(window, latency={ATTACK: window.all_latency}) for window in stage.windows
    )
    failure = Failure(code=ATTACK, count=1, first=0.1, last=0.2, details=ATTACK)
    server = Server(parts={ATTACK: {ATTACK: 3.0}}, core_ms={ATTACK: 1.0}, notes=(ATTACK,))
    hostile = dataclasses.replace(
        stage, windows=windows, failures=(failure,), server=server, ended=ATTACK, section=ATTACK
    )
    about = {"target": {"address": ATTACK}, ATTACK: ATTACK, "work": [{ATTACK: ATTACK}], "notes": [ATTACK]}
    write_report(Run(about=about, stages=(hostile, stage), ended=ATTACK), tmp_path)
    page = Elements((tmp_path / "report.html").read_text())
    assert not page.all("script")
    assert "alert" in page.text
    assert "\x1b" not in page.text
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert not [line for line in lines if "<" in line or line.startswith("## not") or "\x1b" in line]
    assert [line for line in lines if "照片" in line]
    # A bar in a name makes no further column.
    failures = [line for line in lines if "0.1 to 0.2" in line]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in failures] == [6]


@pytest.mark.parametrize(
    "run",
    [
        Run(about={}, stages=(), ended="the server can't be reached"),
        simulated_run([simulated_stage(ClosedLoop(clients=1), windows=1)]),
        simulated_run([simulated_stage(OpenLoop(rate=60), section="rates", windows=3, places=0)]),
        simulated_run(
            [dataclasses.replace(simulated_stage(ClosedLoop(clients=1), windows=1), windows=(), warm_up=0)]
        ),
    ],
    ids=["nothing", "one window", "no answer", "no window"],
)
def test_a_run_with_little_in_it_has_a_report(run: Run, tmp_path: Path) -> None:
    write_report(run, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert headline(run)[:40] in text.replace("\\", "")
    assert "nan" not in Elements((tmp_path / "report.html").read_text()).text.lower()
    assert not run.ended or run.ended in text


def test_an_hours_soak_is_small(tmp_path: Path) -> None:
    """Of 120 windows, as a soak has, with thousands of answers in each."""
    stage = simulated_stage(OpenLoop(rate=40), section="soak", windows=4, window_seconds=30.0)
    windows = [
        dataclasses.replace(window, begin=30.0 * index)
        for index, window in enumerate(list(stage.windows) * 30)
    ]
    write_report(simulated_run([dataclasses.replace(stage, windows=tuple(windows))]), tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 5e6


def test_the_headline_says_what_no_rate_keeps_and_what_was_not_reached() -> None:
    slow = [simulated_stage(OpenLoop(rate=rate), section="rates", servers=1) for rate in (25, 40)]
    search = Search(objective="p99<200ms", arrivals="poisson", rate=None, sentence="")
    none = headline(simulated_run(slow, searches=(search,)))
    assert none.startswith("No rate that was tried keeps p99 below 200 ms: at 25/s, poisson, p99 is ")
    easy = simulated_run([simulated_stage(OpenLoop(rate=5), section="rates")])
    assert headline(easy).startswith("Bears 5 requests a second with p99 below 200 ms (of 1")
    assert "which are few for p99), the highest rate that was tried" in headline(easy)
    closed = simulated_run([simulated_stage(ClosedLoop(clients=clients)) for clients in (1, 4, 16)])
    assert headline(closed).startswith("Answers 50")
    assert "at 4 clients" in headline(closed)
    assert "With 16 clients it answers" in headline(closed)


def test_the_headline_is_of_whatever_was_measured(run: Run) -> None:
    bursty = [simulated_stage(OpenLoop(rate=5, arrivals="bursty"), section="rates", windows=30)]
    assert headline(simulated_run(bursty)).startswith("No rate that was tried keeps p99 below 200 ms")
    dead = simulated_stage(OpenLoop(rate=5), section="rates", places=0)
    once = simulated_run([simulated_stage(OpenLoop(rate=5), section="rates"), dead])
    assert headline(once).startswith("No rate that was tried keeps")  # kept once, and not again
    about = {**run.about, "settings": {"slo": "p50<1s"}}
    assert headline(dataclasses.replace(run, about=about, stages=bursty)).startswith(
        "Bears 5 requests a second (bursty) with p50 below 1 s"
    )
    bare = dataclasses.replace(run, about={}, stages=bursty)
    assert headline(bare).startswith("At 5/s, bursty it answers ")
    beside = [stage for stage in run.stages if stage.section == "peers"]
    assert headline(dataclasses.replace(run, stages=beside)).startswith("Other tools were measured")
    assert headline(Run(about={}, stages=())) == "Nothing was measured."


def test_where_the_generator_was_the_limit_the_report_says_so_first() -> None:
    stage = simulated_stage(ClosedLoop(clients=4), windows=3)
    limited = dataclasses.replace(
        stage, stable=False, generator=dataclasses.replace(stage.generator, limit="its processes took 98 %")
    )
    run = dataclasses.replace(simulated_run([stage, limited]), ended="interrupted")
    first, second, *others = warnings(run)
    assert first == "4 clients (sweep): its processes took 98 %"
    assert second == "The run ended early: interrupted"
    assert "1 of 2 stages did not settle" in others[-1]
    many = [dataclasses.replace(limited, load=ClosedLoop(clients=clients)) for clients in (4, 8, 16)]
    first, second, *_ = warnings(simulated_run([stage, *many]))
    assert first.startswith("4 clients (sweep): its processes took 98 %. So it was in 2 more of 4 stages")
    assert first.endswith("8 clients; 16 clients")
    assert "did not settle" in second


def test_small_parts_are_put_together_and_waiting_stays() -> None:
    rows = [
        {"queue": 0.1, "engine": 90.0, "a": 1.0, "b": 0.5, "never": 0.0},
        {"queue": 0.2, "engine": 95.0, "a": 1.0, "c": 4.0, "never": 0.0},
    ]
    first, second = with_others(rows)
    assert first == {"queue": 0.1, "engine": 90.0, "c": 0.0, "2 others": 1.5}
    assert list(first)[-1] == "2 others"
    assert second == {"queue": 0.2, "engine": 95.0, "c": 4.0, "2 others": 1.0}
    # One small part alone keeps its name.
    assert with_others([{"engine": 90.0, "a": 1.0}]) == [{"engine": 90.0, "a": 1.0}]
    assert with_others([]) == []


def test_stages_of_one_load_have_names_of_their_own() -> None:
    stage = simulated_stage(OpenLoop(rate=5), section="rates", windows=1)
    other = dataclasses.replace(stage, section="search")
    assert names([stage, other, other]) == [
        "5/s, poisson (rates)",
        "5/s, poisson (search) 1",
        "5/s, poisson (search) 2",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1295.4, "1,295"),
        (999.7, "1,000"),
        (99.96, "100"),
        (42.21, "42.2"),
        (40.0, "40.0"),
        (0.0612, "0.0612"),
        (0.0000012, "0.00000"),
        (-3.14159, "-3.14"),
        (0.0, "0"),
        (float("nan"), ""),
        (float("inf"), "∞"),
    ],
)
def test_figures_have_three_places(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_kept_run_is_rendered_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulated_run([]).write(tmp_path / "report.json")
    assert main([str(tmp_path)]) == 0
    first = (tmp_path / "report.html").read_text()
    assert main([str(tmp_path / "report.json")]) == 0
    assert (tmp_path / "report.html").read_text() == first
    (tmp_path / "report.json").write_text("{}")
    assert main([str(tmp_path)]) == 2
    assert "is not a run of deploy.loadtest" in capsys.readouterr().err

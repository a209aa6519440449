"""The network in a browser answers as a server does, and the photo never leaves the machine.

One browser, one page, one load of the network: the pictures are answered without a connection.
"""

import dataclasses
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from playwright.sync_api import Browser

from build.onnx_interface import read_graph
from qface_client.local import LocalFaceClient
from runtime.answering.quality import quality_parameters
from runtime.detect.search import USUAL_LIMITS
from tests.browser.parity import NETWORK, Case, Difference, ask, cases, compared, table
from tests.helpers.browser.network_page import Answered, NetworkPage, Refused
from tests.helpers.browser.pictures import Pictures
from tests.helpers.browser.watch import Watch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Visit:
    """What a page without a connection answered."""

    network: NetworkPage
    description: dict[str, Any]
    cases: list[Case]
    answers: dict[str, Answered]  # by case
    differences: dict[str, list[Difference]]
    asked_before: list[str]  # addresses, until the network was loaded
    watch: Watch


@pytest.fixture(scope="module")
def visit(chromium: Browser, pages_only: str, pictures: Pictures) -> Iterator[Visit]:
    watch = Watch()
    watch.expect_status(404)  # Chromium asks for an icon of what it shows
    with chromium.new_context() as context:
        watch.attach(context)
        network = NetworkPage(context.new_page(), pages_only)
        description = network.describe(threads=1)  # whose time the other tests' processes don't take apart
        asked_before = list(watch.requests)
        context.set_offline(True)
        wanted = cases(pictures)
        answers = {case.name: ask(network, case) for case in wanted}
        yield Visit(
            network=network,
            description=description,
            cases=wanted,
            answers=answers,
            differences=compared(wanted, list(answers.values()), description),
            asked_before=asked_before,
            watch=watch,
        )


def test_faces_and_answers_are_those_of_a_server(visit: Visit) -> None:
    print(f"\n{visit.network.note}\n{table(visit.differences)}")
    faces = {name: len(answered.answer["faces"]) for name, answered in visit.answers.items()}
    assert faces["astronaut.jpg"] == 1
    assert faces["twenty.jpg"] == 20
    assert faces["three of twenty"] == 3
    assert faces["moon.png"] == 0
    assert faces["tiles"] >= 7
    larger = {name: [each for each in row if not each.is_allowed] for name, row in visit.differences.items()}
    assert not {name: row for name, row in larger.items() if row}


def test_nothing_is_asked_of_anyone_once_the_network_is_loaded(visit: Visit) -> None:
    assert visit.watch.requests == visit.asked_before
    assert len(visit.watch.origins) == 1
    assert visit.watch.findings() == []


def test_it_is_described_as_a_server_describes_itself(visit: Visit) -> None:
    with LocalFaceClient(NETWORK) as client:
        served = client.contract().to_dict()
    taken = {**USUAL_LIMITS.parameters(), **quality_parameters(read_graph(NETWORK).contract)}
    described = visit.description
    for key in ("version", "input_size", "crop", "quality"):
        assert described.get(key) == served.get(key)
    tasks = {task["name"]: task for task in described["tasks"]}
    assert [tasks[task["name"]] for task in served["tasks"]] == served["tasks"]
    assert described["request_parameters"] == {name: parameter.to_json() for name, parameter in taken.items()}
    assert described["models"] == ["qface"]
    assert described["precision"] == "fp32"
    assert "estimates and may be wrong" in described["notice"]


def test_a_task_that_is_not_answered_by_default_is_answered_by_name_alone(visit: Visit) -> None:
    hidden = [task["name"] for task in visit.description["tasks"] if task.get("default") is False]
    assert hidden
    (face,) = visit.answers["astronaut.jpg"].answer["faces"]
    assert not set(hidden) & face.keys()
    (named,) = visit.network.analyze(visit.cases[0].photo, tasks=hidden).answer["faces"]
    assert list(named) == ["box", "score", *hidden]


def test_the_time_is_stated_in_parts_that_a_server_names_so_too(visit: Visit) -> None:
    timings = visit.answers["astronaut.jpg"].timings
    assert list(timings) == ["queue", "decode", "detect", "crop", "engine", "postprocess"]
    assert all(ms >= 0 for ms in timings.values())


def test_bytes_are_counted_while_the_network_loads(visit: Visit) -> None:
    progress = visit.network.progress
    assert len(progress) > 10
    assert progress[-1] == f"The network is loaded: {visit.network.note}"
    done, _, whole, unit = progress[-2].removeprefix("Loading the network: ").split()
    assert (done, unit) == (whole, "MB")


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"max_faces": 0}, "the parameter max_faces is 0: it is an integer of 1 to 320"),
        ({"max_faces": 2.5}, "the parameter max_faces is 2.5: it is an integer of 1 to 320"),
        ({"min_face": 0.001}, "the parameter min_face is 0.001: it is a number of 0.004 to 1"),
        ({"minimum": 1}, 'there is no parameter "minimum": leave it out'),
    ],
)
def test_a_parameter_out_of_its_bounds_is_refused(
    visit: Visit, parameters: Mapping[str, float], sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        visit.network.analyze(visit.cases[0].photo, parameters=parameters)
    assert refused.value.sentence.startswith(sentence)
    assert refused.value.reason == "parameter"


def test_a_task_that_there_is_not_is_refused(visit: Visit) -> None:
    with pytest.raises(Refused) as refused:
        visit.network.analyze(visit.cases[0].photo, tasks=["mood"])
    assert refused.value.sentence.startswith('there is no task "mood" here: ')


def test_files_that_are_no_photos_are_refused_and_the_next_one_is_answered(
    visit: Visit, pictures: Pictures
) -> None:
    sentences = {}
    for path in (pictures.empty, pictures.text, pictures.broken):
        with pytest.raises(Refused) as refused:
            visit.network.analyze(path.read_bytes())
        assert refused.value.reason == "picture"
        sentences[path.name] = refused.value.sentence
    astronaut = visit.cases[0].photo
    others = {
        "stub.jpg": astronaut[:20],
        "cut.jpg": astronaut[: len(astronaut) // 2],
        "animated.gif": b"GIF89a" + bytes(40),
        "vast.png": b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", 20_000, 3_000),
    }
    for name, content in others.items():
        with pytest.raises(Refused) as refused:
            visit.network.analyze(content)
        sentences[name] = refused.value.sentence
    assert sentences == {
        "empty.jpg": "The picture is empty (0 bytes); take a JPEG, PNG or WebP file.",
        "text.png": "The 400 bytes are not a picture that is known here; take a JPEG, PNG or WebP file.",
        "stub.jpg": "The picture is cut short: it ends after 20 bytes; take the whole file.",
        "cut.jpg": "The JPEG of 512 x 512 pixels can't be decoded: it is damaged, cut short or of a rare "
        "kind; save it again.",
        "broken.jpg": sentences["cut.jpg"],  # its size is known
        "vast.png": "The PNG is 20,000 x 3,000 pixels, more than the 50,000,000 accepted; take a smaller "
        "copy.",
        "animated.gif": "The file is a GIF, which is not accepted; take a JPEG, PNG or WebP file.",
    }
    assert visit.network.analyze(astronaut).answer == visit.answers["astronaut.jpg"].answer

"""Tools and our own load measure in turns; medians stand side by side, and what differs has a reason."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.loadtest.command.options import read_options
from deploy.loadtest.loads import ClosedLoop, Load
from deploy.loadtest.peers.comparison import differences, rows, table
from deploy.loadtest.peers.loadgen import LoadGen
from deploy.loadtest.peers.locust_rest import Locust
from deploy.loadtest.peers.perf_analyzer import PerfAnalyzer, share_drawn, words_for
from deploy.loadtest.peers.perf_analyzer_input import input_data
from deploy.loadtest.peers.rounds import compare
from deploy.loadtest.peers.tool import Form, Measured, Plan, ToolError, recorded
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.results import PEERS, Stage
from deploy.loadtest.work.question import Question
from tests.helpers.load_runs import KINDS, simulated_stage

TARGET = Target(protocol="grpc", address="127.0.0.1:8001")
PIXELS = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
CROP = Question(kind="crop", model="crop_analysis", inputs={"crop": PIXELS})
PHOTO = Question(
    kind="photo", model="photo_analysis", inputs={"image": np.arange(5, dtype=np.uint8)}, photo=b"\1\2"
)
PLAN = Plan(
    questions={"photo": [PHOTO], "crop": [CROP]},
    outputs={"photo_analysis": ["boxes", "mask_runs"], "crop_analysis": ["age", "mask_runs"]},
    batched={"photo_analysis": False, "crop_analysis": True},
    rates={"photo": 40.0, "crop": 90.0},
    seconds=6.0,
    slo=0.2,
    deadline=10.0,
)


class FakeTool:
    """Gives figures in order, and keeps when it was run."""

    def __init__(self, rates: Sequence[float], turns: list[str]) -> None:
        self._rates = list(rates)
        self._turns = turns

    def version(self) -> str:
        return "fake 1"

    def forms(self, plan: Plan) -> Sequence[Form]:
        return ()

    def measure(self, form: Form, target: Target, plan: Plan) -> Measured:
        self._turns.append("tool")
        rate = self._rates.pop(0)
        if not rate:
            raise ToolError("it was refused")
        return Measured(
            rate=rate,
            percentiles={"p50": 1 / rate},
            command="fake",
            core_ms=1.5,
            valid="good",
            notes=(f"{rate}",),
        )

    def reasons(self, form: Form, plan: Plan) -> Mapping[str, str]:
        return {"rate": "it is made up"}


def figures(**values: float) -> Mapping[str, float]:
    return values


@pytest.fixture(scope="module")
def stage() -> Stage:
    return simulated_stage(ClosedLoop(clients=4), section=PEERS, windows=4)


def compared(
    stage: Stage, *, variant: Sequence[Question] = (), rates: Sequence[float] = (10.0, 30.0, 20.0)
) -> tuple[Any, list[str]]:
    turns: list[str] = []
    kind = next(iter(KINDS))

    def ours(questions: Sequence[Question], load: Load) -> Stage:
        turns.append(questions[0].kind)
        return stage

    form = Form(
        scenario="closed loop",
        load=ClosedLoop(clients=4),
        questions=[dataclasses.replace(PHOTO, kind=kind)],
        protocol="grpc",
        variant=variant,
    )
    tool = FakeTool(rates, turns)
    return compare(tool, form, version="fake 1", target=TARGET, plan=PLAN, ours=ours, rounds=3), turns


def test_who_begins_alternates(stage: Stage) -> None:
    _, turns = compared(stage)
    kind = next(iter(KINDS))
    assert turns == [kind, "tool", "tool", kind, kind, "tool"]


def test_a_peer_has_the_medians_of_its_rounds_and_the_notes_of_the_middle_one(stage: Stage) -> None:
    result, _ = compared(stage)
    assert result.peer.rate == 20.0
    assert result.peer.percentiles == pytest.approx({"p50": 0.05})
    assert result.peer.notes[-1] == "20.0"
    assert result.peer.valid == "good"
    assert len(result.stages) == 3


def test_a_round_that_fails_is_a_note_beside_the_others_figures(stage: Stage) -> None:
    result, _ = compared(stage, rates=(10.0, 0.0, 12.0))
    assert result.peer.notes[0] == "1 of 3 rounds failed: it was refused"
    assert result.peer.rate == 11.0


def test_a_tool_that_fails_in_every_round_is_not_measured(stage: Stage) -> None:
    with pytest.raises(ToolError, match="it was refused"):
        compared(stage, rates=(0.0, 0.0, 0.0))


def test_a_variant_of_ours_is_measured_beside_it_and_its_figures_are_noted(stage: Stage) -> None:
    result, turns = compared(stage, variant=[dataclasses.replace(PHOTO, kind="other")])
    assert turns.count("other") == 3
    (note,) = (note for note in result.peer.notes if "'other'" in note)
    assert f"{stage.rate:.1f} answers/s" in note


def test_a_peer_is_found_beside_our_stages_of_its_load_and_kind(stage: Stage) -> None:
    result, _ = compared(stage)
    other = simulated_stage(ClosedLoop(clients=8), section=PEERS, windows=4)
    elsewhere = dataclasses.replace(stage, section="sweep")
    (row,) = rows([other, elsewhere, *result.stages], [result.peer])
    assert row.ours["rate"] == pytest.approx(stage.rate)
    assert row.ratios["rate"] == pytest.approx(20.0 / stage.rate)
    assert f"20.0 / {stage.rate:.1f} ({20.0 / stage.rate:.2f})" in table([row])


def test_a_peer_without_our_stage_has_no_ratio_and_still_a_row(stage: Stage) -> None:
    result, _ = compared(stage)
    (row,) = rows([], [result.peer])
    assert row.ratios == {}
    assert "fake 1" in table([row])


# -- why figures differ ---------------------------------------------------------------------------


def test_figures_within_a_tenth_are_not_explained() -> None:
    assert not differences([figures(rate=10.9)], [figures(rate=10.0)], reasons={"rate": "never"})


def test_a_figure_beyond_a_tenth_has_its_known_reason() -> None:
    (sentence,) = differences(
        [figures(rate=12.0)] * 2, [figures(rate=10.0)] * 2, reasons={"rate": "it sends more"}
    )
    assert sentence == "rate +20% (12.0/s beside 10.0/s): it sends more"


def test_a_figure_whose_reason_nobody_knows_is_called_so() -> None:
    (sentence,) = differences(
        [figures(p50=0.02)] * 2, [figures(p50=0.01)] * 2, reasons={"rate": "it sends more"}
    )
    assert sentence.endswith("no reason is known")


def test_a_difference_of_one_round_is_not_told_from_noise() -> None:
    (sentence,) = differences([figures(p50=0.02)], [figures(p50=0.01)], reasons={})
    assert "measured once" in sentence


def test_perf_analyzers_arrivals_are_its_one_sequence() -> None:
    """Measured with it: 3.8 a second of 8 in three seconds; by its generator 11 of 24."""
    assert share_drawn(24) == pytest.approx(11 / 24)
    assert share_drawn(2000) == pytest.approx(0.976, abs=0.001)
    *_, opened = PerfAnalyzer().forms(PLAN)
    assert "one sequence" in PerfAnalyzer().reasons(opened, PLAN)["rate"]


def test_rounds_that_overlap_are_the_first_reason() -> None:
    theirs = [figures(rate=value) for value in (9.0, 12.0, 12.5)]
    ours = [figures(rate=value) for value in (10.0, 10.0, 10.5)]
    (sentence,) = differences(theirs, ours, reasons={})
    assert "the rounds overlap, 9.0/s to 12.5/s beside 10.0/s to 10.5/s" in sentence


# -- which loads ----------------------------------------------------------------------------------


def test_perf_analyzer_loads_each_kind_closed_and_open_and_ours_asks_for_all_outputs_as_it_does() -> None:
    forms = PerfAnalyzer().forms(PLAN)
    loads = [form.load.name for form in forms if form.kind == "photo, all outputs"]
    assert loads == ["1 client", "4 clients", "16 clients", "24/s, poisson"]
    assert {form.kind for form in forms} == {"photo, all outputs", "crop, all outputs"}
    assert all("mask_runs" in form.questions[0].outputs for form in forms)
    (variant,) = (form.variant[0] for form in forms if form.variant and "photo" in form.kind)
    assert variant.outputs == ()


def test_loadgen_loads_the_kind_that_is_answered_most_seldom() -> None:
    server, offline = LoadGen().forms(PLAN)
    assert (server.kind, offline.kind) == ("photo", "photo")
    assert server.load.name == "24/s, poisson"
    assert offline.load.name == "4 clients"


def test_locust_posts_photos_and_has_nothing_to_post_without_one() -> None:
    assert [form.load.name for form in Locust().forms(PLAN)] == ["4 clients", "16 clients"]
    assert all(form.protocol == "rest" for form in Locust().forms(PLAN))
    with pytest.raises(ToolError, match="give photos"):
        Locust().forms(dataclasses.replace(PLAN, questions={"crop": [CROP]}))


def test_perf_analyzer_is_given_the_arrivals_that_ours_has() -> None:
    closed, *_, opened = PerfAnalyzer().forms(dataclasses.replace(PLAN, questions={"photo": [PHOTO]}))
    words = words_for(closed, TARGET, seconds=6.0, stability=20)
    assert words[words.index("--concurrency-range") + 1] == "1"
    assert words[words.index("--measurement-interval") + 1] == "2000"
    assert words[words.index("--percentile") + 1] == "99"
    words = words_for(opened, TARGET, seconds=6.0, stability=20)
    assert words[words.index("--request-rate-range") + 1] == "24"
    assert words[words.index("--request-distribution") + 1] == "poisson"


def test_perf_analyzer_over_tls_gets_the_files_whose_places_no_report_has() -> None:
    (form, *_) = PerfAnalyzer().forms(PLAN)
    secure = dataclasses.replace(TARGET, secure=True, authorities=Path("/somewhere/ca.pem"))
    words = words_for(form, secure, seconds=6.0, stability=20)
    assert words[-3:] == (
        "--ssl-grpc-use-ssl",
        "--ssl-grpc-root-certifications-file",
        "/somewhere/ca.pem",
    )
    assert recorded(words).endswith("--ssl-grpc-root-certifications-file ca.pem")


def test_perf_analyzer_is_not_given_a_server_that_wants_a_key() -> None:
    (form, *_) = PerfAnalyzer().forms(PLAN)
    with pytest.raises(ToolError, match="no key"):
        PerfAnalyzer().measure(form, dataclasses.replace(TARGET, metadata=(("authorization", "x"),)), PLAN)


def test_perf_analyzers_input_has_each_question_without_the_batchs_dimension() -> None:
    other = dataclasses.replace(CROP, inputs={"crop": PIXELS[..., ::-1]})
    first, second = input_data([CROP, other], batched=True)["data"]
    assert first["crop"]["shape"] == [2, 2, 3]
    assert first["crop"]["content"] == {"b64": "AAECAwQFBgcICQoL"}
    assert second["crop"]["content"] == {"b64": "AgEABQQDCAcGCwoJ"}
    (photo,) = input_data([PHOTO], batched=False)["data"]
    assert photo["image"]["shape"] == [5]


def test_a_batch_of_several_rows_is_refused_for_perf_analyzer() -> None:
    several = dataclasses.replace(CROP, inputs={"crop": np.repeat(PIXELS, 3, axis=0)})
    with pytest.raises(ValueError, match="crop has 3 rows in crop"):
        input_data([several], batched=True)


def test_an_address_of_rest_is_for_other_tools_alone() -> None:
    with pytest.raises(ValueError, match="--rest-url is for --peers"):
        read_options(["--url", "a:1", "--rest-url", "a:2"])
    options = read_options(["--url", "a:1", "--rest-url", "a:2", "--peers"])
    assert options.peers
    assert options.rest is not None
    assert options.rest.target().protocol == "rest"

"""The model of what a host can feed its GPUs with, against values that are worked out by hand."""

import dataclasses
import json
from pathlib import Path

import pytest

from build.serving.host_settings import HostSettings
from deploy.benchmark.answer_cost.results import BARE, SERVED, Row, Run
from deploy.capacity.host import __main__ as program
from deploy.capacity.host.model import Capacity, Gpus, capacity
from deploy.capacity.host.requests import RequestCost, crowd_rows, request_cost

FACE = RequestCost(
    name="face",
    faces=1,
    steps={"face_preprocess": 4.0, "tritonserver": 1.0, "face_postprocess": 1.0, "gateway": 2.0},
    engine=12.0,
    client=2.0,
)
PHOTO = RequestCost(
    name="photo:4",
    faces=4,
    steps={"photo_analysis": 60.0, "tritonserver": 4.0, "gateway": 4.0},
    engine=50.0,
    client=3.0,
)
HOST = HostSettings.for_host("gpu", 64)  # 48 face_preprocess, 16 face_postprocess, 64 photo_analysis
FAST = Gpus(faces_per_second=1e6)


def one(cost: RequestCost, *, host: HostSettings = HOST, gpus: Gpus = FAST, gateways: int = 1) -> Capacity:
    return capacity([(1.0, cost)], host, gpus, gateway_processes=gateways, busy=0.8)


def without_gateway(cost: RequestCost) -> RequestCost:
    steps = {step: value for step, value in cost.steps.items() if step != "gateway"}
    return dataclasses.replace(cost, steps=steps)


def test_cores_and_each_step_s_processes_are_bounds_and_the_least_is_the_limit() -> None:
    found = one(FACE)
    assert found.bounds["cores"] == pytest.approx(1000 * 64 * 0.8 / 8)  # 6,400
    assert found.bounds["face_preprocess"] == pytest.approx(1000 * 48 / 4)
    assert found.bounds["face_postprocess"] == pytest.approx(1000 * 16 / 1)
    assert found.bounds["gateway"] == pytest.approx(1000 / 2)
    assert "tritonserver" not in found.bounds, "its threads are bounded by the cores alone"
    assert (found.limit, found.requests, found.faces) == ("gateway", 500, 500)
    assert next(iter(found.core_ms)) == "face_preprocess"


def test_further_gateway_processes_share_the_work_and_ask_the_main_one() -> None:
    # The main one of four: a quarter of 2 core-ms, and 0.15 for each request of the other three quarters.
    found = one(FACE, gateways=4)
    assert found.bounds["gateway"] == pytest.approx(1000 / (2 / 4 + 0.15 * 3 / 4))


def test_a_gpu_that_is_fed_is_the_limit_and_its_share_is_whole() -> None:
    found = one(without_gateway(FACE), gpus=Gpus(faces_per_second=1500, count=2))
    assert (found.limit, found.gpu_share) == ("GPUs", pytest.approx(1.0))
    assert found.faces == pytest.approx(3000)
    assert found.cores_for_gpus == pytest.approx(3000 * 6 / (1000 * 0.8))  # 22.5


def test_a_host_with_few_cores_feeds_a_share_of_a_gpu() -> None:
    small = HostSettings.for_host("gpu", 8)
    found = one(without_gateway(FACE), host=small, gpus=Gpus(faces_per_second=5000))
    assert found.limit == "cores"
    assert found.faces == pytest.approx(8 * 800 / 6)  # 1,066.7
    assert found.gpu_share == pytest.approx(8 * 800 / 6 / 5000)
    assert found.cores_for_gpus == pytest.approx(5000 * 6 / 800)  # 37.5


def test_a_mix_costs_what_its_shares_cost() -> None:
    found = capacity([(3, FACE), (1, PHOTO)], HOST, FAST, busy=1.0)
    assert found.core_ms["tritonserver"] == pytest.approx((3 * 1 + 4) / 4)
    assert found.core_ms["photo_analysis"] == pytest.approx(60 / 4)
    assert found.faces / found.requests == pytest.approx((3 * 1 + 4) / 4)
    assert found.bounds["face_preprocess"] == pytest.approx(1000 * 48 / (3 * 4 / 4))


def test_a_photo_holds_its_process_while_the_engine_works() -> None:
    found = one(without_gateway(PHOTO), gpus=Gpus(faces_per_second=6400))
    # 60 of its own, and two batches of 32 faces: 10 ms.
    assert found.bounds["photo_analysis"] == pytest.approx(1000 * 64 / (60 + 10))


def test_a_gpu_that_decodes_has_less_time_for_faces() -> None:
    gpus = Gpus(faces_per_second=6000, decoded_per_second=3000)
    found = one(without_gateway(FACE).with_costs({"face_preprocess": 0.5}), gpus=gpus)
    assert found.bounds["GPUs"] == pytest.approx(1 / (1 / 6000 + 1 / 3000))  # 2,000
    assert found.bounds["cores"] == pytest.approx(64 * 800 / 2.5)
    assert found.limit == "GPUs"
    # A photo is decoded by the host in any case.
    assert one(PHOTO, gpus=gpus).bounds["GPUs"] == pytest.approx(6000 / 4)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_gpu_needs_a_rate_that_can_be(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Gpus(faces_per_second=rate)
    with pytest.raises(ValueError, match="above 0"):
        Gpus(faces_per_second=1, decoded_per_second=rate)


# -- costs from a kept run ---------------------------------------------------------------------------


def row(name: str, *, faces: int = 1, rate: float = 50.0, group: str = SERVED, **parts: float) -> Row:
    return Row(
        name=name,
        group=group,
        faces=faces,
        parts={part: (value * 0.9, value, value * 1.2) for part, value in parts.items()},
        rate=(rate, rate * 0.9, rate * 1.1),
    )


@pytest.fixture
def run() -> Run:
    crowds = {
        faces: row(name, faces=faces, gateway=3.0, photo_analysis=10.0 + 2 * faces, client=1.0)
        for faces, name in crowd_rows().items()
    }
    steps = {"client": 2.0, "face_engine": 12.0, "face_preprocess": 4.0, "tritonserver": 2.0}
    served = [
        row("face in a photo, 16 clients, gateway", **steps, gateway=1.0, age_postprocess=0.01, rate=80.0),
        row("face in a photo, 16 clients, direct", **steps, rate=90.0),
    ]
    bare = row("bare engine, batch 8, threads 1, streams 1", group=BARE, engine=12.0)
    return Run(rows=(bare, *served, *crowds.values()), about={"machine": {"cores": 2}})


def test_costs_are_medians_without_clients_engine_and_noise(run: Run) -> None:
    cost = request_cost(run, "face")
    assert cost.steps == {"face_preprocess": 4.0, "tritonserver": 2.0, "gateway": 1.0}
    assert (cost.engine, cost.client) == (12.0, 2.0)
    assert "gateway" not in request_cost(run, "face", way="direct").steps


@pytest.mark.parametrize(("faces", "expected"), [(1, 12.0), (4, 18.0), (8, 26.0), (20, 50.0), (40, 90.0)])
def test_photos_of_any_number_of_faces_lie_on_the_line_of_the_measured_ones(
    run: Run, faces: int, expected: float
) -> None:
    cost = request_cost(run, "photo", faces=faces)
    assert cost.faces == faces
    assert cost.steps == {"gateway": pytest.approx(3.0), "photo_analysis": pytest.approx(expected)}
    past = request_cost(run, "photo", faces=faces, way="direct")
    assert past.steps == {"photo_analysis": pytest.approx(expected)}


@pytest.mark.parametrize(
    ("kind", "faces", "sentence"),
    [
        ("video", None, "no kind of request 'video': choose from crop, face, photo"),
        ("face", 3, "face:3 can't be: only a photo"),
        ("photo", 0, "photo:0 can't be"),
        ("crop", None, "has no row 'crop, 16 clients, gateway': measure it with"),
    ],
)
def test_requests_without_a_cost_are_refused(run: Run, kind: str, faces: int | None, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        request_cost(run, kind, faces=faces)


# -- the command ------------------------------------------------------------------------------------


def kept(run: Run, folder: Path) -> str:
    run.write(folder / "run.json")
    return str(folder / "run.json")


def test_the_command_prints_a_line_for_each_host_and_keeps_the_figures(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = kept(run, tmp_path)
    figures = tmp_path / "figures.json"
    command = [
        "--run",
        file,
        "--faces-per-second",
        "6000",
        "--cores",
        "8",
        "16",
        "--mix",
        "face=1",
        "photo:8=1",
    ]
    assert program.main([*command, "--gpus", "2", "--json", str(figures)]) == 0
    printed = capsys.readouterr().out
    assert "| 8 |" in printed
    assert "| 16 |" in printed
    small, large = json.loads(figures.read_text())
    assert large["faces"] > small["faces"]
    assert small["gpu_share"] == pytest.approx(small["faces"] / small["gpu_faces"], rel=1e-3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--faces-per-second", "10", "--mix", "face"], "'face' is no NAME=NUMBER: write face=1"),
        (["--faces-per-second", "10", "--mix", "photo:x=1"], "'photo:x' has no number of faces"),
        (["--faces-per-second", "10", "--cost", "decode=1"], "no request of the mix has a step 'decode'"),
        (
            ["--faces-per-second", "10", "--decoded-per-second", "9"],
            "leaves a part of face_preprocess on the host: measure it",
        ),
        (["--faces-per-second", "0"], "above 0"),
        (["--faces-per-second", "10", "--mix", "face=0"], "the mix has no request"),
    ],
)
def test_what_the_command_can_t_work_out_is_one_sentence(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert program.main(["--run", kept(run, tmp_path), *options]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""

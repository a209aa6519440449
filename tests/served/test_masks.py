"""Masks and points through the real server and the client: they lie on the photo where its pixels say."""

import io
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from PIL import Image

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.embedded import EmbeddedServer
from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient, InvalidInput, Mask, Points, Visibility, cli
from runtime.kinds.mask import OUTSIDE
from tests.helpers import requests as asking
from tests.helpers.embedded_servers import HURRIED
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import painted_network as painted
from tests.helpers.paths import ROOT
from tests.helpers.repositories import FEW_PROCESSES

EYES_AND_MOUTH = np.array([[-20, -20], [20, -20], [0, 0], [-15, 20], [15, 20]], np.float32)


def face_at(x: float, y: float) -> NDArray[np.float32]:
    """Five landmarks around a place."""
    return EYES_AND_MOUTH + np.array([x, y], np.float32)


@pytest.fixture(scope="module", params=["aligned", "box"])
def crop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, crop: str) -> Path:
    folder = tmp_path_factory.mktemp(f"masks-{crop}")
    weights = painted.write(folder / "painted.onnx", painted.contract(crop=crop))
    return assemble(ServingPlan(weights=weights, host_settings=FEW_PROCESSES), output=folder / "var")


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[GatewayServer]:
    with GatewayServer(repository, arguments=PATIENT) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[FaceClient]:
    with FaceClient(server.grpc_address) as connected:
        yield connected


@pytest.fixture(scope="module")
def plain(server: GatewayServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_address) as connected:
        yield connected


def agreement(mask: Mask, ids: NDArray[np.uint8]) -> tuple[float, float]:
    """The share of the photo that the crop covers, and in how much of that its mask is right."""
    height, width = ids.shape
    said = mask.in_photo(width, height, margin=0)  # beyond the crop the mask only guesses on
    spoken = said != OUTSIDE
    return float(spoken.mean()), float((said[spoken] == ids[spoken]).mean())


def test_a_mask_lies_on_the_photo_where_its_classes_are_however_the_face_is_turned(
    client: FaceClient, crop: str
) -> None:
    photo, ids = painted.picture(420, 300)
    for degrees in (0, 35, -120):
        turn = cv2.getRotationMatrix2D((0, 0), -degrees, 1)[:, :2]
        landmarks = EYES_AND_MOUTH @ turn.T + [210, 150]
        box = [160, 100, 260, 200]
        face = client.analyze_face(photo, box=box, landmarks=landmarks)
        share, right = agreement(face.parsing_lapa, ids)
        assert share > 0.1
        assert right > 0.9, degrees  # the edges between patches are a pixel of the crop wide


def test_a_face_at_the_photo_s_edge_has_padding_and_no_background_there(
    client: FaceClient, crop: str
) -> None:
    photo, ids = painted.picture(420, 300)
    face = client.analyze_face(photo, box=[-40, -40, 60, 60], landmarks=face_at(10, 10))
    mask = face.parsing_lapa
    assert 0 not in mask.present()  # nothing of the photo is background, and no pixel is taken for it
    assert agreement(mask, ids)[1] > 0.9
    outside = (mask.ids == OUTSIDE).mean()
    if crop == "box":
        assert outside == 0  # the crop ends where the photo ends
    else:
        assert 0.4 < outside < 0.8
        middle = mask.to_photo @ [painted.SIZE / 2 - 0.5, painted.SIZE / 2 - 0.5, 1]
        assert abs(middle - 10).max() < 2


def test_points_go_the_same_way_and_the_hidden_ones_are_told(client: FaceClient, crop: str) -> None:
    photo, _ = painted.picture(420, 300)
    face = client.analyze_face(photo, box=[160, 100, 260, 180], landmarks=face_at(210, 150))
    points, mask, visibility = face.landmarks, face.parsing_lapa, face["visibility"]
    assert isinstance(points, Points)
    expected = painted.points(68) @ mask.to_photo[:, :2].T + mask.to_photo[:, 2]
    np.testing.assert_allclose(points.xy, expected, atol=1e-2)
    assert isinstance(visibility, Visibility)
    assert visibility.task == "landmarks"
    seen = [i for i in visibility.indices[: len(visibility) // 2 + 1] if i is not None]
    assert visibility.hidden
    assert not set(seen) & set(visibility.hidden)
    line = json.loads(json.dumps(face.to_json()))
    assert line["visibility"] == [1.0] * 15 + [0.0] * 14
    assert len(line["landmarks"]) == 68


def test_every_way_to_ask_gives_the_same_mask(client: FaceClient, plain: Any) -> None:
    portrait = asking.ASTRONAUT.read_bytes()
    (found,) = client.analyze(portrait)
    place = {"box": found.box, "landmarks": found.landmarks5}
    together = client.analyze_face(portrait, **place).parsing_lapa
    alone = client.analyze_face(portrait, tasks=["parsing_lapa"], **place).parsing_lapa
    for mask in (together, alone):
        np.testing.assert_array_equal(mask.ids, found.parsing_lapa.ids)
        np.testing.assert_allclose(mask.to_photo, found.parsing_lapa.to_photo, atol=1e-4)
    crops = [asking.astronaut()[60:188, 160:288], asking.astronaut()[70:198, 160:288]]
    for one, mask in zip(crops, client.analyze_crops(crops), strict=True):
        np.testing.assert_array_equal(client.analyze_crop(one).parsing_lapa.ids, mask.parsing_lapa.ids)
        assert OUTSIDE not in mask.parsing_lapa.present()  # a crop is all there is
        assert agreement(mask.parsing_lapa, np.zeros((128, 128), np.uint8))[0] == 1


@pytest.mark.parametrize("model", ["parsing_lapa", "face_analysis", "photo_analysis"])
def test_run_lengths_come_where_they_are_asked_for_and_say_the_same(plain: Any, model: str) -> None:
    portrait = asking.ASTRONAUT.read_bytes()
    wanted = ["parsing_lapa_png", "parsing_lapa_map", "parsing_lapa_runs"]
    ask = asking.ask_about_photo if model == "photo_analysis" else asking.ask_about_face
    given = {} if model == "photo_analysis" else {"box": asking.BOX - np.array([170, 0, 170, 0], np.float32)}
    for outputs in (wanted, wanted[:2], wanted[2:], None):
        arguments = (plain, portrait) if model == "photo_analysis" else (plain, model, portrait)
        answered = ask(*arguments, outputs=outputs, **given)
        assert outputs is None or set(answered) == set(outputs)
        if "parsing_lapa_png" in answered:
            (png,) = answered["parsing_lapa_png"][0]
            ids = np.asarray(Image.open(io.BytesIO(png)))
        if "parsing_lapa_runs" in answered:
            runs = json.loads(answered["parsing_lapa_runs"][0, 0])
            counts = np.array(runs["counts"])
            said = np.repeat(counts[:, 0], counts[:, 1]).reshape(runs["size"])
            np.testing.assert_array_equal(said, ids)


def test_run_lengths_are_not_made_unless_they_are_asked_for(plain: Any) -> None:
    def made() -> int:
        return asking.inferences(plain, "parsing_lapa_runs_postprocess")

    def ask(*outputs: str) -> None:
        asking.ask_about_face(plain, "face_analysis", asking.ASTRONAUT.read_bytes(), outputs=outputs)

    before = made()
    for outputs in (["parsing_lapa_png"], ["contract"], ["landmarks_points", "contract"]):
        ask(*outputs)
    everything = asking.ask_about_face(plain, "face_analysis", asking.ASTRONAUT.read_bytes())
    assert "parsing_lapa_png" in everything
    assert "parsing_lapa_runs" not in everything
    assert made() == before
    ask("parsing_lapa_runs")
    assert made() == before + 1


@pytest.mark.parametrize("crop", ["aligned"], indirect=True)  # it makes no difference here
def test_run_lengths_are_text_for_those_who_speak_json_over_http(repository: Path) -> None:
    """With Triton alone: the gateway has no HTTP door for inference."""
    crop = np.full((1, 64, 64, 3), 40, np.uint8)
    question = {
        "inputs": [{"name": "crop", "shape": crop.shape, "datatype": "UINT8", "data": crop.ravel().tolist()}],
        "outputs": [{"name": "parsing_lapa_runs"}, {"name": "parsing_lapa_map"}],
    }
    with EmbeddedServer(repository, http_port=0, grace=HURRIED) as bare:
        request = urllib.request.Request(
            f"http://{bare.http_address}/v2/models/crop_analysis/infer", json.dumps(question).encode()
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            outputs = {output["name"]: output for output in json.load(answer)["outputs"]}
    runs = json.loads(outputs["parsing_lapa_runs"]["data"][0])
    assert runs == {"size": [64, 64], "counts": [[2, 64 * 64]]}
    assert outputs["parsing_lapa_map"]["shape"] == [1, 2, 3]


def test_faces_of_many_places_in_one_photo_and_none_at_all(client: FaceClient) -> None:
    portrait = asking.astronaut()
    both = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    analysis = client.analyze(both)
    assert len(analysis) == 2
    where = [face.parsing_lapa.to_photo[0, 2] for face in analysis]
    assert max(where) - min(where) > 300
    empty = client.analyze(np.full((200, 200, 3), 60, np.uint8))
    assert list(empty) == []


@pytest.mark.parametrize(
    ("box", "landmarks"),
    [
        ([500, 10, 600, 90], None),
        (None, face_at(5000, 0)),
        (None, face_at(-200, -200)),
        ([0, 0, np.inf, 10], None),
    ],
    ids=["box outside", "far outside", "outside", "infinite"],
)
def test_a_face_that_lies_outside_is_the_sender_s_mistake(
    client: FaceClient, box: Any, landmarks: Any
) -> None:
    photo, _ = painted.picture(420, 300)
    with pytest.raises(InvalidInput, match=r"outside|not finite"):
        client.analyze_face(photo, box=box, landmarks=landmarks)


def test_a_profile_and_a_tiny_face_are_answered(client: FaceClient) -> None:
    photo, ids = painted.picture(420, 300)
    profile = np.array([[200, 180], [203, 180], [225, 200], [202, 222], [205, 222]], np.float32)
    for landmarks in (profile, 420 - profile):
        assert agreement(client.analyze_face(photo, landmarks=landmarks).parsing_lapa, ids)[1] > 0.9
    tiny = client.analyze_face(photo, box=[100, 100, 101.5, 101.5]).parsing_lapa
    assert set(tiny.present()) <= {int(i) for i in np.unique(ids[98:104, 98:104])}


def test_the_command_draws_masks_and_prints_them(
    server: GatewayServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["analyze", str(asking.ASTRONAUT), "--url", server.grpc_address, "--tasks"]
    assert cli.main([*words, "landmarks,visibility,parsing_lapa", "--draw", str(tmp_path), "--json"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert set(face["parsing_lapa"]) == {"labels", "size", "map", "runs"}
    assert sum(length for _, length in face["parsing_lapa"]["runs"]) == painted.SIZE**2
    with Image.open(tmp_path / "astronaut.jpg") as drawn:
        assert drawn.size[1] > 720  # the legend below
    assert cli.main([*words, "landmarks,parsing_lapa"]) == 0
    said = capsys.readouterr().out
    assert "landmarks" in said
    assert "68 points" in said


@pytest.mark.parametrize("example", ["plain_tritonclient.py", "raw_grpc.py"])
def test_clients_without_anything_of_ours_read_masks_and_points(server: GatewayServer, example: str) -> None:
    path = ROOT / "client" / "examples" / example
    command = [sys.executable, "-I", str(path), str(asking.ASTRONAUT), server.grpc_address]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search(r"parsing_lapa: mask of \[64, 64\] with [a-z_, ]*skin", said)
    assert re.search(r"landmarks: 68 points, jaw_0 at \[", said)

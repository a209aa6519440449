"""The detector as ONNX computes what OpenVINO computes of the .tflite file."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from deploy.web.bundle.detector_onnx import detector_onnx, write_detector
from runtime.detect.blazeface import CANVASES, LOGITS, REGRESSORS
from runtime.detect.detector_engine import DetectorEngine, load_detector
from runtime.detect.detector_file import find_detector
from tests.helpers.paths import ROOT

# Of logits up to 15 and regressors up to 150 canvas pixels: what fp32 leaves of two orders of sums.
LOGIT_TOLERANCE, PIXEL_TOLERANCE = 1e-4, 1e-3


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "detector.onnx"
    write_detector(path)
    return path


@pytest.fixture(scope="module")
def engine() -> DetectorEngine:
    return load_detector(find_detector())


# A whole look, closer looks, a second look of a wide photo, a tile: batches and sides are free.
@pytest.mark.parametrize("shape", [(1, 160, 192), (4, 96, 96), (1, 288, 480), (1, 480, 480)])
def test_the_onnx_detector_answers_as_the_tflite_one(
    written: Path, engine: DetectorEngine, shape: tuple[int, int, int]
) -> None:
    photo = cv2.imread(str(ROOT / "tests" / "assets" / "astronaut.jpg"))[..., ::-1]
    canvases = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    canvases[0] = cv2.resize(np.ascontiguousarray(photo), shape[:0:-1])
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    regressors, logits = session.run([REGRESSORS, LOGITS], {CANVASES: canvases})
    expected = engine.infer(canvases)
    assert expected[LOGITS].max() > 0  # there is a face to find
    np.testing.assert_allclose(logits, expected[LOGITS], rtol=0, atol=LOGIT_TOLERANCE)
    np.testing.assert_allclose(regressors, expected[REGRESSORS], rtol=0, atol=PIXEL_TOLERANCE)


def test_the_onnx_detector_is_the_same_bytes_each_time(written: Path, tmp_path: Path) -> None:
    write_detector(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == written.read_bytes()


def test_the_onnx_detector_keeps_its_weights_in_half_precision(written: Path) -> None:
    assert written.stat().st_size < 1.1 * find_detector().stat().st_size


def test_another_network_is_refused() -> None:
    other = find_detector().with_name("face_landmark.tflite")
    with pytest.raises(ValueError, match=r"is not the BlazeFace full-range detector"):
        detector_onnx(other)

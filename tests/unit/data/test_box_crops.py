"""`prepare --crop box`: FaceXFormer's own crop; labels move with it, and no other crop takes its place."""

import pathlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from runtime.detect.detector_file import find_detector
from runtime.detect.faces import find_faces
from runtime.image.align import transform
from runtime.image.crops import crop_of
from tests.helpers.paths import ASSETS
from training.data.__main__ import main
from training.data.prepare import Options, prepare_set
from training.data.prepared.face_set import FaceSet, prepared_sets
from training.data.reader import Expected, Reader
from training.data.sample import Sample

MARK = (150, 60)
BOX = (20.0, 10.0, 180.0, 190.0)


def _reader(*samples: Sample) -> Reader:
    return Reader(
        name="made",
        title="Made",
        licence="CC0",
        tasks=("landmarks", "head_pose"),
        tree="any.png",
        expected=Expected(counts={}),
        read=lambda source: iter(samples),
    )


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A face turned by 15 degrees with a mark at MARK; the file."""
    picture = cv2.imread(str(ASSETS / "astronaut.jpg"))
    assert picture is not None
    turn = cv2.getRotationMatrix2D((105, 100), -15, 1)  # clockwise
    portrait = cv2.warpAffine(picture[40:240, 120:330], turn, (210, 200))
    cv2.circle(portrait, MARK, 3, (255, 0, 255), -1)
    path = tmp_path_factory.mktemp("photos") / "turned.png"
    assert cv2.imwrite(str(path), portrait)
    return path


def _sample(path: pathlib.Path, *, box: tuple[float, float, float, float] | None = None) -> Sample:
    labels = {"landmarks": [list(map(float, MARK)), *[None] * 67], "head_pose": [5, 6, 15]}
    return Sample(key=path.name, picture=path, labels=labels, split="train", box=box)


def test_the_crop_is_facexformer_s_own_and_labels_move_with_it(
    turned: pathlib.Path, tmp_path: pathlib.Path, compiled_detectors: Callable[..., Any]
) -> None:
    manifest = prepare_set(
        _reader(_sample(turned)), source=turned.parent, output=tmp_path, options=Options(size=96, crop="box")
    )
    assert manifest["crop"]["kind"] == manifest["options"]["crop"] == "box"
    faces = FaceSet(tmp_path / "made", crop="box")
    photo = cv2.cvtColor(np.asarray(cv2.imread(str(turned)), np.uint8), cv2.COLOR_BGR2RGB)
    photo = np.asarray(photo, np.uint8)
    found = find_faces(photo, compiled_detectors(find_detector(), precision="fp32", threads=1).infer)
    own, _ = crop_of("box")(photo, box=found.boxes[0], size=96)
    served = faces.served_crops([0], size=96)[0]
    assert np.abs(served.astype(int) - own).mean() < 2  # JPEG's loss
    stored = faces.stored_crop(0)
    magenta = (stored[..., 0] > 180) & (stored[..., 1] < 90) & (stored[..., 2] > 180)
    seen = np.argwhere(magenta).mean(axis=0)[::-1]
    place = faces.columns["landmarks"][0, 0] * faces.crop_size - 0.5 + faces.margin
    assert place == pytest.approx(seen, abs=0.7)
    forward = faces.crop_transform(0)
    assert forward is not None
    assert transform(np.array(MARK, float), forward) == pytest.approx(seen, abs=0.7)
    assert faces.columns["head_pose"][0].tolist() == [5, 6, 15]  # a box is not turned upright


def test_an_annotated_box_is_the_crop_of_a_face_that_is_not_found(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    blank = tmp_path / "blank.png"
    assert cv2.imwrite(str(blank), rng.integers(0, 256, (200, 210, 3), dtype=np.uint8))
    options = Options(size=64, crop="box")
    prepare_set(_reader(_sample(blank, box=BOX)), source=tmp_path, output=tmp_path / "out", options=options)
    x0, y0, x1, y1 = BOX
    shown = transform([[x0, y0], [x1, y1]], FaceSet(tmp_path / "out/made", crop="box").crop_transform(0))
    assert (shown > 0).all()
    with pytest.raises(ValueError, match="would have no face"):  # which no upright crop can be made of
        prepare_set(
            _reader(_sample(blank, box=BOX)),
            source=tmp_path,
            output=tmp_path / "aligned",
            options=Options(size=64),
        )


def test_no_crop_is_taken_for_another(
    turned: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prepare", "photos", "--source", str(turned.parent), "--output", str(tmp_path), "--size", "64"]
    assert main([*command, "--crop", "box"]) == 0
    assert main([*command, "--crop", "box"]) == 0  # it is there already
    assert main(command) == 2
    assert "holds box crops, which would be lost: choose another --output" in capsys.readouterr().err
    with pytest.raises(ValueError, match="cut as 'box', and 'aligned' crops are wanted: prepare the set"):
        FaceSet(tmp_path / "photos")
    with pytest.raises(ValueError, match="'aligned' crops are wanted"):
        prepared_sets(tmp_path, split="train")
    (faces,) = prepared_sets(tmp_path, split="train", crop=None)
    assert faces.crop == "box"

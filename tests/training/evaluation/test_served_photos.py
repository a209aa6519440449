"""Predictions for whole photos are measured like those for crops, and for the face that the set means."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.gateway.operation.service import GatewayServer
from qface_client import Analysis, Classification, Face, InvalidInput, Mask, Points, Rotation
from runtime.image.align import invert, photo_to_crop, transform
from tests.helpers.networks import painted_network as painted
from tests.helpers.paths import ROOT
from training.contract import make_contract
from training.data.crops import crop_with_margin, transform_label, transform_mask
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face as PreparedFace
from training.data.prepared.writer import margin_of, write_set
from training.data.readers import reader_of
from training.data.sample import Sample
from training.evaluation.evaluate import evaluate, main
from training.evaluation.evaluated_task import evaluated_task
from training.evaluation.predictors import Predictions, Predictor
from training.evaluation.report import as_markdown, result_as_json
from training.evaluation.results import TaskResult
from training.evaluation.served_photos import SetPhotos, photo_source
from training.kinds import kinds
from training.tasks import CATALOGUE

SIZE = 64  # of the prepared crops
INPUT = 48  # of the network's: neither is the other's
COUNT = 6
WIDTH, HEIGHT = 420, 300
FIVE = np.array([[-20, -20], [20, -20], [0, 0], [-15, 20], [15, 20]], np.float64)
ENTRIES = make_contract(
    [CATALOGUE[name] for name in ("gender", "head_pose", "landmarks", "parsing")], input_size=INPUT
).tasks
LABELS = {entry.name: entry.labels for entry in ENTRIES}


def five_of(i: int) -> NDArray[np.float64]:
    """Where face `i` lies in its photo: each elsewhere, each turned otherwise."""
    turn = cv2.getRotationMatrix2D((0, 0), -25.0 * i, 1)[:, :2]
    return FIVE @ turn.T + [180 + 15 * i, 120 + 8 * i]


def pose_of(i: int) -> list[float]:
    return [10.0 * i - 20, 5.0 * i, 25.0 * i - 60]


def points_of(i: int) -> NDArray[np.float32]:
    """68 points around the face, in the photo's pixels."""
    turns = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    around = 30 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return (around + five_of(i).mean(axis=0)).astype(np.float32)


PICTURE, IDS = painted.picture(WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photos`, and under `prepared` the set `mine` that was made of them."""
    root = tmp_path_factory.mktemp("photos")
    (root / "photos").mkdir()
    made = []
    margin = margin_of(SIZE)
    for i in range(COUNT):
        assert cv2.imwrite(str(root / "photos" / f"{i}.png"), PICTURE)
        pixels, forward = crop_with_margin(PICTURE, five_of(i), size=SIZE, margin=margin)
        made.append(
            PreparedFace(
                key=f"{i}.png",
                pixels=pixels,
                split="test",
                labels={
                    "gender": LABELS["gender"][i % 2],
                    "head_pose": transform_label("head_pose", pose_of(i), forward),
                    "landmarks": transform_label("landmarks", points_of(i).tolist(), forward),
                },
                masks={"parsing": transform_mask(IDS, forward, side=SIZE + 2 * margin)},
                forward=forward,
            )
        )
    write_set(root / "prepared" / "mine", made, size=SIZE, options={"layout": "photos"})
    return root


def face_at(
    five: NDArray[np.float64], *, gender: int, pose: Sequence[float], points: NDArray[np.float32], own: int
) -> Face:
    """A client's answer in the photo's pixels; its own crop has `own` pixels."""
    to_photo = invert(photo_to_crop(width=WIDTH, height=HEIGHT, landmarks=five, size=own))
    column, row = np.moveaxis(
        np.rint(transform(np.stack(np.mgrid[:own, :own][::-1], axis=-1), to_photo)).astype(int), -1, 0
    )
    inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    ids = np.where(inside, IDS[np.clip(row, 0, HEIGHT - 1), np.clip(column, 0, WIDTH - 1)], 255)
    one_hot = dict(zip(LABELS["gender"], np.eye(2)[gender].tolist(), strict=True))
    return Face(
        box=(*(five.min(axis=0) - 20), *(five.max(axis=0) + 20)),
        score=0.9,
        landmarks5=five.astype(np.float32),
        contract=None,
        answers={
            "gender": Classification(label=LABELS["gender"][gender], probabilities=one_hot),
            "head_pose": Rotation(angles=dict(zip(LABELS["head_pose"], pose, strict=True))),
            "landmarks": Points(xy=points, labels=LABELS["landmarks"]),
            "parsing": Mask(ids=ids.astype(np.uint8), labels=LABELS["parsing"], to_photo=to_photo),
        },
    )


def knowing(*, lost: Sequence[int] = ()) -> Callable[[Any, Sequence[str]], Analysis]:
    """Answers rightly about the set's face, which it finds a little beside where it was found before, and
    wrongly about another one that it finds first; of the photos `lost` only about that."""

    def answer(photo: Any, tasks: Sequence[str]) -> Analysis:
        assert list(tasks) == list(LABELS)
        i = int(Path(photo).stem)
        five = five_of(i)
        wrong = {"gender": 1 - i % 2, "pose": [0.0, 0.0, 90.0], "points": points_of(i) + 40}
        faces = [face_at(five + np.array([90, 40]), own=56, **wrong)]
        if i not in lost:
            right = {"gender": i % 2, "pose": pose_of(i), "points": points_of(i)}
            faces.append(face_at(five * 1.01 + [-1.0, 1.0], own=56, **right))
        return Analysis(faces, width=WIDTH, height=HEIGHT, contract=None)

    return answer


def rows_of(
    folder: Path, answer: Callable[[Any, Sequence[str]], Analysis], **options: Any
) -> dict[str, TaskResult]:
    faces = FaceSet(folder / "prepared" / "mine", split="test")
    asked = photo_source(SetPhotos(faces, folder / "photos"), answer)

    def never(pixels: NDArray[np.uint8]) -> Predictions:
        raise AssertionError("a crop was sent")

    found = evaluate(
        never, ENTRIES, [faces], input_size=INPUT, bootstrap=20, sources={"mine": asked}, **options
    )
    return {row.task: row for row in found}


def test_answers_in_the_photo_s_pixels_are_judged_in_the_crop_s(folder: Path) -> None:
    rows = rows_of(folder, knowing())
    assert {(row.faces, row.not_found, row.sent) for row in rows.values()} == {(COUNT, 0, "photo")}
    assert rows["gender"].values["top1_accuracy"].value == 1
    assert rows["head_pose"].values["euler_mean_absolute_error"].value == pytest.approx(0, abs=1e-3)
    assert rows["landmarks"].values["box_normalized_error"].value == pytest.approx(0, abs=1e-4)
    # The edges between patches are a pixel of the crop wide.
    assert rows["parsing"].values["pixel_accuracy"].value > 0.92


def test_faces_that_are_not_found_are_counted_and_in_no_figure(folder: Path) -> None:
    rows = rows_of(folder, knowing(lost=[1, 4]))
    assert {(row.faces, row.not_found) for row in rows.values()} == {(COUNT - 2, 2)}
    assert rows["gender"].values["top1_accuracy"].value == 1
    assert sum(rows["gender"].positives.values()) == COUNT - 2
    table = as_markdown(list(rows.values()))
    assert f"| photo, not found: 2 of {COUNT} |" in table
    assert "faces that it did not find are counted there and are in no figure" in table
    said = result_as_json(rows["gender"])
    assert (said["sent"], said["not_found"]) == ("photo", 2)


def test_no_face_found_at_all_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match=f"none of the {COUNT} faces of mine was found in its photo"):
        rows_of(folder, knowing(lost=range(COUNT)))


def test_a_published_figure_stands_beside_no_part_of_the_faces(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluation.metric_accumulator.figures_for", lambda *_, **__: ("theirs",))
    assert rows_of(folder, knowing())["gender"].published == ("theirs",)
    assert rows_of(folder, knowing(lost=[2]))["gender"].published == ()


def test_another_network_is_measured_on_the_crops_of_the_faces_that_were_found(folder: Path) -> None:
    seen = []

    def other(pixels: NDArray[np.uint8]) -> Predictions:
        seen.append(pixels.shape)
        return {"gender": np.tile([1.0, 0.0], (len(pixels), 1))}

    comparison = Predictor(name="other", predict=other, tasks=(ENTRIES[0],), input_size=SIZE, contract="")
    row = rows_of(folder, knowing(lost=[1]), comparison=comparison)["gender"]
    assert seen == [(COUNT - 1, SIZE, SIZE, 3)]
    assert row.values["top1_accuracy"].value == 1
    assert row.comparison["top1_accuracy"].value == pytest.approx(3 / 5)
    assert row.comparison["top1_accuracy"].low <= 0.6 <= row.comparison["top1_accuracy"].high
    table = as_markdown([row], comparison="other.onnx")
    assert "| this network | other.onnx | trivial |" in table
    assert result_as_json(row)["beside"]["top1_accuracy"][0] == pytest.approx(0.6)


def test_where_a_mask_says_nothing_is_background() -> None:
    """Its own crop covers the left half of the set's, and its top row lies outside the photo."""
    ids = np.full((8, 4), 3, np.uint8)
    ids[0] = 255
    mask = Mask(ids=ids, labels=LABELS["parsing"], to_photo=np.eye(2, 3, dtype=np.float32))
    moved_ids = kinds()["mask"].client_answer_in_crop(mask, np.eye(2, 3), labels=LABELS["parsing"], size=8)
    assert (moved_ids[1:, :4] == 3).all()
    assert not moved_ids[0].any()
    assert not moved_ids[:, 4:].any()


def test_photos_that_preparing_left_out_are_counted(tmp_path: Path) -> None:
    """Without them a detector that misses many faces would look as if it missed none."""
    (tmp_path / "UTKFace").mkdir()
    for i in range(9):
        assert cv2.imwrite(str(tmp_path / "UTKFace" / f"3{i}_1_0_20170110.png"), PICTURE)
    (tmp_path / "UTKFace" / "nobody.png").write_bytes(b"")
    _, forward = crop_with_margin(PICTURE, five_of(0), size=SIZE, margin=0)
    side = SIZE + 2 * margin_of(SIZE)
    samples = [sample for sample in reader_of("utkface").read(tmp_path) if isinstance(sample, Sample)]
    keys = [sample.key for sample in samples if sample.split == "test"]
    made = [
        PreparedFace(
            key=key,
            pixels=np.zeros((side, side, 3), np.uint8),
            split="test",
            labels={"gender": "female"},
            forward=forward,
        )
        for key in keys[:-2]
    ]
    write_set(tmp_path / "made" / "utkface", made, size=SIZE, options={"layout": "utkface", "limit": None})
    faces = FaceSet(tmp_path / "made" / "utkface", split="test")

    def answer(photo: Any, tasks: Sequence[str]) -> Analysis:
        right = {"gender": 1, "pose": pose_of(0), "points": points_of(0), "own": 56}
        return Analysis([face_at(five_of(0), **right)], width=WIDTH, height=HEIGHT, contract=None)

    asked = photo_source(SetPhotos(faces, tmp_path), answer)
    rows = evaluate(
        lambda _: {}, ENTRIES[:1], [faces], input_size=INPUT, bootstrap=0, sources={"utkface": asked}
    )
    assert [(row.faces, row.not_found, row.left_out) for row in rows] == [(len(made), 0, 2)]
    assert f"| photo, not found: 0 of {len(made)}, left out: 2 |" in as_markdown(rows)
    write_set(
        tmp_path / "few" / "utkface", made, size=SIZE, options={"layout": "utkface", "limit": len(made)}
    )
    assert SetPhotos(FaceSet(tmp_path / "few" / "utkface", split="test"), tmp_path).left_out == 0


def test_pictures_that_are_no_files_are_sent_as_pixels_in_their_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (20, 48 * 48))
    lines = [f"3,{' '.join(map(str, row))},PrivateTest" for row in grey]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    side = SIZE + 2 * margin_of(SIZE)
    forward = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    made = [
        PreparedFace(
            key=f"fer2013.csv:{i + 2}",
            pixels=np.zeros((side, side, 3), np.uint8),
            split="test",
            labels={"expression": "happiness"},
            forward=forward,
        )
        for i in range(len(grey))
    ]
    write_set(tmp_path / "fer2013", made, size=SIZE, options={"layout": "fer2013"})
    faces = FaceSet(tmp_path / "fer2013", split="test")
    photos = SetPhotos(faces, tmp_path)
    sent = []

    def answer(photo: Any, tasks: Sequence[str]) -> Analysis:
        sent.append(photo)
        return Analysis([], width=48, height=48, contract=None)

    question = evaluated_task(make_contract([CATALOGUE["expression"]], input_size=48).tasks[0], input_size=48)
    assert question is not None
    asked = photo_source(photos, answer).predict(faces, np.arange(4, 9), [question])
    assert (asked.found.tolist(), asked.predictions) == ([False] * 5, {})
    assert {picture.shape for picture in sent} == {(48, 48, 3)}
    whole = {picture[..., 0].tobytes() for picture in sent}
    assert whole == {grey[i].astype(np.uint8).tobytes() for i in range(4, 9)}


def test_a_photo_that_the_server_refuses_is_named(folder: Path) -> None:
    def answer(photo: Any, tasks: Sequence[str]) -> Analysis:
        raise InvalidInput("can't be decoded", file="x.png")

    with pytest.raises(ValueError, match=r"did not answer about \d.png of mine: x.png: can't be decoded"):
        rows_of(folder, answer)


def test_a_folder_that_is_not_the_set_s_is_told(folder: Path, tmp_path: Path) -> None:
    faces = FaceSet(folder / "prepared" / "mine", split="test")
    with pytest.raises(ValueError, match="is no folder"):
        SetPhotos(faces, tmp_path / "gone")
    (tmp_path / "0.png").write_bytes((folder / "photos" / "0.png").read_bytes())
    with pytest.raises(ValueError, match=rf"pictures of {COUNT - 1} faces of mine \(the first is 1.png\)"):
        SetPhotos(faces, tmp_path)
    side = SIZE + 2 * margin_of(SIZE)
    bare = PreparedFace(key="0.png", pixels=np.zeros((side, side, 3), np.uint8), split="test")
    write_set(tmp_path / "made" / "bare", [bare], size=SIZE, options={"layout": "photos"})
    with pytest.raises(ValueError, match=r"bare does not say where 0.png lies in its picture"):
        SetPhotos(FaceSet(tmp_path / "made" / "bare", split="test"), tmp_path).to_crop(0, size=SIZE)
    write_set(tmp_path / "made" / "drawn", [bare], size=SIZE)
    with pytest.raises(ValueError, match="drawn was not prepared from photos"):
        SetPhotos(FaceSet(tmp_path / "made" / "drawn", split="test"), tmp_path)


@pytest.mark.parametrize(
    ("photos", "sentence"),
    [
        (["mine"], "give SET=DIR once for a set that is measured (mine)"),
        (["other={folder}"], "give SET=DIR once for a set that is measured (mine)"),
        (["mine={folder}/photos", "mine={folder}/photos"], "give SET=DIR once"),
        (["mine={folder}/gone"], "is no folder"),
    ],
)
def test_photos_that_can_t_be_meant_are_told_in_one_line(
    server: GatewayServer,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    photos: list[str],
    sentence: str,
) -> None:
    words = [f"grpc://{server.grpc_address}", "--data", str(folder / "prepared"), "--photos"]
    assert main([*words, *(word.format(folder=folder) for word in photos)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("training.evaluation.evaluate: ")
    assert said.count("\n") == 1
    assert sentence in said


def test_photos_are_for_a_server(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(ROOT / "weights" / "qface-tiny.onnx"), "--data", str(folder / "prepared")]
    assert main([*words, "--photos", f"mine={folder / 'photos'}"]) == 2
    assert "--photos are sent to a server" in capsys.readouterr().err

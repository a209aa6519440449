"""Pictures say what the numbers say: where a query looks, how a run went, what is taken for what."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers.paths import ASTRONAUT, ROOT
from training.contract import make_contract
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.data.sampling.unlabelled_batches import Cropping
from training.models import (
    CONFIGS,
    Checkpoint,
    QFace,
    QFaceConfig,
    build_qface,
    load_checkpoint,
    save_checkpoint,
)
from training.models.checkpoint import round_to_half
from training.research.figures.__main__ import main
from training.research.figures.attention import draw_attention
from training.research.figures.confusion import confusion, count_confusion, draw_confusion
from training.research.figures.curves import draw_curves, read_progress
from training.research.figures.face_crop import face_crop
from training.research.figures.reconstruction import draw_reconstruction
from training.research.query_attention import attention_of, queries_of, stage_maps, stage_shares
from training.research.reconstruction import load_pretraining, reconstructed
from training.train.loop.distributed import Distributed
from training.train.pretrain import Pretraining, pretrain

SIZE = 64
SMALL_VIT = QFaceConfig(
    name="small_vit",
    encoder="vit_tiny_patch16_224",
    input_size=SIZE,
    stages=(0, 1, 3),
    width=32,
    heads=4,
    encoder_options={"depth": 4, "embed_dim": 48, "num_heads": 3},
)


@pytest.fixture(scope="module")
def vit() -> QFace:
    torch.manual_seed(0)
    return build_qface(SMALL_VIT).eval()


@pytest.fixture(scope="module")
def checkpoint(vit: QFace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    torch.manual_seed(0)
    model = build_qface(SMALL_VIT).eval()
    round_to_half(model)
    contract = make_contract(model.tasks, input_size=SIZE)
    save_checkpoint(path, Checkpoint(model=model, contract=contract, card={}))
    return path


def noise(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.uint8)


def test_a_label_a_task_and_a_task_with_its_label_name_queries(vit: QFace) -> None:
    assert queries_of(vit, "surprise") == [0]
    assert queries_of(vit, "expression") == list(range(7))
    assert queries_of(vit, "AU1") == [7]
    assert queries_of(vit, "attributes/Smiling") == queries_of(vit, "Smiling")
    assert queries_of(vit, "head_pose") == list(range(62, 68))
    with pytest.raises(ValueError, match=r"no query for 'yaw': name a task \(expression, "):
        queries_of(vit, "yaw")


def test_attention_is_the_mean_of_faces_and_heads_and_its_stages_sum_to_one(vit: QFace) -> None:
    pixels = noise(2)
    attention = attention_of(vit, pixels)
    tokens = 3 * (1 + 16)
    assert attention.shape == (68, tokens)
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-5)
    by_face = [attention_of(vit, pixels[i : i + 1]) for i in range(2)]
    np.testing.assert_allclose(attention, np.mean(by_face, axis=0), atol=1e-6)
    shares = stage_shares(vit, attention)
    assert list(shares) == [task.name for task in vit.tasks]
    assert all(share.sum() == pytest.approx(1, abs=1e-5) for share in shares.values())
    assert shares["expression"][1] == pytest.approx(attention[:7, 17:34].sum() / 7, abs=1e-5)


def test_a_stage_map_leaves_out_the_token_that_stands_for_no_place(vit: QFace) -> None:
    attention = np.arange(51, dtype=np.float32)
    maps = stage_maps(vit, attention)
    assert [found.stage for found in maps] == [0, 1, 3]
    assert maps[1].grid.tolist() == np.arange(18, 34, dtype=float).reshape(4, 4).tolist()
    assert maps[1].share == attention[17:34].sum()


def test_figure_4_has_a_row_a_label_and_a_column_a_stage_with_its_share(vit: QFace) -> None:
    figure = draw_attention(vit, noise(1)[0], names=["Smiling", "age"])
    assert len(figure.axes) == 2 * 4
    share = stage_shares(vit, attention_of(vit, noise(1)))["age"]
    assert [axis.get_title() for axis in figure.axes[5:]] == [
        f"S{stage}: {part:.0%}" for stage, part in zip((1, 2, 4), share, strict=True)
    ]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_attention_is_drawn_from_a_checkpoint_and_a_photo(
    checkpoint: Path, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"out{suffix}"
    words = ["attention", str(checkpoint), str(ASTRONAUT), "--labels", "Smiling, head_pose"]
    assert main([*words, "--output", str(output)]) == 0
    first = output.read_bytes()
    assert first.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    assert main([*words, "--output", str(output)]) == 0
    assert output.read_bytes() == first
    assert list(tmp_path.iterdir()) == [output]


def test_stages_are_drawn_for_every_task_over_several_photos(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    crop = tmp_path / "crop.png"
    cv2.imwrite(str(crop), noise(1)[0])
    words = ["stages", str(checkpoint), str(crop), str(ASTRONAUT), "--aligned"]
    assert main([*words, "--output", str(output)]) == 0
    assert cv2.imread(str(output)) is not None


def progress(run: Path, *lines: dict[str, Any], tail: str = "") -> Path:
    run.mkdir(exist_ok=True)
    (run / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return run


def step(number: int, **losses: float) -> dict[str, Any]:
    return {"step": number, "losses": losses, "learning_rate": 0.1}


def test_of_steps_done_twice_after_a_kill_the_later_ones_count(tmp_path: Path) -> None:
    run = progress(
        tmp_path / "run",
        *(step(number, age=1.0) for number in (10, 20, 30)),
        *(step(number, age=2.0) for number in (20, 30, 40)),
        tail='{"step": 50, "los',
    )
    assert [(line["step"], line["losses"]["age"]) for line in read_progress(run)] == [
        (10, 1.0),
        (20, 2.0),
        (30, 2.0),
        (40, 2.0),
    ]


def test_curves_have_a_picture_a_loss_and_a_line_a_run(tmp_path: Path) -> None:
    first = progress(tmp_path / "a", step(10, age=1.0, gender=2.0), step(20, age=0.5, gender=1.0))
    second = progress(tmp_path / "b", step(10, age=1.5), step(20, age=0.7))
    figure = draw_curves([first, second])
    assert [axis.get_title() for axis in figure.axes] == ["age", "gender", "learning_rate"]
    assert [line.get_ydata().tolist() for line in figure.axes[0].get_lines()] == [[1.0, 0.5], [1.5, 0.7]]
    output = tmp_path / "curves.png"
    assert main(["curves", str(first), str(second), "--output", str(output)]) == 0
    assert cv2.imread(str(output)) is not None


def test_confusion_counts_labels_by_answers_and_leaves_out_who_is_not_labelled() -> None:
    labelled = np.array([[1, 0], [1, 0], [0, 1], [np.nan, np.nan]], np.float32)
    answered = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [1, 0]], np.float32)
    assert confusion(labelled, answered).tolist() == [[1, 1], [0, 1]]


def test_a_confusion_matrix_says_how_many_and_how_many_are_right() -> None:
    figure = draw_confusion({"gender": np.array([[3, 1], [0, 4]])})
    assert figure.axes[0].get_title() == "gender: 87.5% right"
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["male (4)", "female (4)"]


def test_confusion_is_drawn_from_a_checkpoint_and_prepared_faces(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    side = SIZE + 2 * margin_of(SIZE)
    faces = [
        Face(
            key=str(i),
            pixels=np.full((side, side, 3), 20 * i, np.uint8),
            split="test",
            labels={"gender": "female" if i % 2 else "male", "age": [i, i]},
        )
        for i in range(9)
    ]
    write_set(tmp_path / "data" / "made", faces, size=SIZE)
    counts = count_confusion(
        str(checkpoint), data=tmp_path / "data", sets=None, split="test", limit=None, device="cpu"
    )
    assert list(counts) == ["gender"]
    assert counts["gender"].sum(axis=1).tolist() == [5, 4]
    limited = count_confusion(
        str(checkpoint), data=tmp_path / "data", sets=["made"], split="test", limit=3, device="cpu"
    )
    assert limited["gender"].sum() == 3
    output = tmp_path / "out.png"
    words = ["confusion", str(checkpoint), "--data", str(tmp_path / "data"), "--output", str(output)]
    assert main(words) == 0
    assert cv2.imread(str(output)) is not None
    assert main([*words, "--split", "train"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_can_not_be_drawn_is_refused_with_one_sentence(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((64, 64, 3), np.uint8))
    empty = progress(tmp_path / "empty")
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "progress.jsonl").write_text("no JSON\n{}\n")
    attention = ["attention", str(checkpoint), str(ASTRONAUT), "--labels"]
    for words, said in (
        ([*attention, "Nothing"], "no query for 'Nothing'"),
        ([*attention, "age", "--block", "3"], "the decoder has blocks 1 to 2"),
        (["attention", str(checkpoint), str(black), "--labels", "age"], "there is no face in"),
        (["stages", str(checkpoint), str(tmp_path / "none.jpg")], "can't be read (No such file"),
        (["stages", str(tmp_path / "none"), str(ASTRONAUT)], "none does not exist"),
        (["curves", str(tmp_path)], "name the --run folder"),
        (["curves", str(empty)], "no line of progress yet"),
        (["curves", str(wrong)], "line 1 of"),
    ):
        assert main([*words, "--output", str(tmp_path / "out.png")]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert main([*attention, "age", "--output", str(tmp_path / "out.gif")]) == 2
    assert "must end in one of .png, .svg, .pdf" in capsys.readouterr().err
    assert main([*attention, "age", "--output", str(tmp_path / "no" / "out.png")]) == 2
    assert "can't be written (No such file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learned to paint the portrait for a few steps."""
    folder = tmp_path_factory.mktemp("pretrained")
    crop = face_crop(ASTRONAUT, size=SIZE, aligned=False)
    stored = cv2.copyMakeBorder(crop, *[margin_of(SIZE)] * 4, cv2.BORDER_CONSTANT)
    write_set(folder / "made", [Face(key=str(i), pixels=stored, split="train") for i in range(4)], size=SIZE)
    run = Pretraining(
        model=CONFIGS["qface_test"],
        sets=("made",),
        epochs=60,
        warmup_epochs=0,
        learning_rate=1e-2,
        batch=4,
        width=32,
        heads=2,
        workers=0,
        bf16=False,
        cropping=Cropping(smallest=1, stretch=1, mirrored=0),
    )
    where = Distributed(rank=0, world=1, device=torch.device("cpu"))
    pretrain(run, data=folder, folder=folder / "run", where=where)
    return folder / "run"


def test_a_reconstruction_shows_a_quarter_of_a_face_and_paints_the_rest(pretrained: Path) -> None:
    objective = load_pretraining(pretrained)
    crop = face_crop(ASTRONAUT, size=SIZE, aligned=False)
    shown, painted = reconstructed(objective, crop[None])
    assert shown.shape == painted.shape == (1, SIZE, SIZE, 3)
    same = (shown[0] == crop).all(axis=2)
    assert same.mean() == pytest.approx(0.25, abs=0.02)
    assert (shown[0][~same] == 127).all()
    np.testing.assert_array_equal(painted[0][same], crop[same])
    # It has learned: what is painted is much nearer to the face than one colour everywhere is.
    far = np.abs(crop.astype(float) - crop[~same].mean(axis=0))[~same].mean()
    assert np.abs(crop.astype(float) - painted[0])[~same].mean() < 0.6 * far
    figure = draw_reconstruction((crop[None], shown, painted))
    assert [axis.get_title() for axis in figure.axes] == ["face", "shown", "painted in"]


def test_normalised_patches_are_painted_as_bright_as_the_face(
    pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = load_pretraining(pretrained)
    autoencoder = objective.autoencoder
    autoencoder.normalised = True
    # A decoder that is right.
    right = lambda images, order, visible: (images, autoencoder.target_patches(images))  # noqa: E731
    monkeypatch.setattr(autoencoder, "forward", right)
    crop = face_crop(ASTRONAUT, size=SIZE, aligned=False)
    _, painted = reconstructed(objective, crop[None])
    assert np.abs(painted[0].astype(int) - crop).max() <= 1


def test_a_reconstruction_is_drawn_from_a_run_and_photos_always_the_same(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.png"
    words = ["reconstruction", str(pretrained), str(ASTRONAUT), str(ASTRONAUT), "--output", str(output)]
    assert main(words) == 0
    first = output.read_bytes()
    assert cv2.imread(str(output)) is not None
    assert main(words) == 0
    assert output.read_bytes() == first
    capsys.readouterr()
    other = tmp_path / "other"
    other.mkdir()
    for state in (None, {"identity": "{}", "objective": {}}):
        if state is not None:
            torch.save(state, other / "last.pt")
        assert main(["reconstruction", str(other), *words[2:]]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert str(other / "last.pt") in error


def test_the_shipped_network_is_drawn_over_its_convolutional_stages() -> None:
    model = load_checkpoint(ROOT / "weights" / "qface-tiny.safetensors").model
    assert isinstance(model, QFace)
    size = CONFIGS["qface_tiny"].input_size
    crop = face_crop(ASTRONAUT, size=size, aligned=False)
    assert crop.shape == (size, size, 3)
    maps = stage_maps(model, attention_of(model, crop[None])[0])
    assert [found.grid.shape for found in maps] == [(14, 14), (7, 7), (4, 4)]
    assert sum(found.share for found in maps) == pytest.approx(1, abs=1e-5)

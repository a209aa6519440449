"""Teachers in face-api.js's form are read, and an encoder learns to say what its teacher says."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.faces.synthetic_sets import make_set
from training.data.prepared.face_set import FaceSet
from training.tasks import CATALOGUE
from training.teachers.face_api import EXPRESSIONS, FaceDescriptor, FaceExpression, read_weights
from training.train.objectives.distillation import (
    Distillation,
    FeatureDistillation,
    descriptors,
    standardised,
)


def _write(folder: pathlib.Path, name: str, weights: dict[str, np.ndarray]) -> None:
    """Weights as face-api.js stores them; those with two or more dimensions in 8 bits."""
    entries, data = [], b""
    for key, values in weights.items():
        entry: dict[str, object] = {"name": key, "shape": list(values.shape), "dtype": "float32"}
        if values.ndim > 1:
            low = float(values.min())
            scale = (float(values.max()) - low) / 255 or 1.0
            packed = np.round((values - low) / scale).astype(np.uint8)
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
            data += packed.tobytes()
        else:
            data += values.astype(np.float32).tobytes()
        entries.append(entry)
    (folder / f"{name}_model.bin").write_bytes(data)
    manifest = [{"paths": [f"{name}_model.bin"], "weights": entries}]
    (folder / f"{name}_model-weights_manifest.json").write_text(json.dumps(manifest))


def _recognition(rng: np.random.Generator) -> dict[str, np.ndarray]:
    weights: dict[str, np.ndarray] = {}

    def layer(name: str, size: int, inputs: int, outputs: int) -> None:
        weights[f"{name}/conv/filters"] = rng.normal(
            0, (2 / size**2 / inputs) ** 0.5, (size, size, inputs, outputs)
        )
        weights[f"{name}/conv/bias"] = rng.normal(0, 0.1, outputs)
        weights[f"{name}/scale/weights"] = rng.uniform(0.5, 1, outputs)
        weights[f"{name}/scale/biases"] = rng.normal(0, 0.1, outputs)

    layer("conv32_down", 7, 3, 32)
    for name, inputs, outputs in (
        *((f"conv32_{i}", 32, 32) for i in (1, 2, 3)),
        ("conv64_down", 32, 64),
        *((f"conv64_{i}", 64, 64) for i in (1, 2, 3)),
        ("conv128_down", 64, 128),
        *((f"conv128_{i}", 128, 128) for i in (1, 2)),
        ("conv256_down", 128, 256),
        *((f"conv256_{i}", 256, 256) for i in (1, 2)),
        ("conv256_down_out", 256, 256),
    ):
        layer(f"{name}/conv1", 3, inputs, outputs)
        layer(f"{name}/conv2", 3, outputs, outputs)
    weights["fc"] = rng.normal(0, 0.1, (256, 128))
    return weights


def _expression(rng: np.random.Generator) -> dict[str, np.ndarray]:
    weights: dict[str, np.ndarray] = {}
    inputs = 3
    for block, outputs in enumerate((32, 64, 128, 256)):
        for i in range(4):
            name = f"dense{block}/conv{i}"
            if block == i == 0:
                weights[f"{name}/filters"] = rng.normal(0, 0.3, (3, 3, inputs, outputs))
            else:
                weights[f"{name}/depthwise_filter"] = rng.normal(0, 0.3, (3, 3, inputs, 1))
                weights[f"{name}/pointwise_filter"] = rng.normal(0, inputs**-0.5, (1, 1, inputs, outputs))
            weights[f"{name}/bias"] = rng.normal(0, 0.1, outputs)
            inputs = outputs
    weights["fc/weights"] = rng.normal(0, 0.1, (256, 7))
    weights["fc/bias"] = rng.normal(0, 0.1, 7)
    return weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("face_api")
    rng = np.random.default_rng(0)
    _write(folder, "face_recognition", _recognition(rng))
    _write(folder, "face_expression", _expression(rng))
    return folder


def test_packed_weights_are_what_they_were_within_half_a_step(tmp_path: pathlib.Path) -> None:
    values = {"a": np.linspace(-1, 2, 12).reshape(3, 4), "b": np.array([0.25, -7])}
    _write(tmp_path, "small", values)
    weights = read_weights(tmp_path, "small")
    np.testing.assert_allclose(weights["a"], values["a"], atol=3 / 255 / 2 + 1e-6)
    np.testing.assert_array_equal(weights["b"], values["b"].astype(np.float32))


def test_a_missing_or_cut_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"small_model-weights_manifest\.json can't be read"):
        read_weights(tmp_path, "small")
    _write(tmp_path, "small", {"a": np.ones(4)})
    whole = (tmp_path / "small_model.bin").read_bytes()
    for wrong in (whole[:-1], whole + b"more"):
        (tmp_path / "small_model.bin").write_bytes(wrong)
        with pytest.raises(ValueError, match="does not describe its weights"):
            read_weights(tmp_path, "small")


def test_teachers_answer_faces_of_any_size_one_by_one(folder: pathlib.Path) -> None:
    pixels = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8)
    descriptor, expression = FaceDescriptor.load(folder), FaceExpression.load(folder)
    together, alone = descriptor(pixels), descriptor(pixels[1:])
    assert together.shape == (2, 128)
    torch.testing.assert_close(together[1:], alone, atol=1e-3, rtol=1e-3)
    assert (together[0] - together[1]).abs().max() > 1e-2
    probabilities = expression(pixels)
    assert probabilities.shape == (2, 7)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))
    assert set(EXPRESSIONS) == set(CATALOGUE["expression"].labels)


def test_features_learn_to_say_what_the_teacher_says_and_unknown_faces_do_not_count() -> None:
    torch.manual_seed(0)
    loss_of = FeatureDistillation(Distillation(path="x"), channels=64)
    wanted = torch.randn(3, 128)
    wanted[1] = torch.nan
    features = torch.randn(3, 9, 64)
    optimizer = torch.optim.AdamW(loss_of.parameters(), 3e-2)
    first = loss_of(features, wanted).detach()
    assert first.shape == (3,)
    assert first[1] == 0
    assert loss_of.count(wanted) == 2
    for _ in range(15):
        loss = loss_of(features, wanted).sum() / loss_of.count(wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2 * first.mean().item()


def _described(folder: pathlib.Path, faces: FaceSet, kept: pathlib.Path, **fields: Any) -> np.ndarray:
    wanted = Distillation(path=str(folder), **fields)
    return descriptors(faces, distillation=wanted, device=torch.device("cpu"), folder=kept)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    place = tmp_path_factory.mktemp("sets") / "made"
    make_set(place, count=5, tasks=["age"])
    return FaceSet(place)


def test_the_teacher_is_asked_once_about_the_middle_of_each_stored_face(
    folder: pathlib.Path, faces: FaceSet, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _described(folder, faces, tmp_path, centre=0.5)
    middle = torch.from_numpy(faces.served_crops(np.arange(5), size=64)[:, 16:48, 16:48])
    wanted = FaceDescriptor.load(folder)(middle).numpy()
    np.testing.assert_allclose(said, wanted, atol=1e-4)
    asked: list[int] = []
    monkeypatch.setattr(FaceDescriptor, "forward", lambda self, pixels: asked.append(len(pixels)))
    np.testing.assert_array_equal(_described(folder, faces, tmp_path, centre=0.5), said)
    assert asked == []
    with pytest.raises(AttributeError):  # another question is asked anew
        _described(folder, faces, tmp_path, centre=0.6)
    assert asked == [5]


def test_other_faces_and_other_weights_are_described_anew(
    folder: pathlib.Path, faces: FaceSet, tmp_path: pathlib.Path
) -> None:
    first = _described(folder, faces, tmp_path)
    part = FaceSet(faces.folder, holdout_fraction=0.5)
    assert len(_described(folder, part, tmp_path)) == len(part) < len(faces)
    other = tmp_path / "other"
    other.mkdir()
    _write(other, "face_recognition", _recognition(np.random.default_rng(1)))
    assert not np.allclose(_described(other, faces, tmp_path), first)


def test_sets_that_the_teacher_says_nothing_of_are_unknown(
    folder: pathlib.Path, faces: FaceSet, tmp_path: pathlib.Path
) -> None:
    assert np.isnan(_described(folder, faces, tmp_path, without=("made",))).all()
    assert list(tmp_path.iterdir()) == []


def test_descriptors_are_compared_by_what_differs_between_faces() -> None:
    rng = np.random.default_rng(0)
    # As a recogniser's are: far from zero, and of little spread.
    first, second = (10 + 0.1 * rng.normal(size=(n, 4)).astype(np.float32) for n in (50, 30))
    unknown = np.full((3, 4), np.nan, np.float32)
    done = standardised([first, unknown, second])
    together = np.concatenate([done[0], done[2]])
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(together.std(axis=0), 1, atol=1e-3)
    assert np.isnan(done[1]).all()
    with pytest.raises(ValueError, match="leaves no set to describe"):
        standardised([unknown])


def test_a_teacher_that_is_not_there_is_refused(faces: FaceSet, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="name the folder"):
        _described(tmp_path / "empty", faces, tmp_path)
    with pytest.raises(ValueError, match="unknown teacher 'oracle'"):
        Distillation(path=".", teacher="oracle")

"""FaceXFormer answers as the released network does, from a checkpoint in its own form."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from runtime.pose import rotation_from_angles
from tests.helpers.networks.released_facexformer import golden_answers, golden_input, released_state
from training.models import Checkpoint, FaceXFormer, FaceXFormerConfig, load_checkpoint, save_checkpoint
from training.models.export_wrapper import physical
from training.models.facexformer.convert import converted, main
from training.models.facexformer.network import raw_answers
from training.tasks import CATALOGUE, FACEXFORMER_TASKS


@pytest.fixture(scope="module")
def released() -> dict[str, torch.Tensor]:
    return released_state()


@pytest.fixture(scope="module")
def checkpoint(released: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released file as its authors write it, brought here by the command."""
    folder = tmp_path_factory.mktemp("facexformer")
    torch.save(
        {"epoch": 11, "state_dict_backbone": released, "optimizer": {"state": {}, "param_groups": []}},
        folder / "model.pt",
    )
    assert main([str(folder / "model.pt"), "--output", str(folder / "here" / "model.safetensors")]) == 0
    (folder / "model.pt").unlink()
    return folder / "here" / "model.safetensors"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> FaceXFormer:
    model = load_checkpoint(checkpoint).model
    assert isinstance(model, FaceXFormer)
    return model


@pytest.fixture(scope="module")
def empty() -> FaceXFormer:
    return FaceXFormer(FaceXFormerConfig())


@pytest.mark.parametrize("explicit", [False, pytest.param(True, marks=pytest.mark.heavy)])
def test_a_converted_checkpoint_gives_the_official_code_s_answers(model: FaceXFormer, explicit: bool) -> None:
    model.set_explicit_attention(explicit)
    with torch.inference_mode():
        answers = model.released(golden_input())
    answers["parsing_sub"] = answers["parsing"][:, :, ::4, ::4]
    answers["parsing_mean"] = answers["parsing"].mean((2, 3))
    answers["headpose"] = answers["head_pose"]
    golden = golden_answers()
    assert len(golden) == 9
    for name, values in golden.items():
        np.testing.assert_allclose(answers[name], values, atol=1e-4, rtol=0, err_msg=name)


def test_a_converted_checkpoint_says_where_it_is_from_and_what_it_answers(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    assert loaded.weights == "fp32"
    assert loaded.contract.names == FACEXFORMER_TASKS
    for entry in loaded.contract.tasks:
        assert entry.labels == CATALOGUE[entry.name].labels
        assert entry.served_by_default == (entry.name != "race_utkface")
    assert loaded.contract.crop == "box"
    assert loaded.card["trained"] is True
    assert "trained by its authors" in loaded.card["note"]
    assert set(loaded.card["converted_from"]) == {"file", "sha256"}


def _without(name: str) -> Callable[[dict], None]:
    return lambda state: state.pop(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("face_decoder.age_token.weight"), r"lack face_decoder\.age_token\.weight$"),
        (_without("backbone.0.5.17.mlp.3.bias"), r"lack backbone\.0\.5\.17\.mlp\.3\.bias$"),
        (lambda state: state.update(head=torch.zeros(1)), "have head, which FaceXFormer has not"),
        (lambda state: state.update({"fuse.weight": torch.zeros(1)}), r"have fuse\.weight, which"),
        (
            lambda state: state.update({"linear_fuse.weight": torch.zeros(256, 512, 1, 1)}),
            r"linear_fuse\.weight has another shape",
        ),
        (
            lambda state: state.update({"face_decoder.mask_tokens.weight": torch.zeros(19, 256)}),
            r"^face_decoder\.mask_tokens\.weight has another shape",
        ),
        (lambda state: state.update({"linear_c.0.proj.bias": 3}), r"linear_c\.0\.proj\.bias has another"),
        (
            lambda state: state.update({"linear_c.0.proj.bias": torch.full((256,), float("nan"))}),
            r"linear_c\.0\.proj\.bias is not finite",
        ),
        (
            lambda state: state.update(
                {"backbone.0.1.0.attn.relative_position_index": torch.zeros(2401, dtype=torch.int64)}
            ),
            "relative_position_index differs",
        ),
    ],
)
def test_an_entry_that_is_missing_over_or_of_another_kind_is_named(
    released: dict[str, torch.Tensor], empty: FaceXFormer, change: Callable[[dict], None], words: str
) -> None:
    state = dict(released)
    change(state)
    with pytest.raises(ValueError, match=words):
        converted(state, model=empty)


def test_every_released_entry_is_needed_but_those_that_say_nothing(
    released: dict[str, torch.Tensor], empty: FaceXFormer
) -> None:
    assert len(released) == 505
    indices = [name for name in released if name.endswith("relative_position_index")]
    needless = {"backbone.1.weight", "backbone.1.bias", *indices}
    state = {name: value for name, value in released.items() if name not in needless}
    converted(state, model=empty)
    with pytest.raises(ValueError, match=f"and {len(state) - 5} more$"):
        converted({}, model=empty)


def test_what_is_no_released_checkpoint_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "other_key.pt")
    torch.save({"state_dict_backbone": {"conv1.weight": torch.zeros(3)}}, tmp_path / "resnet.pt")
    torch.save({"state_dict_backbone": FaceXFormerConfig()}, tmp_path / "objects.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "resnet.pt").read_bytes()[:300])
    said = {}
    for name in ("other_key", "resnet", "objects", "list", "text", "cut", "gone"):
        path = tmp_path / f"{name}.pt"
        assert main([str(path), "--output", str(tmp_path / "out.safetensors")]) == 2
        said[name] = capsys.readouterr().err
        assert str(path) in said[name]
        assert said[name].count("\n") == 1
        assert "model.pt" in said[name]
    assert not (tmp_path / "out.safetensors").exists()
    assert "has no state_dict_backbone but state_dict, epoch" in said["other_key"]
    assert "holds another architecture (its weights lack " in said["resnet"]
    assert "and 474 more" in said["resnet"]
    assert "holds more than tensors" in said["objects"]
    assert "no names at all" in said["list"]


def test_a_checkpoint_of_an_unknown_family_or_precision_is_refused(tmp_path: Path) -> None:
    small = FaceXFormer(
        FaceXFormerConfig(
            input_size=32,
            encoder_options={"embed_dim": 32, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)},
            width=32,
            heads=4,
            hidden=32,
        )
    )
    with pytest.raises(ValueError, match="not rounded to fp16"):
        save_checkpoint(tmp_path / "x", Checkpoint(model=small, contract=small.contract(), card={}))
    with pytest.raises(ValueError, match="weights 'fp64' are unknown"):
        Checkpoint(model=small, contract=small.contract(), card={}, weights="fp64")
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, Checkpoint(model=small, contract=small.contract(), card={}, weights="fp32"))
    loaded = load_checkpoint(path)
    for name, value in small.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name
    with safetensors.safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(str(path))
    for entry, words in (
        ({"family": "resnet"}, "family 'resnet', which this code does not know"),
        ({"weights": "fp64"}, "weights 'fp64' are unknown"),
        ({"family": "qface"}, "which this code does not know"),
    ):
        safetensors.torch.save_file(tensors, str(path), metadata | entry)
        with pytest.raises(ValueError, match=words):
            load_checkpoint(path)


def test_the_network_has_the_released_number_of_parameters(model: FaceXFormer) -> None:
    unused_norm = 2 * 1024
    assert sum(parameter.numel() for parameter in model.parameters()) + unused_norm == 91_985_943


def test_answers_are_in_the_catalogue_s_tasks_and_conventions() -> None:
    released = {
        "landmarks": torch.tensor([[-1.0, 1.0] * 34 + [0.0, 0.5] * 34]),
        "head_pose": torch.tensor([[0.3, -0.5, 0.0]]),  # pitch, yaw, roll
        "attributes": torch.randn(1, 40),
        "visibility": torch.full((1, 29), 4.0),  # surely occluded
        "age": torch.full((1, 8), -100.0).index_fill(1, torch.tensor([3]), 100.0),
        "gender": torch.randn(1, 2),
        "race": torch.randn(1, 5),
        "parsing": torch.randn(1, 11, 8, 8),
    }
    raw = raw_answers(released)
    answers = {name: physical(CATALOGUE[name], values, input_size=224) for name, values in raw.items()}
    assert answers["landmarks"][0, 0].tolist() == [-0.5, 223.5]  # the corners of the outermost pixels
    assert answers["landmarks"][0, 34].tolist() == pytest.approx([111.5, 167.5])
    turned = rotation_from_angles([0, np.degrees(0.3), 0]) @ rotation_from_angles([np.degrees(-0.5), 0, 0])
    np.testing.assert_allclose(answers["head_pose"][0], turned, atol=1e-6)
    assert float(answers["visibility"].max()) < 0.05
    assert answers["age"].item() == pytest.approx(35)
    assert CATALOGUE["age_group"].labels[int(answers["age_group"].argmax())] == "30-39"
    assert answers["parsing_lapa"].shape == (1, 224, 224)
    for name, values in raw.items():
        assert name in CATALOGUE
        if values.ndim == 2 and name != "head_pose":
            assert values.shape[1] == CATALOGUE[name].queries

"""Networks as a whole: their answers, masks and attention."""

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.helpers.networks.small_networks import made_pixels
from training.contract import make_contract
from training.kinds.rotation import rotation_from_6d
from training.models import (
    CONFIGS,
    MultiHead,
    QFace,
    build_model,
    build_qface,
    load_checkpoint,
)
from training.models.export_wrapper import ExportWrapper, physical
from training.tasks import CATALOGUE

# The sum over two pictures of the answers of weights/qface-tiny.safetensors, by task.
SHIPPED = {
    "expression": -8.326,
    "action_units": -111.111,
    "attributes": -214.536,
    "age": 104.584,
    "gender": 1.179,
    "head_pose": 12.107,
    "race": -1.019,
    "landmarks": 141.745,
    "visibility": -23.978,
    "parsing": -1228022.123,
    "face_quality": -11.01,
}


@pytest.mark.parametrize("numbers", [[0.0] * 6, [0.3, -2.0, 0.5, 1.0, 0.2, 3.0]])
def test_six_numbers_become_a_rotation(numbers: list[float]) -> None:
    rotation = rotation_from_6d(torch.tensor([numbers], dtype=torch.float64))[0]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    assert torch.linalg.det(rotation).item() == pytest.approx(1.0)
    if not any(numbers):
        torch.testing.assert_close(rotation, torch.eye(3, dtype=torch.float64))


def test_gram_schmidt_keeps_the_first_column_s_direction() -> None:
    rotation = rotation_from_6d(torch.tensor([[1.0, 2.0, 2.0, 0.0, 0.0, 0.0]]))[0]
    torch.testing.assert_close(rotation[:, 0], torch.tensor([2.0, 2.0, 2.0]) / 12**0.5)


def test_answers_do_not_depend_on_the_other_faces_of_a_batch(vit: QFace) -> None:
    pixels = made_pixels(5, 64)
    together = vit(pixels).logits
    alone = vit(pixels[2:3]).logits
    for name in alone:
        torch.testing.assert_close(together[name][2:3], alone[name], atol=1e-5, rtol=1e-5)


def test_the_served_network_answers_in_physical_values_and_only_what_was_trained(vit: QFace) -> None:
    trained = {task.name: list(task.labels) for task in vit.tasks}
    trained["action_units"].remove("AU9")
    contract = make_contract(vit.tasks, input_size=64, trained=trained)
    answers = ExportWrapper(vit, contract)(made_pixels(3, 64))
    assert answers["action_units"].shape == (3, 11)
    assert answers["head_pose"].shape == (3, 3, 3)
    torch.testing.assert_close(answers["expression"].sum(1), torch.ones(3))
    logits = vit(made_pixels(3, 64)).logits
    index = CATALOGUE["action_units"].labels.index("AU12")
    torch.testing.assert_close(answers["action_units"][:, 5], torch.sigmoid(logits["action_units"][:, index]))


def test_the_multi_head_baseline_is_a_linear_map_of_the_last_stage_s_mean() -> None:
    config = dataclasses.replace(CONFIGS["qface_test"], head="pooled", tasks=("age", "gender", "landmarks"))
    model = build_model(config).eval()
    assert isinstance(model, MultiHead)
    pixels = made_pixels(2, 64)
    numbers = model.head(model.encoder(model.normalized(pixels)).stages[-1].mean(dim=1))
    answers = model(pixels).logits
    torch.testing.assert_close(answers["gender"], numbers[:, 1:3])
    torch.testing.assert_close(answers["landmarks"], 0.5 + 0.1 * numbers[:, 3:].reshape(2, 68, 2))


def test_points_and_masks_become_pixels_whose_centres_are_whole_numbers() -> None:
    points = torch.tensor([[[0.5 / 64, 1 - 0.5 / 64]]])
    torch.testing.assert_close(
        physical(CATALOGUE["landmarks"], points, input_size=64), torch.tensor([[[0.0, 63.0]]])
    )
    logits = torch.zeros(1, 19, 8, 8)
    logits[:, 0, :, :4] = 1.0  # the left half
    logits[:, 3, :, 4:] = 1.0  # the right half
    logits[:, 7, :2] = 2.0  # the upper quarter, over both
    mask = physical(CATALOGUE["parsing"], logits, input_size=16)
    assert mask.dtype == torch.uint8
    assert mask.shape == (1, 16, 16)
    assert set(mask[0, :3].flatten().tolist()) == {7}
    assert mask[0, 8].tolist() == [0] * 8 + [3] * 8


def test_masks_come_from_fine_stages_where_the_encoder_has_them_and_else_from_the_picture() -> None:
    tiny = build_qface(CONFIGS["qface_tiny"]).eval().decoder.pixel_decoder
    assert tiny is not None
    assert tiny.grids == [(4, 4), (7, 7), (14, 14), (28, 28), (56, 56)]
    assert not tiny.own_laterals
    test = build_qface(CONFIGS["qface_test"]).eval().decoder.pixel_decoder
    assert test is not None
    assert test.grids == [(8, 8), (16, 16), (32, 32)]
    assert test.own_laterals
    odd = dataclasses.replace(CONFIGS["qface_tiny"], tasks=("parsing",), input_size=100)
    model = build_qface(odd).eval()
    assert model.decoder.pixel_decoder is not None
    assert model.decoder.pixel_decoder.grids == [(4, 4), (7, 7), (13, 13), (25, 25), (50, 50)]
    assert model(made_pixels(1, 100)).logits["parsing"].shape == (1, 19, 50, 50)
    with pytest.raises(ValueError, match="all of one resolution: leave mask_laterals empty"):
        build_model(dataclasses.replace(CONFIGS["qface_test"], mask_laterals=(0,)))


def test_a_pixel_that_changes_moves_the_mask_there_most() -> None:
    torch.manual_seed(0)
    model = build_qface(dataclasses.replace(CONFIGS["qface_test"], tasks=("parsing",))).eval()
    dark = torch.zeros(1, 64, 64, 3)
    dot = dark.clone()
    dot[:, 8:12, 40:44] = 255.0
    with torch.no_grad():
        apart = (model(dot).logits["parsing"] - model(dark).logits["parsing"]).abs().sum(dim=(0, 1))
    row, column = divmod(int(apart.argmax()), 32)
    assert abs(row - 5) <= 3
    assert abs(column - 21) <= 3


def test_cross_attention_says_where_each_query_looks(vit: QFace) -> None:
    pixels = made_pixels(2, 64)
    weights = vit.cross_attention(pixels)
    assert weights.shape == (2, 4, 68, 51)
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(2, 4, 68))
    layout = vit.fusion.layout
    assert [(part.stage, part.first, part.prefix, part.grid) for part in layout] == [
        (0, 0, 1, (4, 4)),
        (1, 17, 1, (4, 4)),
        (3, 34, 1, (4, 4)),
    ]
    # They are the weights that the first block really mixes its values with.
    seen: list[tuple[torch.Tensor, ...]] = []
    attention = vit.decoder.blocks[0].cross_attention
    handle = attention.register_forward_hook(lambda _, given, out: seen.append((*given, out)))
    with torch.no_grad():
        vit(pixels)
    handle.remove()
    _, _, value, out = seen[0]
    mixed = weights @ attention._split(attention.value(value))
    torch.testing.assert_close(attention.out(mixed.transpose(1, 2).flatten(2)), out)


def test_the_shipped_weights_answer_as_they_always_did() -> None:
    """What torch said of made-up pixels when they came here."""
    model = load_checkpoint(Path("weights/qface-tiny.safetensors")).model
    with torch.no_grad():
        answers = model(made_pixels(2, 112)).logits
    assert list(answers) == list(SHIPPED)
    said = {name: round(float(value.double().sum()), 3) for name, value in answers.items()}
    assert said == pytest.approx(SHIPPED, abs=2e-3, rel=1e-4)

"""FaceXFormer answers as the released network does, from a checkpoint in its own form."""

import numpy as np
import pytest
import torch
from released_facexformer import golden_answers, golden_input, released_state

from runtime.pose import rotation_from_angles
from training.convert_facexformer import converted
from training.models.config import FaceXFormerConfig
from training.models.facexformer import FaceXFormer, raw_answers
from training.models.outputs import physical
from training.tasks import CATALOGUE


@pytest.fixture(scope="module")
def model() -> FaceXFormer:
    model = FaceXFormer(FaceXFormerConfig())
    model.load_state_dict(converted(released_state(), model=model))
    return model.eval()


@pytest.mark.parametrize("explicit", [False, True])
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

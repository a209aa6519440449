"""FaceXFormer answers as the released network does, from a checkpoint in its own form."""

import numpy as np
import pytest
import torch
from released_facexformer import golden_answers, golden_input, released_state

from training.convert_facexformer import converted
from training.models.facexformer import FaceXFormer, FaceXFormerConfig


@pytest.fixture(scope="module")
def model() -> FaceXFormer:
    model = FaceXFormer(FaceXFormerConfig())
    model.load_state_dict(converted(released_state()))
    return model.eval()


@pytest.mark.parametrize("explicit", [False, True])
def test_a_converted_checkpoint_gives_the_official_code_s_answers(model: FaceXFormer, explicit: bool) -> None:
    model.set_explicit_attention(explicit)
    with torch.inference_mode():
        answers = model.answers(golden_input())
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

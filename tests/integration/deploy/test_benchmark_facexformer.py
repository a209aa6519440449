"""The two sides of the FaceXFormer benchmark answer the same request alike."""

import cv2
import numpy as np
import pytest
import torch

from deploy.benchmark import facexformer as bench_facexformer
from deploy.benchmark.facexformer import BOX, TASK_IDS, recipe, served, table
from training.models import ExportWrapper, FaceXFormer, FaceXFormerConfig

SMALL = FaceXFormerConfig(
    name="small",
    input_size=64,
    encoder_options={"embed_dim": 32, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)},
    width=32,
    heads=4,
    hidden=32,
)


class TorchEngine:
    """The network that would have been exported."""

    def __init__(self, wrapper: ExportWrapper) -> None:
        self.wrapper = wrapper

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return {n: v.numpy() for n, v in self.wrapper(torch.from_numpy(inputs["pixels"])).items()}


def test_both_ways_answer_alike_from_one_forward_call_and_from_one_a_task() -> None:
    torch.manual_seed(0)
    model = FaceXFormer(SMALL).eval()
    photo = bench_facexformer.PHOTO.read_bytes()
    calls = []

    def network(images: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(len(images))
        return model.released(images)

    released = recipe(network, [photo, photo], box=BOX, size=64)
    assert calls == [2] * len(TASK_IDS)
    contract = model.contract()
    ours = served(
        TorchEngine(ExportWrapper(model, contract)),
        [photo, photo],
        box=BOX,
        contract=contract,
    )
    # Both resize bicubically, and may be a grey level or two apart.
    scale = [(BOX[i + 2] - BOX[i]) * 1.5 / 64 for i in (0, 1)]
    corner = [int(BOX[i] - 0.25 * (BOX[i + 2] - BOX[i])) for i in (0, 1)]
    points = (released["landmarks"] + 0.5) * scale + corner - 0.5
    np.testing.assert_allclose(ours["landmarks_points"], points, atol=1.0)
    ids = cv2.imdecode(np.frombuffer(ours["parsing_lapa_png"][0, 0], np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.mean(ids != released["parsing"][0]) < 0.05
    assert np.mean(ours["attributes_active"] != released["attributes"]) < 0.1
    assert np.mean(ours["visibility_active"] == released["visibility"]) < 0.1  # theirs: occluded
    pitch, yaw, roll = np.radians(released["head_pose"][0])
    turned = np.radians(ours["head_pose_angles"][0])
    np.testing.assert_allclose(turned, [yaw, pitch, roll], atol=0.05)


def test_the_table_compares_with_the_recipe_one_face_at_a_time() -> None:
    shown = table({"recipe, batch 1": 0.5, "ours, batch 1": 3.0})
    assert "| ours, batch 1 | 0.333 | 6.0x |" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--photo", "me.jpg"], "a photo and the box of its face go together"),
        (["--batch", "0"], "a batch of 0 holds no face"),
        (["--checkpoint", "gone.safetensors"], "gone.safetensors does not exist"),
    ],
)
def test_what_can_not_be_measured_is_told_in_one_line(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench_facexformer.main(words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1

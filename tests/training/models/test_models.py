"""The network: the paper's equations, not only its shapes."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.optim import param_groups_layer_decay
from torch.utils.flop_counter import FlopCounterMode

from training.contract import make_contract
from training.kinds.rotation import rotation_from_6d
from training.models import (
    CONFIGS,
    MultiHead,
    QFace,
    QFaceConfig,
    build_model,
    build_qface,
    load_checkpoint,
)
from training.models.attention import DecoderBlock, FusionBlock, MultiHeadAttention
from training.models.export_wrapper import ExportWrapper, physical
from training.models.positions import sincos_positions
from training.models.resizing import resized
from training.tasks import CATALOGUE, QFACE_TASKS

SMALL_VIT = QFaceConfig(
    name="small_vit",
    encoder="vit_tiny_patch16_224",
    input_size=64,
    stages=(0, 1, 3),
    width=32,
    heads=4,
    encoder_options={"depth": 4, "embed_dim": 48, "num_heads": 3},
)

# The sum over two pictures of the answers of weights/qface-tiny.safetensors, by task.
SHIPPED = {
    "expression": -5.642,
    "action_units": -111.413,
    "attributes": -216.331,
    "age": 0.519,
    "gender": 1.847,
    "head_pose": 13.093,
    "race": 5.564,
    "landmarks": 138.679,
    "visibility": -29.471,
    "parsing": -1186788.050,
}


@pytest.fixture(scope="module")
def vit() -> QFace:
    torch.manual_seed(0)
    return build_qface(SMALL_VIT).eval()


def _pixels(count: int, size: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def test_attention_is_softmax_of_scaled_products_in_each_head() -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(8, heads=2)
    query, key, value = torch.randn(1, 3, 8), torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    q, k, v = attention.query(query), attention.key(key), attention.value(value)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = torch.softmax(q[..., part] @ k[..., part].mT / 2.0, dim=-1)
        heads.append(weights @ v[..., part])
    expected = attention.out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(query, key, value), expected)
    attention.explicit = True
    torch.testing.assert_close(attention(query, key, value), expected)


def test_fusion_is_equation_3(vit: QFace) -> None:
    fusion = vit.fusion
    stages = [torch.randn(2, 17, 48) for _ in range(3)]
    se = fusion.stage_embedding
    position = sincos_positions(grid=(4, 4), width=32, prefix_tokens=1)
    summed = torch.cat([fusion.projections[i](stages[i]) + se[i] + position for i in range(3)], dim=1)
    assert summed.shape == (2, 3 * 17, 32)
    torch.testing.assert_close(fusion(stages), fusion.block(summed))


def test_a_stage_embedding_marks_its_own_stage_everywhere(vit: QFace) -> None:
    seen: list[torch.Tensor] = []
    handle = vit.fusion.block.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    stages = [torch.randn(1, 17, 48) for _ in range(3)]
    vit.fusion(stages)
    with torch.no_grad():
        vit.fusion.stage_embedding[1] += 1.0
    vit.fusion(stages)
    with torch.no_grad():
        vit.fusion.stage_embedding[1] -= 1.0
    handle.remove()
    difference = (seen[1] - seen[0])[0].mean(dim=1)
    expected = torch.tensor([0.0] * 17 + [1.0] * 17 + [0.0] * 17)
    torch.testing.assert_close(difference, expected, atol=1e-5, rtol=0)


def test_decoder_block_is_equations_4_to_6_with_positions_on_queries_and_keys_only() -> None:
    torch.manual_seed(0)
    block = DecoderBlock(8, heads=2, mlp_ratio=2.0, drop_path=0.0)
    queries, features = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    qp, fp = torch.randn(3, 8), torch.randn(5, 8)
    n = block.norm1(queries)
    q1 = queries + block.self_attention(n + qp, n + qp, n)
    q2 = q1 + block.cross_attention(block.norm2(q1) + qp, features + fp, features)
    expected = q2 + block.mlp(block.norm3(q2))
    torch.testing.assert_close(
        block(queries, query_positions=qp, features=features, feature_positions=fp), expected
    )


def test_fusion_block_is_the_standard_vit_block() -> None:
    torch.manual_seed(0)
    block = FusionBlock(8, heads=2, mlp_ratio=2.0, drop_path=0.0)
    x = torch.randn(1, 4, 8)
    y = x + block.attention(block.norm1(x), block.norm1(x), block.norm1(x))
    torch.testing.assert_close(block(x), y + block.mlp(block.norm2(y)))


def test_each_logit_is_a_linear_map_of_its_own_query(vit: QFace) -> None:
    decoder = vit.decoder
    assert decoder.weight is not None
    assert decoder.bias is not None
    (features,) = decoder(torch.randn(2, 51, 32), feature_positions=torch.randn(51, 32)).groups
    expected = torch.stack([features[:, i] @ decoder.weight[i] + decoder.bias[i] for i in range(68)], dim=1)
    answers = decoder.read(features, places=None)
    torch.testing.assert_close(torch.cat(list(answers.values()), dim=1), expected)
    assert [answers[task.name].shape[1] for task in vit.tasks] == [task.queries for task in vit.tasks]


def test_queries_go_alone_until_they_meet_a_face_but_not_in_training(vit: QFace) -> None:
    decoder = vit.decoder
    features, positions = torch.randn(3, 51, 32), torch.randn(51, 32)
    seen: list[int] = []
    handle = decoder.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    together = decoder(features, feature_positions=positions).groups
    each_its_own = decoder.train()(
        features, feature_positions=positions
    ).groups  # with stochastic depth, if any
    decoder.eval()
    handle.remove()
    assert seen == [1, 3]
    torch.testing.assert_close(together[0], each_its_own[0])


def test_positions_are_fixed_unique_and_zero_for_the_class_token(vit: QFace) -> None:
    embedding = sincos_positions(grid=(3, 5), width=16, prefix_tokens=1)
    assert torch.count_nonzero(embedding[0]) == 0
    distances = torch.cdist(embedding[1:], embedding[1:]) + torch.eye(15)
    assert distances.min() > 0.05
    assert "fusion.positions" not in vit.state_dict()
    assert not vit.encoder.model.pos_embed.requires_grad


def test_positions_of_a_coarse_grid_lie_between_those_of_a_fine_one() -> None:
    fine = sincos_positions(grid=(14, 14), width=64).reshape(14, 14, 64)
    coarse = sincos_positions(grid=(7, 7), width=64).reshape(7, 7, 64)
    distances = (fine - coarse[2, 4]).norm(dim=-1)
    nearest = {tuple(divmod(int(i), 14)) for i in distances.flatten().topk(4, largest=False).indices}
    assert nearest == {(4, 8), (4, 9), (5, 8), (5, 9)}


def test_three_stages_of_a_vit_are_side_by_side_along_the_tokens(vit: QFace) -> None:
    tokens = vit.encoder(torch.randn(1, 3, 64, 64)).stages
    assert [t.shape for t in tokens] == [(1, 17, 48)] * 3
    assert vit.fusion.positions.shape == (51, 32)


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


@pytest.mark.parametrize("name", ["qface_tiny", "qface_quick"])
def test_networks_for_small_machines_are_small(name: str) -> None:
    model = build_qface(CONFIGS[name]).eval().requires_grad_(False)
    model.set_explicit_attention()
    with FlopCounterMode(display=False) as counter:
        model(_pixels(1, model.config.input_size))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{name}: {parameters / 1e6:.2f} M parameters, {counter.get_total_flops() / 1e9:.2f} GFLOP a face")
    assert parameters <= 8_000_000
    assert counter.get_total_flops() <= 3.5e9


def test_the_papers_network_has_its_shapes() -> None:
    config = CONFIGS["qface_base"]
    model = build_qface(config)
    assert model.fusion.positions.shape == (3 * 197, 1024)
    assert model.encoder.channels == [768, 768, 768]
    assert model.decoder.queries.shape == (68, 1024)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(134e6, rel=0.02)


def test_answers_do_not_depend_on_the_other_faces_of_a_batch(vit: QFace) -> None:
    pixels = _pixels(5, 64)
    together = vit(pixels).logits
    alone = vit(pixels[2:3]).logits
    for name in alone:
        torch.testing.assert_close(together[name][2:3], alone[name], atol=1e-5, rtol=1e-5)


def test_the_served_network_answers_in_physical_values_and_only_what_was_trained(vit: QFace) -> None:
    trained = {task.name: list(task.labels) for task in vit.tasks}
    trained["action_units"].remove("AU9")
    contract = make_contract(vit.tasks, input_size=64, trained=trained)
    answers = ExportWrapper(vit, contract)(_pixels(3, 64))
    assert answers["action_units"].shape == (3, 11)
    assert answers["head_pose"].shape == (3, 3, 3)
    torch.testing.assert_close(answers["expression"].sum(1), torch.ones(3))
    logits = vit(_pixels(3, 64)).logits
    index = CATALOGUE["action_units"].labels.index("AU12")
    torch.testing.assert_close(answers["action_units"][:, 5], torch.sigmoid(logits["action_units"][:, index]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"heads": 5}, "heads"),
        ({"stages": (3, 1)}, "increasing"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"tasks": ("mood",)}, "mood"),
        ({"tasks": ()}, "names no task"),
        ({"tasks": ("age", "age")}, "named twice"),
        ({"extensions": (("age",),)}, "named twice"),
        ({"extensions": ((),)}, "names no task"),
        ({"head": "linear"}, "choose from queries, pooled"),
        ({"head": "pooled", "tasks": ("age", "parsing")}, "can't answer parsing"),
        ({"head": "pooled", "tasks": ("age",), "extensions": (("race",),)}, "can't be extended"),
        ({"mask_width": 3}, "mask_width"),
        ({"mask_laterals": (1, 0)}, "mask_laterals"),
    ],
)
def test_a_configuration_that_can_not_work_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(CONFIGS["qface_tiny"], **change)


@pytest.mark.parametrize("name", ["qface_base_all", "qface_tiny", "qface_test"])
def test_all_ten_tasks_have_191_queries(name: str) -> None:
    tasks = [task for group in CONFIGS[name].groups for task in group]
    assert len(tasks) == 10
    assert sum(task.queries for task in tasks) == 191


def test_the_network_for_tests_is_tiny() -> None:
    config = CONFIGS["qface_test"]
    assert config.input_size == 64
    assert sum(p.numel() for p in build_model(config).parameters()) <= 1_000_000


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"head": "pooled", "tasks": (*QFACE_TASKS, "landmarks")},
        {"head": "pooled", "tasks": ("age",)},
        {"stages": CONFIGS["qface_test"].stages[-1:], "fusion_block": False},
        {"final_norm": False},
    ],
)
def test_a_configuration_answers_all_its_tasks_and_every_parameter_learns(change: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = build_model(dataclasses.replace(CONFIGS["qface_test"], **change)).train()
    answers = model(_pixels(2, 64)).logits
    for task in model.tasks:
        answer = answers[task.name]
        if task.kind == "points":
            assert answer.shape == (2, len(task.labels), 2)
        elif task.kind == "mask":
            assert answer.shape == (2, len(task.labels), 32, 32)
        else:
            assert answer.shape == (2, task.queries)
    torch.stack([answer.square().mean() for answer in answers.values()]).sum().backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert still == []  # distributed training waits for each of them


def test_the_multi_head_baseline_is_a_linear_map_of_the_last_stage_s_mean() -> None:
    config = dataclasses.replace(CONFIGS["qface_test"], head="pooled", tasks=("age", "gender", "landmarks"))
    model = build_model(config).eval()
    assert isinstance(model, MultiHead)
    pixels = _pixels(2, 64)
    numbers = model.head(model.encoder(model.normalized(pixels)).stages[-1].mean(dim=1))
    answers = model(pixels).logits
    torch.testing.assert_close(answers["gender"], numbers[:, 1:3])
    torch.testing.assert_close(answers["landmarks"], 0.5 + 0.1 * numbers[:, 3:].reshape(2, 68, 2))


def test_points_are_offsets_from_the_middle_read_off_their_own_queries() -> None:
    torch.manual_seed(0)
    model = build_qface(dataclasses.replace(SMALL_VIT, tasks=("age", "landmarks", "gender"))).eval()
    decoder = model.decoder
    assert decoder.weight is not None
    assert decoder.point_weight is not None
    assert decoder.point_bias is not None
    assert decoder.weight.shape == (3, 32)  # the other tasks' alone
    features = torch.randn(2, 71, 32)
    points = decoder.read(features, places=None)["landmarks"]
    expected = torch.einsum("bkd,kcd->bkc", features[:, 1:69], decoder.point_weight)
    torch.testing.assert_close(points, 0.5 + expected + decoder.point_bias)


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


@pytest.mark.parametrize("grid", [(7, 7), (8, 8), (5, 11), (4, 4), (6, 7)])
def test_maps_keep_their_place_in_another_grid(grid: tuple[int, int]) -> None:
    def ramp(rows: int, columns: int) -> torch.Tensor:
        y, x = (torch.arange(n) / n + 0.5 / n for n in (rows, columns))
        return torch.stack([y[:, None].expand(rows, columns), x[None].expand(rows, columns)])[None]

    bigger = resized(ramp(4, 4), grid)
    assert bigger.shape[2:] == grid
    inside = slice(1, -1)  # outside the centres of the outermost cells nothing can be known
    torch.testing.assert_close(bigger[..., inside, inside], ramp(*grid)[..., inside, inside])


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
    assert model(_pixels(1, 100)).logits["parsing"].shape == (1, 19, 50, 50)
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
    pixels = _pixels(2, 64)
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


@pytest.mark.parametrize("change", [{}, {"head": "pooled", "tasks": ("age",)}])
def test_layer_decay_slows_the_encoder_s_first_layers_most(change: dict[str, Any]) -> None:
    model = build_model(dataclasses.replace(CONFIGS["qface_test"], **change))
    groups = param_groups_layer_decay(model, 0.05, model.no_weight_decay(), layer_decay=0.5)
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    of = {name: scale[id(p)] for name, p in model.named_parameters() if p.requires_grad}
    assert of["encoder.model.patch_embed.proj.weight"] == 0.5**5
    assert [of[f"encoder.model.blocks.{i}.mlp.fc1.weight"] for i in range(4)] == [0.5**4, 0.5**3, 0.5**2, 0.5]
    behind = {value for name, value in of.items() if not name.startswith("encoder.")}
    assert behind == {1.0}


def test_the_shipped_weights_answer_as_they_always_did() -> None:
    """What torch said of made-up pixels when they came here."""
    model = load_checkpoint(Path("weights/qface-tiny.safetensors")).model
    with torch.no_grad():
        answers = model(_pixels(2, 112)).logits
    assert list(answers) == list(CONFIGS["qface_tiny"].tasks)
    said = {name: round(float(value.double().sum()), 3) for name, value in answers.items()}
    assert said == pytest.approx(SHIPPED, abs=2e-3, rel=1e-4)

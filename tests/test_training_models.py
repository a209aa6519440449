"""The network: the paper's equations, not only its shapes."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from training.models import CONFIGS, QFace, QFaceConfig, build_qface
from training.models.attention import DecoderBlock, FusionBlock, MultiHeadAttention
from training.models.outputs import ExportWrapper, physical, rotation_from_6d
from training.models.positions import sincos_positions
from training.tasks import CATALOGUE, make_contract

SMALL_VIT = QFaceConfig(
    name="small_vit",
    encoder="vit_tiny_patch16_224",
    input_size=64,
    stages=(0, 1, 3),
    width=32,
    heads=4,
    encoder_options={"depth": 4, "embed_dim": 48, "num_heads": 3},
)


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
    features, positions = torch.randn(1, 51, 32), torch.randn(51, 32)
    before = decoder(features, feature_positions=positions)
    with torch.no_grad():
        decoder.bias[3] += 2.0
    after = decoder(features, feature_positions=positions)
    with torch.no_grad():
        decoder.bias[3] -= 2.0
    expected = torch.zeros(1, 68)
    expected[0, 3] = 2.0
    torch.testing.assert_close(after - before, expected, atol=1e-5, rtol=0)


def test_queries_go_alone_until_they_meet_a_face_but_not_in_training(vit: QFace) -> None:
    decoder = vit.decoder
    features, positions = torch.randn(3, 51, 32), torch.randn(51, 32)
    seen: list[int] = []
    handle = decoder.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    together = decoder(features, feature_positions=positions)
    each_its_own = decoder.train()(features, feature_positions=positions)  # with stochastic depth, if any
    decoder.eval()
    handle.remove()
    assert seen == [1, 3]
    torch.testing.assert_close(together, each_its_own)


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
    tokens = vit.encoder(torch.randn(1, 3, 64, 64))
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


def test_the_shipped_network_is_small() -> None:
    model = build_qface(CONFIGS["qface_tiny"]).eval().requires_grad_(False)
    model.set_explicit_attention()
    with FlopCounterMode(display=False) as counter:
        model(_pixels(1, model.config.input_size))
    parameters = sum(p.numel() for p in model.parameters())
    print(
        f"qface_tiny: {parameters / 1e6:.2f} M parameters, {counter.get_total_flops() / 1e9:.2f} GFLOP a face"
    )
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
    together = vit(pixels)
    alone = vit(pixels[2:3])
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
    logits = vit(_pixels(3, 64))
    index = CATALOGUE["action_units"].labels.index("AU12")
    torch.testing.assert_close(answers["action_units"][:, 5], torch.sigmoid(logits["action_units"][:, index]))


def test_kinds_that_the_decoder_can_not_make_are_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        physical(CATALOGUE["parsing"], torch.zeros(1, 19))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"heads": 5}, "heads"),
        ({"stages": (3, 1)}, "increasing"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"tasks": ("mood",)}, "mood"),
    ],
)
def test_a_configuration_that_can_not_work_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(CONFIGS["qface_tiny"], **change)

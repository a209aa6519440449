"""The paper's equations: attention, fusion, decoder, positions, and what is read off a query."""

import dataclasses

import pytest
import torch

from tests.helpers.networks.small_networks import SMALL_VIT
from training import tasks
from training.models import (
    QFace,
    build_qface,
)
from training.models.attention import DecoderBlock, FusionBlock, MultiHeadAttention
from training.models.positions import sincos_positions
from training.models.qface.decoder import QueryDecoder
from training.models.resizing import resized


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


@pytest.mark.parametrize("drop", [0.0, 0.5], ids=["kept", "dropped"])
def test_queries_go_alone_until_they_meet_a_face_but_where_stochastic_depth_makes_them_each_face_s_own(
    drop: float,
) -> None:
    decoder = QueryDecoder(
        tasks=tasks.select(["age", "gender"]),
        width=8,
        blocks=[DecoderBlock(8, heads=2, mlp_ratio=2.0, drop_path=drop) for _ in range(2)],
    )
    seen: list[int] = []
    decoder.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    inputs = {"features": torch.randn(3, 5, 8), "feature_positions": torch.randn(5, 8)}
    answering = decoder.eval()(**inputs).groups[0]
    training = decoder.train()(**inputs).groups[0]
    assert seen == [1, 3 if drop else 1]
    if not drop:
        torch.testing.assert_close(answering, training)


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


@pytest.mark.parametrize("grid", [(7, 7), (8, 8), (5, 11), (4, 4), (6, 7)])
def test_maps_keep_their_place_in_another_grid(grid: tuple[int, int]) -> None:
    def ramp(rows: int, columns: int) -> torch.Tensor:
        y, x = (torch.arange(n) / n + 0.5 / n for n in (rows, columns))
        return torch.stack([y[:, None].expand(rows, columns), x[None].expand(rows, columns)])[None]

    bigger = resized(ramp(4, 4), grid)
    assert bigger.shape[2:] == grid
    inside = slice(1, -1)  # outside the centres of the outermost cells nothing can be known
    torch.testing.assert_close(bigger[..., inside, inside], ramp(*grid)[..., inside, inside])


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

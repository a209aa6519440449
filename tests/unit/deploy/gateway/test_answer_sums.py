"""Sums of answers: right, bounded in cost, and never about fewer faces than a block."""

import numpy as np
import pytest

from deploy.gateway.observability.answer_sums import BLOCK_FACES, AnswerBlock, AnswerSums, watched_tensors
from deploy.gateway.operation.workers import messages
from runtime.contract import Contract
from tests.helpers.networks.standin_network import contract_of, stating_errors
from tests.helpers.watched_answers import CONTRACT, WATCHED, answer

RANDOM = np.random.default_rng(7)


class Gatherer:
    """AnswerSums with a clock that is moved by hand, and what it has published."""

    def __init__(self) -> None:
        self.now = 0.0
        self.blocks: list[AnswerBlock] = []
        self.sums = AnswerSums(self.blocks.append, clock=lambda: self.now)

    def take(self, data: bytes, *, after: float = 1.0) -> None:
        self.now += after
        self.sums.take(data, WATCHED)


def test_what_has_one_number_a_label_is_watched_and_positions_are_not() -> None:
    assert {name: tensor.task for name, tensor in WATCHED.items()} == {
        "t_probabilities": "t",
        "turn_angles": "turn",
    }
    assert {tensor.contract for tensor in WATCHED.values()} == {CONTRACT.hash}


def test_expected_errors_are_not_counted_as_answers() -> None:
    contract = Contract.parse(stating_errors(contract_of("age", "face_quality")))
    assert list(watched_tensors(contract.to_text())) == ["age_value", "face_quality_probabilities"]


def test_a_contract_that_can_not_be_read_is_not_watched() -> None:
    assert watched_tensors("{}") == {}


def test_blocks_give_mean_and_deviation_of_all_faces_again() -> None:
    gatherer = Gatherer()
    angles = RANDOM.normal(-5, 20, (4 * BLOCK_FACES, 3)).astype(np.float32)
    for some in np.split(angles, 40):
        gatherer.take(answer(contract_hash=[0.0], turn_angles=some))
    faces = sum(block.faces for block in gatherer.blocks)
    assert faces == len(angles)
    sums = np.sum([np.subtract(block.positive, block.negative) for block in gatherer.blocks], axis=0)
    squares = np.sum([block.squares for block in gatherer.blocks], axis=0)
    np.testing.assert_allclose(sums / faces, angles.mean(axis=0, dtype=float), rtol=1e-6)
    spread = np.sqrt(squares / faces - (sums / faces) ** 2)
    np.testing.assert_allclose(spread, angles.std(axis=0, dtype=float), rtol=1e-6)


def test_nothing_is_published_about_fewer_faces_than_a_block() -> None:
    gatherer = Gatherer()
    for _ in range(BLOCK_FACES - 1):
        gatherer.take(answer(t_probabilities=[[0.25, 0.75]]))
    # Another set of tensors is no part of that block: else the difference of two sums would be one face's.
    gatherer.take(answer(t_probabilities=[[0.25, 0.75]], turn_angles=[[1.0, 2.0, 3.0]]))
    assert gatherer.blocks == []
    gatherer.take(answer(t_probabilities=[[0.25, 0.75]]))
    (block,) = gatherer.blocks
    assert block.faces == BLOCK_FACES
    assert block.positive == (0.25 * BLOCK_FACES, 0.75 * BLOCK_FACES)


def test_no_more_answers_are_read_than_so_many_a_second() -> None:
    gatherer = Gatherer()
    for _ in range(1000):
        gatherer.take(answer(t_probabilities=np.full((10, 2), 0.5)), after=0.001)
    assert 80 <= sum(block.faces for block in gatherer.blocks) <= 110


def test_faces_with_answers_that_are_no_numbers_are_counted_and_not_summed() -> None:
    gatherer = Gatherer()
    values = np.full((BLOCK_FACES + 2, 2), 0.5)
    values[3, 1], values[7, 0] = np.nan, np.inf
    gatherer.take(answer(t_probabilities=values))
    (block,) = gatherer.blocks
    assert (block.faces, block.not_finite) == (BLOCK_FACES, 2)
    assert block.positive == (0.5 * BLOCK_FACES, 0.5 * BLOCK_FACES)


def test_a_photo_without_a_face_adds_nothing() -> None:
    gatherer = Gatherer()
    gatherer.take(answer(t_probabilities=np.zeros((0, 2))))
    gatherer.take(answer(t_probabilities=np.full((BLOCK_FACES, 2), 0.5)))
    assert [block.faces for block in gatherer.blocks] == [BLOCK_FACES]


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff", b"", answer(t_probabilities=[[0.5, 0.5, 0.5]]), answer(other=[[1.0]])],
    ids=["damaged", "empty", "of another size", "of something else"],
)
def test_what_can_not_be_read_is_left_out(data: bytes) -> None:
    gatherer = Gatherer()
    gatherer.take(data)
    gatherer.take(answer(t_probabilities=np.full((BLOCK_FACES, 2), 0.5)))
    assert [block.faces for block in gatherer.blocks] == [BLOCK_FACES]


def test_a_block_comes_from_a_further_front_as_it_was_sent() -> None:
    gatherer = Gatherer()
    gatherer.take(answer(t_probabilities=np.full((BLOCK_FACES, 2), 0.5)))
    (block,) = gatherer.blocks
    (message,) = messages.Decoder().feed(messages.encode([messages.ANSWERED, messages.block_to_json(block)]))
    assert messages.block_from_json(message[1]) == block

"""Each loss is its formula, adds up over parts of a batch, and learns nothing from what is unknown."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from tests.helpers.mean_loss import task_loss
from training.kinds import kind_of
from training.kinds.rotation import rotation_from_6d
from training.tasks import CATALOGUE, Task
from training.train.objectives.task_loss import known, loss_of, loss_sum

TASKS = ["expression", "action_units", "age", "head_pose", "landmarks", "parsing"]


def answer(task: Task, count: int) -> Tensor:
    match task.kind:
        case "points":
            return torch.rand(count, len(task.labels), 2, requires_grad=True)
        case "mask":
            return torch.randn(count, len(task.labels), 8, 8, requires_grad=True)
    return torch.randn(count, task.queries, requires_grad=True)


def target(task: Task, count: int) -> Tensor:
    labels = len(task.labels)
    match task.kind:
        case "classes":
            return torch.softmax(torch.randn(count, labels), dim=1)
        case "multilabel":
            return torch.randint(0, 2, (count, labels)).float()
        case "value":
            low = torch.rand(count, 1) * 60
            return torch.cat([low, low + torch.randint(0, 2, (count, 1)) * 9], dim=1)
        case "rotation":
            return rotation_from_6d(torch.randn(count, 6))
        case "points":
            return torch.rand(count, labels, 2)
        case "mask":
            return torch.randint(0, labels, (count, 16, 16), dtype=torch.uint8)
    raise AssertionError


def forget(task: Task, labels: Tensor, rows: list[int]) -> Tensor:
    labels = labels.clone()
    labels[rows] = 255 if task.kind == "mask" else float("nan")
    return labels


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_s_loss_is_the_sum_of_its_parts_over_what_is_known(name: str) -> None:
    torch.manual_seed(0)
    task = CATALOGUE[name]
    raw, labels = answer(task, 6), forget(task, target(task, 6), [1, 4])
    confidence = torch.tensor([1.0, 1.0, 0.5, 0.25, 1.0, 0.8])
    whole = task_loss(task, raw, labels, confidence=confidence)
    parts = [slice(0, 2), slice(2, 6)]
    sums = sum(loss_sum(task, raw[p], labels[p], confidence=confidence[p]) for p in parts)
    counts = sum(known(task, labels[p], confidence[p]).sum() for p in parts)
    torch.testing.assert_close(whole, sums / counts)


@pytest.mark.parametrize("name", TASKS)
def test_a_face_without_a_label_changes_nothing_and_learns_nothing(name: str) -> None:
    torch.manual_seed(0)
    task = CATALOGUE[name]
    raw, labels = answer(task, 4), forget(task, target(task, 4), [0, 2])
    loss = task_loss(task, raw, labels)
    torch.testing.assert_close(loss, task_loss(task, raw[1::2], labels[1::2]))
    loss.backward()
    assert raw.grad is not None
    assert raw.grad[0::2].abs().max() == 0
    assert bool(raw.grad.isfinite().all())
    assert (raw.grad[1::2].flatten(1).abs().amax(1) > 0).all()
    assert known(task, labels)[0::2].tolist() == [0, 0]


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_without_labels_costs_nothing_but_has_a_graph(name: str) -> None:
    task = CATALOGUE[name]
    raw = answer(task, 3)
    loss = task_loss(task, raw, forget(task, target(task, 3), [0, 1, 2]))
    assert loss.item() == 0
    loss.backward()
    assert raw.grad is not None
    assert raw.grad.abs().max() == 0


@pytest.mark.parametrize("name", TASKS)
def test_confidence_weighs_faces(name: str) -> None:
    torch.manual_seed(0)
    task = CATALOGUE[name]
    raw, labels = answer(task, 2), target(task, 2)
    one, other = (task_loss(task, raw[i : i + 1], labels[i : i + 1]).item() for i in (0, 1))
    weighed = task_loss(task, raw, labels, confidence=torch.tensor([3.0, 1.0]))
    assert weighed.item() == pytest.approx((3 * one + other) / 4, rel=1e-5)
    small = task_loss(task, raw, labels, confidence=torch.tensor([0.003, 0.001]))
    assert small.item() == pytest.approx(weighed.item(), rel=1e-4)


@pytest.mark.parametrize("name", TASKS)
def test_the_right_answer_costs_less_than_any_other_and_descent_leads_to_it(name: str) -> None:
    torch.manual_seed(0)
    task = CATALOGUE[name]
    labels = target(task, 2)
    if task.kind == "classes":
        labels = torch.eye(len(task.labels))[:2]
    if task.kind == "mask":  # no finer than the logits, or no logits would fit
        labels = (
            torch.randint(0, 19, (2, 2, 2)).repeat_interleave(8, 1).repeat_interleave(8, 2).to(torch.uint8)
        )
    raw = answer(task, 2).detach().requires_grad_(True)
    first = task_loss(task, raw, labels).item()
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / 300)
        optimizer.zero_grad()
        loss = task_loss(task, raw, labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * first


def test_cross_entropy_takes_probabilities() -> None:
    task = CATALOGUE["gender"]
    raw = torch.tensor([[0.0, math.log(3.0)]])
    wanted = torch.tensor([[0.25, 0.75]])
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert task_loss(task, raw, wanted).item() == pytest.approx(expected)


def test_single_labels_of_a_multilabel_task_may_be_unknown() -> None:
    task = CATALOGUE["action_units"]
    raw = torch.zeros(2, 12)
    raw[0, 0] = 5.0
    labels = torch.full((2, 12), float("nan"))
    labels[0, 0], labels[1, 3] = 1.0, 0.0
    assert known(task, labels).tolist() == [1, 1]
    expected = (math.log1p(math.exp(-5)) + math.log(2)) / 2
    assert task_loss(task, raw, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("value", "free"), [(19.0, False), (20.0, True), (25.0, True), (29.9, True), (31.0, False)]
)
def test_an_age_inside_its_bin_costs_nothing(value: float, free: bool) -> None:
    age = CATALOGUE["age"]
    raw = torch.tensor([[(value - age.center) / age.spread]])
    loss = task_loss(age, raw, torch.tensor([[20.0, 29.0]])).item()
    assert (loss < 1e-9) is free


def test_geodesic_is_the_angle_between_rotations() -> None:
    angle = 0.3
    turned = torch.tensor(
        [[[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1.0]]]
    )
    assert task_loss(CATALOGUE["head_pose"], torch.zeros(1, 6), turned).item() == pytest.approx(
        angle, rel=1e-4
    )


def test_wing_is_a_logarithm_near_and_a_line_far_and_joins_smoothly() -> None:
    task = CATALOGUE["landmarks"]
    middle = torch.full((1, 68, 2), 0.5)

    def cost(hundredths: float) -> float:
        return task_loss(task, middle + hundredths / 100, middle).item()

    assert cost(1.0) == pytest.approx(math.log(1 + 1 / 2), rel=1e-4)
    assert cost(30.0) - cost(20.0) == pytest.approx(1.0, rel=1e-3)
    assert cost(10.001) == pytest.approx(cost(9.999), rel=1e-3)
    labels = middle.clone()
    labels[0, 5, 1] = float("nan")  # half a point is none
    assert known(task, labels).tolist() == [67]


def test_dice_counts_a_small_class_as_much_as_a_large_one_and_leaves_unknown_pixels_out() -> None:
    task = CATALOGUE["parsing"]
    labels = torch.zeros(1, 16, 16, dtype=torch.uint8)
    labels[0, :4, :4] = 5
    labels[0, 12:] = 255
    sure = torch.zeros(1, 19, 16, 16)
    sure[:, 0] = 20.0
    without = task_loss(task, sure, labels).item()  # the small class is missed altogether
    right = sure.clone()
    right[:, 0, :4, :4], right[:, 5, :4, :4] = 0.0, 20.0
    assert task_loss(task, right, labels).item() < 0.05
    share = 16 / (16 * 12)
    dice = (1 - 1 / 17) / 2 + (1 - (2 * 176 + 1) / (192 + 176 + 1)) / 2
    assert without == pytest.approx(20 * share + dice, rel=0.01)
    wrong_where_unknown = right.clone()
    wrong_where_unknown[:, 9, 12:] = 40.0
    assert task_loss(task, wrong_where_unknown, labels).item() == pytest.approx(
        task_loss(task, right, labels).item(), abs=1e-6
    )


@pytest.mark.parametrize("name", [*TASKS, "race"])
def test_answers_in_half_precision_are_judged_in_full(name: str) -> None:
    torch.manual_seed(0)
    task = CATALOGUE[name]
    raw, labels = answer(task, 3).detach().bfloat16(), target(task, 3)
    loss = task_loss(task, raw, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, task_loss(task, raw.float(), labels))


def test_every_task_of_the_catalogue_has_a_loss_of_its_kind() -> None:
    for task in CATALOGUE.values():
        assert loss_of(task) is kind_of(task).losses[task.loss]


def test_a_loss_that_does_not_exist_or_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'age' has the unknown loss 'l7': choose from cross_entropy"):
        loss_of(CATALOGUE["age"], "l7")
    with pytest.raises(
        ValueError, match=r"'wing' is for points, and task 'age' is value: choose from smooth_l1"
    ):
        loss_of(CATALOGUE["age"], "wing")


def test_a_run_may_name_another_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    task = CATALOGUE["age"]
    raw, labels = torch.ones(1, 1), torch.tensor([[40.0, 40.0]])
    losses = kind_of(task).losses
    l2 = dataclasses.replace(
        losses["smooth_l1"], sum=lambda _, raw, target: (raw[:, 0] - target[:, 0]).square()
    )
    monkeypatch.setitem(losses, "l2", l2)
    assert task_loss(task, raw, labels, loss="l2").item() == 39.0**2


def test_a_distribution_is_drawn_to_an_exact_age_and_into_an_interval() -> None:
    """Learned by descent: the mean is the exact age; of an interval only its inside is asked for."""
    age = CATALOGUE["age"]
    labels = torch.tensor([[30.0, 30.0], [50.0, 59.0], [float("nan")] * 2])
    raw = torch.zeros(3, int(age.levels[2]), requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.2)
    for _ in range(300):
        optimizer.zero_grad()
        loss_sum(age, raw, labels, loss="label_distribution").backward()
        optimizer.step()
    years = kind_of(age).physical(age, raw.detach(), input_size=64)
    assert float(years[0]) == pytest.approx(30, abs=0.5)
    assert 50 <= float(years[1]) < 60
    inside = raw[1].detach().softmax(dim=0)[50:60]
    assert float(inside.sum()) > 0.95
    assert float(raw.detach()[2].abs().max()) == 0


def test_a_distribution_s_mean_is_the_answer_and_a_number_still_is_one() -> None:
    age = CATALOGUE["age"]
    sure = torch.full((1, int(age.levels[2])), -50.0)
    sure[0, 42] = 50
    assert float(kind_of(age).physical(age, sure, input_size=64)) == pytest.approx(42)
    assert float(kind_of(age).physical(age, torch.zeros(1, 1), input_size=64)) == age.center
    with pytest.raises(ValueError, match=r"name it in model\.distributions"):
        loss_sum(age, torch.zeros(1, 1), torch.zeros(1, 2), loss="label_distribution")

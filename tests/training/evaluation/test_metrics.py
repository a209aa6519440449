"""Every metric agrees with torchmetrics where that has it, and with its definition where not."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.functional import concordance_corrcoef
from torchmetrics.functional.classification import (
    binary_calibration_error,
    binary_recall_at_fixed_precision,
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_f1_score,
    multilabel_accuracy,
    multilabel_auroc,
    multilabel_f1_score,
)
from torchmetrics.functional.segmentation import dice_score

from runtime.contract import TaskEntry
from runtime.pose import rotation_from_angles
from tests.helpers.metrics import NAN, SIZE, metrics, question, random
from training.contract import make_contract
from training.evaluation.evaluated_task import evaluated_task
from training.evaluation.metrics import best_of, less_is_better
from training.kinds import kinds
from training.tasks import CATALOGUE


def test_classes_are_torchmetrics() -> None:
    asked = question("expression")
    rng = random()
    truth = rng.integers(0, 7, 300)
    answers = rng.dirichlet(np.ones(7), 300) + 0.5 * np.eye(7)[truth]
    found = metrics(asked, answers, np.eye(7)[truth])
    said, true = torch.tensor(answers), torch.tensor(truth)
    for name, average, function in (
        ("top1_accuracy", "micro", multiclass_accuracy),
        ("mean_class_accuracy", "macro", multiclass_accuracy),
        ("macro_f1", "macro", multiclass_f1_score),
    ):
        assert found[name] == pytest.approx(float(function(said, true, 7, average=average)), abs=1e-6)
    by_class = multiclass_f1_score(said, true, 7, average="none")
    assert [found[f"f1/{label}"] for label in asked.labels] == pytest.approx(by_class.tolist(), abs=1e-6)


def test_several_labels_are_torchmetrics_with_unknown_ones_left_out() -> None:
    asked = question("action_units")
    rng = random()
    truth = (rng.random((300, 12)) < rng.uniform(0.1, 0.6, 12)).astype(np.float32)
    answers = np.round(np.clip(rng.normal(0.3 + 0.3 * truth, 0.25), 0, 0.99), 2) + 0.001  # with ties
    found = metrics(asked, answers, truth)
    said, true = torch.tensor(answers), torch.tensor(truth).long()
    expected = {
        "mean_f1": multilabel_f1_score(said, true, 12, average="macro"),
        "mean_auc": multilabel_auroc(said, true, 12, average="macro"),
        "mean_accuracy": multilabel_accuracy(said, true, 12, average="macro"),
        f"f1/{asked.labels[4]}": multilabel_f1_score(said, true, 12, average="none")[4],
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), abs=1e-6), name
    # Half of one label's faces unknown: as if those faces were not there.
    holes = truth.copy()
    holes[::2, 4] = NAN
    rest = multilabel_f1_score(said[1::2], true[1::2], 12, average="none")[4]
    assert metrics(asked, answers, holes)[f"f1/{asked.labels[4]}"] == pytest.approx(float(rest), abs=1e-6)


def test_the_calibration_of_one_label_out_of_several_is_that_of_the_top_one() -> None:
    asked = question("expression")
    rng = random()
    truth = rng.integers(0, 7, 300)
    answers = rng.dirichlet(np.ones(7), 300)
    answers[:3] = np.eye(7)[:3]  # wholly sure
    expected = multiclass_calibration_error(torch.tensor(answers), torch.tensor(truth), 7, n_bins=15)
    found = metrics(asked, answers, np.eye(7)[truth])["expected_calibration_error"]
    assert found == pytest.approx(float(expected), abs=1e-6)
    assert found > 0.05
    sure = metrics(asked, np.eye(7)[truth], np.eye(7)[truth])
    assert sure["expected_calibration_error"] == 0
    assert less_is_better("expected_calibration_error")


def test_the_calibration_of_several_labels_is_the_mean_of_theirs_over_faces_where_they_are_known() -> None:
    asked = question("action_units", labels=["AU1", "AU12"])
    rng = random()
    answers = rng.random((300, 2))
    truth = (rng.random((300, 2)) < answers**2).astype(np.float32)
    intensity = np.where(truth > 0, 0.6, 0.4)  # a teacher's: it is there from one half on
    intensity[:100, 1] = NAN
    said, true = torch.tensor(answers.T.copy()), torch.tensor(truth.T.copy()).long()
    expected = [
        binary_calibration_error(said[i, rows], true[i, rows], n_bins=15)
        for i, rows in enumerate((slice(None), slice(100, None)))
    ]
    found = metrics(asked, answers, intensity)["expected_calibration_error"]
    assert found == pytest.approx(float(sum(expected)) / 2, abs=1e-6)
    assert found > 0.05


def test_a_label_that_nobody_has_is_left_out_of_the_mean_f1() -> None:
    asked = question("action_units", labels=["AU1", "AU12"])
    truth = np.array([[0, 1], [0, 1], [0, 0]], np.float32)
    found = metrics(asked, np.array([[0.9, 0.9], [0.1, 0.9], [0.1, 0.1]]), truth)
    assert found["mean_f1"] == 1
    assert np.isnan(found["f1/AU1"])
    assert found["mean_accuracy"] == pytest.approx((2 / 3 + 1) / 2)


def test_attributes_give_the_accuracy_of_each_label() -> None:
    asked = question("attributes", labels=["Smiling", "Male"])
    found = metrics(asked, np.array([[0.2, 0.7], [0.6, 0.6]]), np.array([[1.0, 1.0], [0.0, 1.0]]))
    named = dict(zip(asked.labels, (1.0, 0.0), strict=True))  # the catalogue's order, whoever asks
    assert {label: found[f"accuracy/{label}"] for label in asked.labels} in (
        named,
        dict(zip(asked.labels, (0.0, 1.0), strict=True)),
    )
    assert found["mean_accuracy"] == 0.5


def test_fitted_thresholds_are_the_best_ones_and_are_used() -> None:
    asked = question("action_units", labels=["AU1", "AU12"])
    scores = np.array([[0.05, 0.9], [0.1, 0.8], [0.2, 0.95], [0.3, 0.7]])
    truth = np.array([[0, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    faces = kinds()["multilabel"].per_face(asked, scores, truth)
    first, second = kinds()["multilabel"].fitted_thresholds(asked, faces)
    assert first == pytest.approx(0.15)
    assert second == pytest.approx(0.75)  # one right of the three that score 0.8 or more
    fitted = dataclasses.replace(asked, fitted=(first, second))
    found = metrics(fitted, scores, truth)
    assert found["f1_fitted/AU1"] == 1
    assert found["f1_fitted/AU12"] == pytest.approx(0.5)
    assert found["f1/AU1"] == 0  # at one half


def test_recall_of_covered_points_is_torchmetrics_over_all_points_together() -> None:
    asked = question("visibility")
    rng = random()
    visible = (rng.random((80, 29)) < 0.75).astype(np.float32)
    answers = np.clip(rng.normal(0.3 + 0.4 * visible, 0.15), 0, 1)
    recall, _ = binary_recall_at_fixed_precision(
        torch.tensor(1 - answers).flatten(), 1 - torch.tensor(visible).flatten().long(), min_precision=0.8
    )
    assert metrics(asked, answers, visible)["recall_at_80_precision"] == pytest.approx(
        float(recall), abs=1e-6
    )
    assert 0.2 < recall < 0.95
    assert metrics(asked, np.full((80, 29), 0.5), visible)["recall_at_80_precision"] == 0


def test_ages_are_errors_in_years_and_concordance() -> None:
    asked = question("age")
    rng = random()
    truth = rng.integers(1, 90, 400).astype(np.float32)
    said = (truth + rng.normal(2, 8, 400)).astype(np.float32)
    found = metrics(asked, said[:, None], np.stack([truth, truth], axis=1))
    assert found["mean_absolute_error"] == pytest.approx(float(np.abs(said - truth).mean()), rel=1e-5)
    # torchmetrics takes variances over N - 1.
    assert found["ccc"] == pytest.approx(
        float(concordance_corrcoef(torch.tensor(said), torch.tensor(truth))), abs=1e-3
    )
    x, y = said.astype(float), truth.astype(float)
    exact = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert found["ccc"] == pytest.approx(exact, abs=1e-9)


def test_an_age_bin_holds_everybody_who_has_not_had_the_next_birthday() -> None:
    asked = question("age")
    labels = np.array([[20, 29], [20, 29], [20, 29], [40, 40]], np.float32)
    found = metrics(asked, np.array([[29.9], [30.0], [17.0], [41.0]]), labels)
    assert found["bin_accuracy"] == pytest.approx(1 / 3)
    assert found["error_outside_bin"] == pytest.approx((0 + 0 + 3 + 1) / 4)
    assert "mean_absolute_error" not in found


def test_angles_are_compared_one_by_one_and_around_the_circle() -> None:
    asked = question("head_pose")
    labels = np.array([[10, -5, 179], [0, 20, 0]], np.float32)
    said = rotation_from_angles(np.array([[13, -5, -179], [0, 15, 0]]))
    found = metrics(asked, said, labels)
    errors = [found[f"euler_mean_absolute_error/{label}"] for label in asked.task.labels]
    assert errors == pytest.approx([1.5, 2.5, 1.0], abs=1e-5)
    assert found["euler_mean_absolute_error"] == pytest.approx(5 / 3, abs=1e-5)
    assert 0 < found["ccc"] < 1
    assert 3 < found["geodesic_error"] < 5


def test_points_are_measured_by_the_outer_corners_of_the_eyes_and_by_the_box() -> None:
    asked = question("landmarks")
    rng = random()
    true = rng.uniform(10, 50, (3, 68, 2))
    true[:, 36], true[:, 45] = [20, 20], [40, 20]
    labels = (true + 0.5) / SIZE
    said = true + np.array([3.0, 4.0]) * np.array([0.1, 0.2, 1.0])[:, None, None]
    found = metrics(asked, said, labels)
    eyes = np.array([0.5, 1.0, 5.0]) / 20
    assert found["normalized_mean_error"] == pytest.approx(eyes.mean())
    assert found["failure_rate"] == pytest.approx(1 / 3)
    assert found["auc_at_0.08"] == pytest.approx(np.maximum(1 - eyes / 0.08, 0).mean())
    sides = true.max(axis=1) - true.min(axis=1)
    boxes = np.array([0.5, 1.0, 5.0]) / np.sqrt(sides.prod(axis=1))
    assert found["box_normalized_error"] == pytest.approx(boxes.mean())
    # The area is that under the curve of how many faces lie below an error.
    limits = np.linspace(0, 0.08, 20001)
    curve = (eyes[:, None] <= limits).mean(axis=0)
    assert found["auc_at_0.08"] == pytest.approx(curve.mean(), abs=1e-3)


def test_points_that_are_not_known_count_for_nothing() -> None:
    asked = question("landmarks")
    true = random().uniform(10, 50, (2, 68, 2))
    labels = (true + 0.5) / SIZE
    labels[:, 5:9] = NAN
    labels[1, 36] = NAN  # without an eye there is nothing to divide by
    said = true.copy()
    said[:, 5:9] += 30
    found = metrics(asked, said, labels)
    assert found["normalized_mean_error"] == pytest.approx(0, abs=1e-9)
    assert found["box_normalized_error"] == pytest.approx(0, abs=1e-9)
    assert kinds()["points"].known(np.full((1, 68, 2), NAN)).tolist() == [False]


def test_masks_are_f1_over_all_pixels_of_all_faces_without_the_background() -> None:
    asked = question("parsing")
    rng = random()
    true = rng.integers(0, 19, (5, SIZE, SIZE), dtype=np.uint8)
    said = np.where(rng.random(true.shape) < 0.6, true, rng.integers(0, 19, true.shape)).astype(np.uint8)
    found = metrics(asked, said, true)

    def one_hot(ids: NDArray[np.uint8]) -> torch.Tensor:
        hot = torch.nn.functional.one_hot(torch.tensor(ids).long().flatten(), 19).bool()
        return hot.T[None]  # as one picture

    expected = dice_score(one_hot(said), one_hot(true), 19, average="none", input_format="one-hot")
    by_class = [found[f"f1/{label}"] for label in asked.labels]
    assert by_class == pytest.approx(expected[0].tolist(), abs=1e-6)
    assert found["mean_f1"] == pytest.approx(float(expected[0, 1:].mean()), abs=1e-6)
    assert found["pixel_accuracy"] == pytest.approx(float((said == true).mean()))
    hidden = true.copy()
    hidden[:, : SIZE // 2] = 255
    half = metrics(asked, said, hidden)
    assert half["pixel_accuracy"] == pytest.approx(float((said == true)[:, SIZE // 2 :].mean()))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("expression", np.eye(7)[[0, 0, 3]]),
        ("action_units", np.array([[1, 0, NAN] * 4, [1, 1, NAN] * 4, [0, 0, NAN] * 4])),
        ("age", np.array([[20.0, 20.0], [30, 39], [41, 41]])),
        ("head_pose", np.array([[10.0, 0, 0], [20, 5, 0], [30, 0, 9]])),
        ("landmarks", np.full((3, 68, 2), 0.5)),
        ("parsing", np.ones((3, SIZE, SIZE), np.uint8)),
    ],
)
def test_always_the_same_answer_is_one_that_the_network_could_give(
    name: str, labels: NDArray[np.generic]
) -> None:
    asked = question(name)
    measure = kinds()[asked.task.kind]
    constants = measure.constants(asked, labels)
    found = []
    for constant in constants:
        always = np.broadcast_to(constant, (3, *constant.shape))
        found.append(metrics(asked, always, labels))
    best = best_of(list(found[0]), found)
    expected = {
        "expression": ("top1_accuracy", 2 / 3),
        "action_units": ("f1/AU1", 0.8),
        "age": ("bin_accuracy", 1.0),
        "head_pose": ("euler_mean_absolute_error", (20 / 3 + 5 / 3 + 3) / 3),
        "landmarks": ("failure_rate", NAN),
        "parsing": ("mean_f1", 1.0),
    }[name]
    assert best[expected[0]] == pytest.approx(expected[1], nan_ok=True)
    for one in found:
        for metric, value in one.items():
            if not np.isnan(value):
                assert value >= best[metric] if less_is_better(metric) else value <= best[metric]


def test_a_contract_in_another_order_is_read_by_its_labels() -> None:
    first, second = make_contract([CATALOGUE["expression"], CATALOGUE["parsing"]], input_size=SIZE).tasks
    entry = dataclasses.replace(first, labels=first.labels[::-1])
    asked = evaluated_task(entry, input_size=SIZE)
    assert asked is not None
    labels = kinds()[asked.task.kind].in_order(asked, np.eye(7)[[0, 6]])
    assert labels.argmax(axis=1).tolist() == [6, 0]
    entry = dataclasses.replace(second, labels=second.labels[::-1])
    asked = evaluated_task(entry, input_size=SIZE)
    assert asked is not None
    assert kinds()[asked.task.kind].in_order(asked, np.array([[[0, 18, 255]]], np.uint8)).tolist() == [
        [[18, 0, 255]]
    ]


def test_labels_that_the_catalogue_does_not_have_are_refused() -> None:
    entry = TaskEntry(name="gender", kind="classes", labels=("male", "other"), unit="probability")
    with pytest.raises(ValueError, match="'gender' is answered with other labels"):
        evaluated_task(entry, input_size=SIZE)
    assert evaluated_task(dataclasses.replace(entry, name="mood"), input_size=SIZE) is None

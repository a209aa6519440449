"""How far a network knows that it may be off: intervals that hold, and errors that its certainty ranks."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.functional import spearman_corrcoef

from runtime.contract import ErrorBounds
from tests.helpers.faces.labelled_sets import ENTRIES, SIZE, knowing
from training.data.prepared.face_set import FaceSet
from training.evaluation.confidence.measures import (
    confidence_values,
    error_statistics,
    factor_within,
    rank_correlation,
    risk_by_coverage,
)
from training.evaluation.evaluate import Predict, Predictions, evaluate
from training.evaluation.report import as_markdown
from training.kinds import kinds

BOUNDS = ErrorBounds(unit="years", within=((0.5, 0.7), (0.8, 1.6), (0.95, 3.0)))


def test_a_share_between_the_contract_s_has_a_factor_between_theirs() -> None:
    assert [factor_within(BOUNDS, share) for share in (0.5, 0.8, 0.95)] == pytest.approx([0.7, 1.6, 3.0])
    # Half the way from 0.5 to 0.8 in log(1 - p).
    assert factor_within(BOUNDS, 1 - (0.5 * 0.2) ** 0.5) == pytest.approx((0.7 + 1.6) / 2)
    # Twice as far from 0 as the first pair, and as the last one.
    assert factor_within(BOUNDS, 1 - 0.5**0.5) == pytest.approx(0.35)
    assert factor_within(BOUNDS, 1 - 0.05**2) == pytest.approx(6.0)


def test_intervals_of_honest_errors_cover_what_they_promise() -> None:
    rng = np.random.default_rng(0)
    expected = rng.uniform(1, 9, (4000, 2))
    errors = rng.exponential(expected)
    errors[:1000, 1] = np.nan  # nobody knows
    ranges = np.stack([errors, errors], axis=2)
    honest = ErrorBounds(
        unit="years", within=tuple((share, float(-np.log1p(-share))) for share in (0.3, 0.9))
    )
    faces = error_statistics(ranges, expected)
    found = {name: values[0] for name, values in confidence_values(honest, faces, np.ones((1, 4000))).items()}
    for level in (50, 80, 95):
        assert found[f"interval_coverage_{level}"] == pytest.approx(level / 100, abs=0.02)
    known = expected[~np.isnan(errors)].mean()
    assert found["interval_width_80"] == pytest.approx(-2 * np.log(0.2) * known, rel=1e-6)
    assert 0.2 < found["error_rank_correlation"] < 0.8
    with pytest.raises(ValueError, match="for 3 numbers of a face and not for 2"):
        error_statistics(ranges, np.ones((4000, 3)))


def test_a_label_that_leaves_a_range_is_no_exact_one_at_its_nearest_end() -> None:
    """Intervals hold what they promise of the truths in a decade, not of its nearest edge."""
    rng = np.random.default_rng(0)
    truth = rng.laplace(0, 5.0, 4000)
    low = np.floor(truth / 10) * 10
    ranges = np.stack([low, low + 10], axis=1)[:, None]
    honest = ErrorBounds(
        unit="years", within=tuple((share, float(-np.log1p(-share))) for share in (0.3, 0.9))
    )
    faces = error_statistics(ranges, np.full((4000, 1), 5.0))
    found = {name: values[0] for name, values in confidence_values(honest, faces, np.ones((1, 4000))).items()}
    for level in (50, 80, 95):
        assert found[f"interval_coverage_{level}"] == pytest.approx(level / 100, abs=0.03)
    assert found["risk_at_100"] == pytest.approx(np.maximum(np.maximum(low, -low - 10), 0).mean())


def test_a_weighted_rank_correlation_is_that_of_the_faces_drawn() -> None:
    rng = np.random.default_rng(1)
    one = np.round(rng.normal(size=60), 1)  # with ties
    other = one + rng.normal(size=60)
    weights = rng.integers(0, 4, (3, 60)).astype(np.float64)
    for row, found in zip(weights.astype(int), rank_correlation(weights, one, other), strict=True):
        drawn = [torch.tensor(np.repeat(numbers, row)) for numbers in (one, other)]
        assert found == pytest.approx(float(spearman_corrcoef(*drawn)), abs=1e-5)
    assert np.isnan(rank_correlation(weights, np.ones(60), other)).all()


def test_risk_is_that_of_the_surest_faces_and_ties_count_in_part() -> None:
    certainty = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    risk = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    found = {name: values[0] for name, values in risk_by_coverage(np.ones((1, 5)), risk, certainty).items()}
    assert found["risk_at_100"] == pytest.approx(0.6)
    assert found["risk_at_80"] == pytest.approx(2 / 4)
    assert found["risk_at_50"] == pytest.approx(1.5 * (2 / 3) / 2.5)
    assert found["risk_coverage_area"] == pytest.approx((0 + 3 * 0.5 + 0.6) / 5)
    # A face drawn twice counts twice, one that was not drawn not at all.
    weights = np.array([[2.0, 0, 1, 1, 0]])
    assert risk_by_coverage(weights, risk, certainty)["risk_at_100"][0] == pytest.approx(0.25)
    assert risk_by_coverage(weights, risk, certainty)["risk_at_50"][0] == 0


def aware(answer: Predict, errors: Predictions) -> Predict:
    """A network that also answers these errors, a row for all faces."""

    def predict(crops: NDArray[np.uint8]) -> Predictions:
        return answer(crops) | {name: np.tile(row, (len(crops), 1)) for name, row in errors.items()}

    return predict


def test_a_network_that_states_errors_is_measured_by_them_and_one_that_does_not_is_not(data: Path) -> None:
    sets = [FaceSet(data / "people", split="test")]
    right = knowing(sets)  # three years too old
    stating = [
        dataclasses.replace(entry, error=BOUNDS) if entry.name in ("age", "head_pose") else entry
        for entry in ENTRIES
    ]
    errors = {"age_error": np.array([2.0]), "head_pose_error": np.ones(3)}
    rows = evaluate(aware(right, errors), stating, sets, input_size=SIZE, bootstrap=20)
    found = {row.task: row for row in rows}
    age = {name: estimate.value for name, estimate in found["age"].values.items()}
    covered = [age[f"interval_coverage_{level}"] for level in (50, 80, 95)]
    assert covered == [0, 1, 1]  # 1.4, 3.2 and 6 years
    assert age["risk_at_100"] == pytest.approx(3)
    assert found["head_pose"].values["interval_coverage_50"].value == 1
    assert found["gender"].values["risk_at_90"].value == 0
    table = as_markdown(rows)
    assert "| age | people | this network | 0.00 [0.00, 0.00] % | 100.00 [100.00, 100.00] % |" in table
    assert "6.40 [6.40, 6.40] years" in table
    assert table.count("interval_coverage") == 0  # they have tables of their own
    silent = evaluate(right, ENTRIES, sets, input_size=SIZE, bootstrap=0)
    assert {row.task: set(row.values) for row in silent}["age"] == {"mean_absolute_error", "ccc", "bias"}
    with pytest.raises(ValueError, match="does not answer age_error, which its contract promises"):
        evaluate(right, stating, sets, input_size=SIZE, bootstrap=0)
    wrong = errors | {"age_error": np.array([-1.0])}
    with pytest.raises(ValueError, match=r"age_error of test/0.png of people is not finite or below 0"):
        evaluate(aware(right, wrong), stating, sets, input_size=SIZE, bootstrap=0)


def test_a_client_s_expected_errors_become_the_crop_s() -> None:
    points = SimpleNamespace(errors=np.array([4.0, 8.0], np.float32))
    halved = np.array([[0, -0.5, 7], [0.5, 0, 3]])
    assert kinds()["points"].client_error_in_crop(points, halved, labels=("a", "b")).tolist() == [2, 4]
    pose = SimpleNamespace(errors={"yaw": 1.0, "pitch": 2.0, "roll": 3.0})
    of_angles = kinds()["rotation"].client_error_in_crop(pose, halved, labels=("yaw", "pitch", "roll"))
    assert of_angles.tolist() == [1, 2, 3]
    years = SimpleNamespace(error=4.5)
    assert kinds()["value"].error_from_client(years, ("years",)).tolist() == [4.5]
    with pytest.raises(ValueError, match="mask have no expected error"):
        kinds()["mask"].error_from_client(None, ())

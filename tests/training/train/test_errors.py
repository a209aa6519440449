"""Expected errors are learned from faces held out of training, and say how far answers may be off."""

import dataclasses
import json
import math
import pathlib

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.networks.error_networks import error_checkpoint
from training.contract import LAPLACE, SHARES
from training.data.prepared.face_set import FaceSet
from training.evaluation.confidence.measures import distances
from training.kinds import kind_of
from training.kinds.forms import ErrorForm
from training.models import Checkpoint, ExportWrapper, load_checkpoint, save_checkpoint
from training.models.qface.error_heads import ErrorHead
from training.tasks import CATALOGUE
from training.train.errors import __main__ as command
from training.train.errors import fit
from training.train.errors.coverage import coverage, measured_within, rank_correlation
from training.train.errors.fit import fit_head
from training.train.errors.fitted import with_error_heads
from training.train.errors.laplace import unlikelihood
from training.train.errors.observations import FIT, MEASURE, Observations, person_parts

TASKS = ("age", "head_pose")


def _observations(ranges: NDArray[np.float64], *, features: torch.Tensor | None = None) -> Observations:
    count = len(ranges)
    rows = np.arange(count)
    return Observations(
        features=torch.zeros(count, 1, 4).half() if features is None else features.half(),
        ranges=ranges,
        weights=np.ones(count),
        parts=np.where(rows % 8 < 3, FIT, np.where(rows % 8 == 3, 1, MEASURE)),
        sets=np.zeros(count, np.int64),
        as_served=np.ones(count, bool),
    )


# Laplace ------------------------------------------------------------------------------------------------


def _mean_density(low: float, high: float, *, b: float) -> float:
    places = np.linspace(low, high, 20_001)
    return float((np.exp(-np.abs(places) / b) / (2 * b)).mean())


@pytest.mark.parametrize(
    ("low", "high"), [(2.0, 12.0), (-12.0, -2.0), (-3.0, 7.0), (0.0, 10.0), (40.0, 41.0)]
)
def test_a_range_is_as_likely_as_laplace_has_it(low: float, high: float) -> None:
    loss = unlikelihood(torch.tensor([[[low, high]]], dtype=torch.float64), torch.tensor([[3.0]]).double())
    assert float(loss[0, 0]) == pytest.approx(-math.log(2 * _mean_density(low, high, b=3.0)), rel=1e-3)


def test_an_exact_label_is_as_likely_as_laplace_has_it() -> None:
    loss = unlikelihood(torch.tensor([[[-6.0, -6.0]]]), torch.tensor([[3.0]]))
    assert float(loss[0, 0]) == pytest.approx(math.log(3) + 2)


def test_no_error_however_small_or_large_has_an_infinite_slope() -> None:
    ranges = torch.tensor([[0.0, 0.0], [-1e-6, 1e-6], [0.0, 10.0], [500.0, 510.0], [-90.0, -90.0]])
    for b in (1e-3, 1.0, 1e4):
        expected = torch.full((5,), b, requires_grad=True)
        losses = unlikelihood(ranges, expected)
        (slope,) = torch.autograd.grad(losses.sum(), expected)
        assert bool(losses.isfinite().all())
        assert bool(slope.isfinite().all())


def test_a_range_s_readings_lie_in_it_and_the_near_ones_count_most() -> None:
    found, weights = distances(np.array([[[2.0, 12.0]], [[5.0, 5.0]]]), np.array([[3.0], [3.0]]))
    assert ((found[0] > 2) & (found[0] < 12)).all()
    assert (np.diff(weights[0, 0]) < 0).all()
    assert (found[1] == 5).all()
    assert weights.sum(axis=-1) == pytest.approx(1)


# Fit and coverage ---------------------------------------------------------------------------------------


def test_a_fit_finds_how_noisy_each_face_s_label_is() -> None:
    """Half of the faces, which the features tell apart, have four times the other half's error."""
    rng = np.random.default_rng(0)
    noisy = np.arange(4000) // 8 % 2 == 1
    scale = np.where(noisy, 8.0, 2.0)
    ranges = np.repeat(rng.laplace(0, scale)[:, None, None], 2, axis=2)
    features = torch.from_numpy(np.where(noisy, 1.0, -1.0)[:, None, None] * np.ones((1, 1, 4)))
    observed = _observations(ranges, features=features)
    torch.manual_seed(0)
    head = ErrorHead(form=ErrorForm(numbers=1, unit="years", typical=5.0), queries=1, width=4)
    before = torch.get_rng_state()
    fit_head(head, observed, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in head.parameters())
    with torch.no_grad():
        expected = head(observed.features.float())[:, 0].numpy()
    assert expected[noisy].mean() == pytest.approx(8, rel=0.15)
    assert expected[~noisy].mean() == pytest.approx(2, rel=0.15)
    rest = observed.where(observed.parts == MEASURE)
    stated = expected[observed.parts == MEASURE][:, None].astype(np.float64)
    within = measured_within(rest, stated)
    assert [factor for _, factor in within] == pytest.approx([factor for _, factor in LAPLACE], rel=0.15)
    row = coverage(rest, stated, within=within, task="age", faces="made")
    assert row.after == pytest.approx(SHARES, abs=0.001)
    assert row.rank_correlation > 0.3


def test_numbers_without_a_label_and_sets_of_any_size_leave_the_measured_ranges_right() -> None:
    ranges = np.full((400, 2, 2), 1.0)
    ranges[:, 1] = np.nan  # a point that nobody has marked
    ranges[300:, 0] = 3.0
    observed = _observations(ranges)
    # The last quarter is a set of its own, which counts nearly as much as the other.
    observed = dataclasses.replace(observed, weights=np.repeat([1.02 / 300, 0.98 / 100], [300, 100]))
    within = dict(measured_within(observed, np.ones((400, 2))))
    assert within[0.5] == pytest.approx(1)
    assert within[0.8] == pytest.approx(3)


def test_ranks_correlate_whatever_the_scale_and_a_constant_with_nothing() -> None:
    numbers = np.array([3.0, 1.0, 2.0, 2.0])
    assert rank_correlation(numbers, np.exp(numbers)) == pytest.approx(1)
    assert rank_correlation(numbers, -numbers) == pytest.approx(-1)
    assert rank_correlation(numbers, np.ones(4)) == 0


# Kinds --------------------------------------------------------------------------------------------------


def test_a_value_s_interval_becomes_a_range_and_its_last_year_counts_whole() -> None:
    task = CATALOGUE["age"]
    found = kind_of(task).error_ranges(
        task, np.array([[24.0], [33.0]]), np.array([[20.0, 29.0], [30.0, 30.0]]), input_size=64
    )
    assert found.tolist() == [[[-4.0, 6.0]], [[-3.0, -3.0]]]


def test_angles_differ_the_short_way_round() -> None:
    from runtime.pose import rotation_from_angles

    task = CATALOGUE["head_pose"]
    answers, targets = (
        rotation_from_angles([[10.0, -5.0, 179.0], [0.0, 0.0, 0.0]]),
        rotation_from_angles([[13.0, -4.0, -179.0], [0.0, 0.0, 0.0]]),
    )
    found = kind_of(task).error_ranges(task, answers, targets, input_size=64)
    assert found[..., 0] == pytest.approx(np.array([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0]]), abs=1e-3)
    assert (found[..., 0] == found[..., 1]).all()


def test_a_point_s_error_is_its_distance_in_pixels_of_the_crop() -> None:
    task = CATALOGUE["landmarks"]
    targets = np.full((1, 68, 2), 0.5, np.float32)
    targets[0, 3] = np.nan
    answers = np.full((1, 68, 2), 31.5)  # the middle of 64 pixels
    answers[0, 0] += [3.0, 4.0]
    found = kind_of(task).error_ranges(task, answers, targets, input_size=64)[0, :, 0]
    assert found[0] == pytest.approx(5)
    assert np.isnan(found[3])
    assert np.delete(found, [0, 3]) == pytest.approx(0)


# The command --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("errors")
    make_set(root / "made", count=160, tasks=TASKS)
    return root


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    made = error_checkpoint(tasks=(*TASKS, "landmarks", "gender"), errors=())
    return dataclasses.replace(made, card={"sources": [{"name": "made"}], "aside": 0.6})


@pytest.fixture(scope="module")
def written(base: Checkpoint, data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("fitted")
    save_checkpoint(folder / "model.safetensors", base)
    output = folder / "errors.safetensors"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fit, "_STEPS", 100)
        assert command.main(_words(folder / "model.safetensors", data, output)) == 0
    return output


def _words(checkpoint: pathlib.Path, data: pathlib.Path, output: pathlib.Path, *more: str) -> list[str]:
    given = [str(checkpoint), "--data", str(data), "--output", str(output)]
    return [*given, "--threads", "1", "--tasks", ",".join(TASKS), "--draws", "1", *more]


def test_the_command_adds_errors_and_leaves_every_answer_as_it_was(
    base: Checkpoint, written: pathlib.Path
) -> None:
    result = load_checkpoint(written)
    pixels = torch.randint(0, 256, (3, 64, 64, 3), generator=torch.Generator().manual_seed(2)).byte()
    with torch.inference_mode():
        before = ExportWrapper(base.model, base.contract)(pixels)
        after = ExportWrapper(result.model, result.contract)(pixels)
    assert list(after) == ["age", "age_error", "head_pose", "head_pose_error", "landmarks", "gender"]
    assert all(torch.equal(values, after[name]) for name, values in before.items())
    assert after["head_pose_error"].shape == (3, 3)
    assert bool((after["age_error"] > 0).all())


def test_the_contract_states_what_was_measured_on_faces_that_no_fit_has_seen(written: pathlib.Path) -> None:
    result = load_checkpoint(written)
    errors = {entry.name: entry.error for entry in result.contract.tasks}
    assert errors["landmarks"] is None
    assert errors["gender"] is None
    for name, unit in (("age", "years"), ("head_pose", "degrees")):
        bounds = errors[name]
        assert bounds is not None
        assert bounds.unit == unit
        assert [share for share, _ in bounds.within] == list(SHARES)
        measured = result.card["errors"][name]["measured"]
        assert measured["made"]["coverage"] == pytest.approx(SHARES, abs=0.1)
        assert measured["made, degraded"]["faces"] == measured["made"]["faces"]


def test_heads_are_fitted_anew_and_those_of_other_tasks_stay(
    written: pathlib.Path, data: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = load_checkpoint(written)
    old_age = old.model.state_dict()["error_heads.by_task.age.weight"]
    monkeypatch.setattr(fit, "_STEPS", 20)
    held_out = [FaceSet(data / "made", holdout_fraction=0.6, held_out=True)]
    result, rows = with_error_heads(old, held_out, tasks=["age"], draws=0, limit=200, seed=1)
    state = result.model.state_dict()
    assert not torch.equal(state["error_heads.by_task.age.weight"], old_age)
    assert torch.equal(
        state["error_heads.by_task.head_pose.weight"],
        old.model.state_dict()["error_heads.by_task.head_pose.weight"],
    )
    assert result.contract.entry("head_pose") == old.contract.entry("head_pose")
    assert result.contract.entry("age").error != old.contract.entry("age").error
    assert {row.task for row in rows} == {"age"}
    assert result.card["errors"]["head_pose"] == old.card["errors"]["head_pose"]


def test_a_person_is_either_learned_from_or_measured_on(data: pathlib.Path) -> None:
    faces = FaceSet(data / "made")
    parts = person_parts(faces)
    assert all(len(set(parts[faces.persons == person])) == 1 for person in set(faces.persons.tolist()))
    assert set(parts.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("change", "words", "reason"),
    [
        (
            {},
            ["--tasks", "gender"],
            "gender can't get an expected error: choose from age, head_pose, landmarks",
        ),
        ({}, ["--tasks", "landmarks"], "0 held-out faces of made are labelled for 'landmarks'"),
        ({}, ["--sets", "nowhere"], "is not a prepared set"),
        ({}, ["--limit", "0"], "--limit 1 or more"),
        ({"aside": 0.02}, [], "too few"),
        ({"aside": 0}, [], "held out no faces"),
    ],
)
def test_what_can_not_be_fitted_is_refused_in_one_sentence_and_writes_nothing(
    base: Checkpoint,
    data: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    words: list[str],
    reason: str,
) -> None:
    changed = dataclasses.replace(base, card={**base.card, **change})
    save_checkpoint(tmp_path / "model.safetensors", changed)
    output = tmp_path / "out.safetensors"
    assert command.main(_words(tmp_path / "model.safetensors", data, output, *words)) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("training.train.errors: ")
    assert reason in complaint
    assert not output.exists()


def test_the_card_can_be_written_as_json(written: pathlib.Path) -> None:
    assert json.dumps(load_checkpoint(written).card)


@pytest.mark.parametrize("trusted", ["human", "render"])
def test_people_s_and_exact_labels_decide_how_an_error_is_read_before_a_teacher_s(
    trusted: str, base: Checkpoint, data: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "_STEPS", 1)
    people, taught = (FaceSet(data / "made", holdout_fraction=0.6, held_out=True) for _ in range(2))
    taught.name = "taught"
    people.manifest["labelled_by"] = {"age": trusted}
    taught.manifest["labelled_by"] = {"age": "a network"}
    taught.columns["age"] = np.asarray(taught.columns["age"] + 500, np.float32)  # far off, all of them
    result, _ = with_error_heads(base, [people, taught], tasks=["age"], draws=0, limit=200, seed=0)
    measured = result.card["errors"]["age"]["measured"]
    assert measured["made"]["coverage"] == pytest.approx(SHARES, abs=0.1)
    assert measured["taught"]["coverage"][0] == 0

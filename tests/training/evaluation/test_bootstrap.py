"""A bootstrap's intervals hold what other samples of faces or persons would give."""

import numpy as np
import pytest

from runtime.pose import rotation_from_angles
from tests.helpers.metrics import metrics, question, random
from training.evaluation.bootstrap import clusters_of, draws, intervals
from training.kinds import kinds


def test_a_calibration_error_s_interval_is_around_it_though_every_draw_raises_it() -> None:
    rng = random()
    asked = question("gender")
    said = rng.random((100, 1))
    answers = np.concatenate([said, 1 - said], axis=1)
    truth = np.eye(2)[(rng.random(100) > said[:, 0]).astype(int)]  # as often as it says
    measure = kinds()["classes"]
    faces = measure.per_face(asked, answers, truth)
    value = metrics(asked, answers, truth)["expected_calibration_error"]

    def ends(**options: dict[str, float]) -> tuple[float, float]:
        return intervals(
            lambda weights: measure.values(asked, faces, weights),
            clusters_of([""] * 100),
            count=200,
            seed=0,
            **options,
        )["expected_calibration_error"]

    plain, moved = ends(), ends(around={"expected_calibration_error": value})
    middle = sum(plain) / 2
    assert middle > 1.15 * value
    assert 0 <= moved[0] < value < moved[1]
    assert moved[1] - moved[0] == pytest.approx(plain[1] - plain[0], rel=0.02)


def test_weights_are_how_often_a_face_is_there() -> None:
    rng = random()
    cases = {
        "expression": (rng.random((20, 7)), np.eye(7)[rng.integers(0, 7, 20)]),
        "action_units": (rng.random((20, 12)), (rng.random((20, 12)) < 0.5).astype(float)),
        "visibility": (rng.random((20, 29)), (rng.random((20, 29)) < 0.5).astype(float)),
        "age": (
            rng.uniform(0, 80, (20, 1)),
            np.repeat(rng.integers(1, 80, (20, 1)), 2, axis=1).astype(float),
        ),
        "head_pose": (
            rotation_from_angles(rng.uniform(-40, 40, (20, 3))),
            rng.uniform(-40, 40, (20, 3)),
        ),
        "landmarks": (rng.uniform(0, 64, (20, 68, 2)), rng.random((20, 68, 2))),
        "parsing": (
            rng.integers(0, 19, (20, 8, 8), dtype=np.uint8),
            rng.integers(0, 19, (20, 8, 8), dtype=np.uint8),
        ),
    }
    came = rng.integers(0, 4, 20)
    for name, (answers, labels) in cases.items():
        asked = question(name)
        repeated = metrics(asked, np.repeat(answers, came, axis=0), np.repeat(labels, came, axis=0))
        weighted = metrics(asked, answers, labels, weights=came[None].astype(float))
        assert weighted == pytest.approx(repeated, nan_ok=True), name


def test_an_interval_holds_what_other_samples_would_have_given() -> None:
    rng = random()
    asked = question("gender")
    covered = 0
    for seed in range(60):
        truth = rng.integers(0, 2, 200)
        right = rng.random(200) < 0.8
        answers = np.eye(2)[np.where(right, truth, 1 - truth)]
        measure = kinds()["classes"]
        faces = measure.per_face(asked, answers, np.eye(2)[truth])
        low, high = intervals(
            lambda weights, faces=faces, measure=measure: measure.values(asked, faces, weights),
            clusters_of([""] * 200),
            count=300,
            seed=seed,
        )["top1_accuracy"]
        covered += low <= 0.8 <= high
    assert 51 <= covered <= 60  # 57 of 60 are expected


def test_the_faces_of_a_person_are_drawn_together() -> None:
    clusters = clusters_of(["a", "b", "a", "", "", "b"])
    assert clusters[0] == clusters[2]
    assert clusters[1] == clusters[5]
    assert len(set(clusters.tolist())) == 4
    weights = np.concatenate(list(draws(clusters, count=50, seed=1)))
    assert weights.shape == (50, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] != weights[:, 3]).any()
    people = weights[:, [0, 1, 3, 4]].sum(axis=1)
    assert (people == 4).all()
    again = np.concatenate(list(draws(clusters, count=50, seed=1)))
    assert (weights == again).all()


def test_persons_who_are_few_make_an_interval_wide() -> None:
    asked = question("gender")
    persons = np.repeat(np.arange(8), 50).astype(str)
    right = np.repeat([1, 1, 1, 1, 1, 1, 0, 0], 50)
    faces = kinds()["classes"].per_face(asked, np.eye(2)[right], np.eye(2)[np.ones(400, int)])

    def width(names: list[str]) -> float:
        found = intervals(
            lambda weights: kinds()["classes"].values(asked, faces, weights),
            clusters_of(names),
            count=200,
            seed=0,
        )["top1_accuracy"]
        return found[1] - found[0]

    assert width(persons.tolist()) > 3 * width([""] * 400)

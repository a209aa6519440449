"""Published figures stand beside ours only where both measure the same."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.faces.labelled_sets import COUNT, ENTRIES, SIZE, knowing
from training.contract import make_contract
from training.data.prepared.face_set import FaceSet
from training.data.readers.lapa import LAPA_OF_68
from training.data.readers.wflw import WFLW_OF_68
from training.evaluation.evaluate import (
    Predictions,
    TaskResult,
    evaluate,
)
from training.evaluation.published_figures import TABLE_5, TABLE_5_AVG, figures_for
from training.evaluation.report import as_markdown, result_as_json
from training.tasks import CATALOGUE


def test_published_figures_are_the_papers_own_sums() -> None:
    for name, row in TABLE_5.items():
        assert round(sum(row) / len(row), 2) == pytest.approx(TABLE_5_AVG[name], abs=0.011)
    (ours, _) = figures_for("action_units", "emotionet", subset="", metric="mean_f1")
    by_unit = [
        figures_for("action_units", "emotionet", subset="", metric=f"f1/{label}")[0].value
        for label in CATALOGUE["action_units"].labels
    ]
    assert ours.value == pytest.approx(np.mean(by_unit), abs=6e-4)
    angles = [
        figures_for("head_pose", "biwi", subset="", metric=f"euler_mean_absolute_error/{label}")[0].value
        for label in CATALOGUE["head_pose"].labels
    ]
    assert figures_for("head_pose", "biwi", subset="", metric="euler_mean_absolute_error")[0].value == (
        pytest.approx(np.mean(angles), abs=0.005)
    )
    assert (
        figures_for("landmarks", "300w", subset="common", metric="normalized_mean_error")[0].value == 0.0266
    )
    assert figures_for("landmarks", "300w", subset="", metric="failure_rate") == ()


def test_a_published_figure_stands_beside_ours(data: Path, tmp_path: Path) -> None:
    (tmp_path / "agedb").symlink_to(data / "people")
    sets = [FaceSet(tmp_path / "agedb", split="test")]
    sets[0].name = "agedb"
    rows = evaluate(knowing(sets), ENTRIES, sets, input_size=SIZE, bootstrap=10)
    age = next(row for row in rows if row.task == "age")
    assert age.published[0].value == 4.67
    assert "Q-Face 4.67 years (Q-Face, table 3)" in as_markdown([age])
    assert result_as_json(age)["published"]["mean_absolute_error"][0]["value"] == 4.67


@pytest.mark.parametrize(
    ("split", "limit", "subset"), [("test", None, True), ("train", None, False), ("test", COUNT - 1, False)]
)
def test_no_published_figure_stands_beside_a_part_of_a_set_or_another_split(
    data: Path, split: str, limit: int | None, subset: bool
) -> None:
    faces = FaceSet(data / "people", split=split)
    faces.name, faces.manifest = "agedb", faces.manifest | {"subset": subset}
    rows = evaluate(knowing([faces]), ENTRIES, [faces], input_size=SIZE, limit=limit, bootstrap=0)
    assert {row.task for row in rows} >= {"age", "gender"}
    assert all(row.published == () and not row.published_by_label for row in rows)
    assert "Q-Face 4.67" not in as_markdown(rows)


def test_figures_of_another_split_than_ours_are_not_kept() -> None:
    assert figures_for("age", "utkface", subset="", metric="mean_absolute_error") == ()
    biwi = figures_for("head_pose", "biwi", subset="", metric="euler_mean_absolute_error")
    assert [one.method for one in biwi] == ["Q-Face", "Multi Head"]


def landmarks_of(name: str, data: Path) -> TaskResult:
    """How exact points are judged when the set is called so."""
    tasks = make_contract([CATALOGUE["landmarks"]], input_size=SIZE).tasks
    faces = FaceSet(data / "parts", split="test")
    faces.name = name

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        rows = (crops[:, SIZE // 2, SIZE // 2, 0].astype(int) - 20) // 2
        return {"landmarks": faces.columns["landmarks"][rows] * SIZE - 0.5}

    return evaluate(answer, tasks, [faces], input_size=SIZE, bootstrap=0)[0]


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("aflw2000", "box_normalized_error"),
        ("300w", "normalized_mean_error"),
        ("wflw", "normalized_mean_error"),
        ("mine", "normalized_mean_error"),
    ],
)
def test_a_set_of_points_is_judged_by_the_size_that_its_protocol_divides_by(
    data: Path, name: str, metric: str
) -> None:
    row = landmarks_of(name, data)
    assert row.metric == metric
    assert f"| landmarks | {name} | 24 | {metric} |" in as_markdown([row])


def test_points_that_are_not_all_of_a_set_s_own_are_told_as_not_its_protocol(data: Path) -> None:
    kept = sum(index is not None for index in (CATALOGUE["visibility"].aligned_labels or {}).values())
    said = {
        "wflw": f"{len(WFLW_OF_68)} of its 98 points",
        "cofw": f"{kept} of its 29 points",
        "lapa": f"{len(LAPA_OF_68)} points made of its 106",
    }
    for name, words in said.items():
        row = landmarks_of(name, data)
        assert row.published == ()
        assert f"| not the official protocol: {words} |" in as_markdown([row])
        assert result_as_json(row)["not_official"] == words
    for name in ("300w", "300vw", "aflw2000"):
        assert "not the official" not in as_markdown([landmarks_of(name, data)])

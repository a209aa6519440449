"""Targets: each row is measured on its own faces, held to its bounds, and set beside the old figure."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from qface_client import Analysis, Face, Mask
from qface_client.kinds.mask import MARGIN
from runtime.contract import QualityEntry
from runtime.image.align import photo_to_crop
from tests.helpers.faces.labelled_sets import COUNT, ENTRIES, SIZE, knowing
from training.contract import make_contract
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face as PreparedFace
from training.data.prepared.writer import margin_of, write_set
from training.data.quality_set.faceless import name_hash
from training.evaluation.metric_accumulator import Bootstrap
from training.evaluation.predictors import Predictor
from training.evaluation.results import Estimate
from training.evaluation.served_photos import SetPhotos
from training.evaluation.targets import __main__ as command
from training.evaluation.targets.faceless import unseen_photos
from training.evaluation.targets.figures import (
    LabelsFrom,
    MetricOf,
    ShareAnswered,
    ShareNotAnswered,
)
from training.evaluation.targets.measure import TargetFigure, measured_targets
from training.evaluation.targets.report import TargetResult, as_json, as_markdown, figures_in, results_of
from training.evaluation.targets.rows import TARGETS
from training.evaluation.targets.target import Bounds, Condition, Target
from training.tasks import CATALOGUE, FACE_QUALITY

AGE = CATALOGUE["age"].labels[0]
OLD = Condition(task="age", label=AGE, low=60)
ROWS = (
    Target(
        name="bias",
        task="age",
        sets=("people",),
        figure=MetricOf(metric="bias"),
        where=(OLD,),
        least=Bounds(low=-4, high=4),
        goal=Bounds(low=-1, high=1),
        open_least=Bounds(low=-2, high=2),
    ),
    Target(
        name="answered",
        task="expression",  # of which nobody has a label
        sets=("people",),
        figure=ShareAnswered(label=CATALOGUE["expression"].labels[0]),
        where=(Condition(task="gender", label="male", low=0.5),),
        least=Bounds(high=0.1),
    ),
    Target(
        name="units",
        task="action_units",
        sets=("people", "gone"),
        figure=LabelsFrom(metric="f1", least=0.99),
        least=Bounds(low=2),
    ),
    Target(
        name="accuracy",
        task="gender",
        sets=("people",),
        figure=MetricOf(metric="top1_accuracy"),
        least=Bounds(low=0.7),
        goal=Bounds(low=0.75),
    ),
    Target(name="nowhere", task="gender", sets=("gone",), figure=MetricOf(metric="top1_accuracy")),
    Target(name="nothing", task="race", sets=("people",), figure=MetricOf(metric="top1_accuracy")),
    Target(name="errors", task="age", sets=("people",), figure=MetricOf(metric="interval_coverage_80")),
)


@pytest.fixture(scope="module")
def figures(data: Path) -> dict[str, TargetFigure | str]:
    sets = [FaceSet(data / "people", split="test")]
    network = Predictor(
        name="knowing", predict=knowing(sets, wrong=0.2), tasks=ENTRIES, input_size=SIZE, contract=""
    )
    return measured_targets(network, ROWS, sets, photos={}, bootstrap=Bootstrap(draws=50, seed=0))


def test_each_row_is_measured_on_its_own_faces(data: Path, figures: dict[str, TargetFigure | str]) -> None:
    faces = FaceSet(data / "people", split="test")
    bias, answered, units, accuracy = (figures[row.name] for row in ROWS[:4])
    assert isinstance(bias, TargetFigure)
    assert bias.faces == int((faces.columns["age"][:, 0] >= 60).sum()) < COUNT
    assert bias.estimate.value == pytest.approx(3, abs=1e-5)
    assert isinstance(answered, TargetFigure)
    male = CATALOGUE["gender"].labels.index("male")
    assert answered.faces == int(faces.columns["gender"][:, male].sum())
    assert answered.estimate.value == 1  # of seven equal probabilities the first
    assert isinstance(units, TargetFigure)
    assert (units.estimate.value, units.sets, units.sent) == (0, ("people",), ("crop",))
    assert isinstance(accuracy, TargetFigure)
    assert accuracy.estimate.low < accuracy.estimate.value < accuracy.estimate.high
    assert [figures[row.name] for row in ROWS[4:]] == ["no such faces in gone", "not answered", "not defined"]


def test_what_is_reached_stands_in_the_table_and_in_its_file(
    figures: dict[str, TargetFigure | str], tmp_path: Path
) -> None:
    results = results_of(ROWS, figures, {"bias": Estimate(value=9.0, low=8.0, high=10.0)}, minima="full")
    verdicts = {result.name: result.verdict for result in results}
    assert verdicts == {
        "bias": "reached",
        "answered": "not reached",
        "units": "not reached",
        "accuracy": "goal reached",
        "nowhere": "-",
        "nothing": "-",
        "errors": "-",
    }
    table = as_markdown(results, new="this", old="that")
    assert "| 9.00 [8.00, 10.00] years | 3.00 [3.00, 3.00] years | -4.00 to 4.00 years |" in table
    assert "| 0 [0, 0] of 12 | 2 of 12 | - | not reached |" in table
    assert "2 of 4 are reached, of 1 the goal." in table
    path = tmp_path / "targets.json"
    path.write_text(as_json(results, new={"name": "this"}, old="that", options={"data": tmp_path}))
    name, read = figures_in(path)
    assert (name, set(read)) == ("this", {"bias", "answered", "units", "accuracy"})
    assert read["bias"].value == pytest.approx(3, abs=1e-5)
    (tmp_path / "other.json").write_text('{"format": 1, "rows": [{}]}')
    with pytest.raises(ValueError, match=r"other.json has no targets' figures"):
        figures_in(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("low", "value", "high", "direction", "verdict"),
    [
        (0.7, 0.8, 0.9, 1, "reached"),  # the old 0.88 lies within
        (0.7, 0.8, 0.85, 1, "not reached"),
        (0.9, 0.95, 1.0, 1, "reached"),
        (0.9, 0.95, 1.0, -1, "not reached"),
        (0.7, 0.9, 1.0, -1, "reached"),
        (0.1, 0.2, 0.3, 0, "-"),  # neither more nor less is better
    ],
)
def test_where_open_sources_have_no_bound_of_their_own_the_old_figure_is_it(
    low: float, value: float, high: float, direction: int, verdict: str
) -> None:
    figure = TargetFigure(
        estimate=Estimate(value=value, low=low, high=high), faces=9, not_found=0, sent=("crop",), sets=("a",)
    )
    result = TargetResult(
        name="x",
        unit="",
        figure=figure,
        old=Estimate(value=0.88),
        least=None,
        goal=None,
        no_worse=True,
        direction=direction,
    )
    assert result.verdict == verdict
    assert dataclasses.replace(result, old=None).verdict == "-"


def test_open_sources_have_bounds_of_their_own(figures: dict[str, TargetFigure | str]) -> None:
    results = results_of(ROWS, figures, {}, minima="open")
    assert results[0].verdict == "not reached"
    assert [result.least for result in results[1:]] == [None] * (len(ROWS) - 1)


def test_what_a_minimum_of_quality_loses_and_answers(data: Path, tmp_path: Path) -> None:
    """Of the set's faces those below the contract's minimum; of photos those that nothing was chosen by."""
    faces = FaceSet(data / "people", split="test")
    entries = make_contract([CATALOGUE[FACE_QUALITY]], input_size=SIZE).tasks
    label = CATALOGUE[FACE_QUALITY].labels[0]
    for i in range(20):
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((8, 8, 3), np.uint8))
    network = Predictor(
        name="server",
        predict=lambda crops: {FACE_QUALITY: crops[:, :1, 0, 0] / 255.0},
        tasks=entries,
        input_size=SIZE,
        contract="",
        quality=QualityEntry(task=FACE_QUALITY, label=label, minimum=0.2),
        faces_answered=lambda photo: int(photo.stem == "3"),
    )
    rows = (
        Target(
            name="lost", task=FACE_QUALITY, sets=("people",), figure=ShareNotAnswered(label=label), least=None
        ),
        Target(
            name="answered", task=FACE_QUALITY, sets=(), figure=ShareNotAnswered(label=label), faceless=True
        ),
    )
    settings: dict[str, Any] = {"photos": {}, "bootstrap": Bootstrap(draws=20, seed=0)}
    photos = unseen_photos(tmp_path, data=data)
    found = measured_targets(network, rows, [faces], faceless=photos, **settings)
    lost, answered = found["lost"], found["answered"]
    assert isinstance(lost, TargetFigure)
    assert lost.estimate.value == pytest.approx(np.mean([20 + 2 * i < 51 for i in range(COUNT)]))
    assert isinstance(answered, TargetFigure)
    assert (answered.faces, answered.estimate.value) == (20, 1 / 20)
    side = SIZE + 2 * margin_of(SIZE)
    for person, least in (("3.png", 0.75), ("of another folder.png", 0.5)):
        black = np.zeros((side, side, 3), np.uint8)
        learned = PreparedFace(key="a", pixels=black, split="test", person=person)
        made = tmp_path / str(least)
        write_set(made / FACE_QUALITY, [learned], size=SIZE, options={"background_share": 0.5})
        unseen = {photo.name for photo in unseen_photos(tmp_path, data=made)}
        assert unseen == {name for i in range(20) if name_hash(name := f"{i}.png") >= least}
        assert 0 < len(unseen) < 20
    bare = dataclasses.replace(network, faces_answered=None)
    none = measured_targets(bare, rows, [faces], faceless=photos, **settings)
    assert none["answered"] == "no photos without faces are sent"


def test_the_shipped_rows_fit_the_catalogue() -> None:
    assert len({row.name for row in TARGETS}) == len(TARGETS)
    for row in TARGETS:
        assert row.task in CATALOGUE
        assert all(condition.label in CATALOGUE[condition.task].labels for condition in row.where)
        if isinstance(row.figure, ShareAnswered):
            assert row.figure.label in CATALOGUE[row.task].labels


def test_the_command_measures_a_checkpoint_and_reads_its_own_file_as_the_old_one(
    checkpoint: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "TARGETS", ROWS)
    words = [str(checkpoint), "--data", str(data), "--limit", "16", "--bootstrap", "10"]
    assert command.main([*words, "--json", str(tmp_path / "old.json"), "--name", "first"]) == 0
    files = ["--json", str(tmp_path / "new.json"), "--markdown", str(tmp_path / "new.md")]
    assert command.main([*words, "--beside", str(tmp_path / "old.json"), "--fail", *files]) == 1
    assert "| old: first |" in (tmp_path / "new.md").read_text()
    rows = json.loads((tmp_path / "new.json").read_text())["rows"]
    assert rows[0]["old"] == rows[0]["value"]
    capsys.readouterr()
    assert command.main([*words, "--photos", f"people={tmp_path}"]) == 2
    assert "--photos are sent to a server" in capsys.readouterr().err


def test_masks_are_compared_in_the_photo_s_pixels_also_where_no_crop_is(tmp_path: Path) -> None:
    """The answer's crop is the photo's left half, and right there; the labelled class fills all of it."""
    source, size = tmp_path / "photos", 64
    for folder in ("images", "masks"):
        (source / folder).mkdir(parents=True)
    five = np.array([[22, 24], [42, 24], [32, 34], [24, 44], [40, 44]], np.float64)
    forward = photo_to_crop(width=size, height=size, landmarks=five, size=SIZE)
    forward[:, 2] += margin_of(SIZE)
    for i in range(8):  # of which the last is for testing
        assert cv2.imwrite(str(source / "images" / f"{i}.png"), np.zeros((size, size, 3), np.uint8))
        assert cv2.imwrite(str(source / "masks" / f"{i}.png"), np.full((size, size), 13, np.uint8))
    side = SIZE + 2 * margin_of(SIZE)
    made = PreparedFace(
        key="images/7.png",
        pixels=np.zeros((side, side, 3), np.uint8),
        split="test",
        masks={"parsing": np.full((side, side), 13, np.uint8)},
        forward=forward,
    )
    write_set(tmp_path / "made" / "celebamask_hq", [made], size=SIZE, options={"layout": "celebamask_hq"})
    faces = FaceSet(tmp_path / "made" / "celebamask_hq", split="test")
    labels = CATALOGUE["parsing"].labels
    left_half = Mask(
        ids=np.full((size, size // 2), 13, np.uint8), labels=labels, to_photo=np.eye(2, 3, dtype=np.float32)
    )

    def analyze(photo: Any, tasks: Sequence[str]) -> Analysis:
        found = Face(
            box=(16, 16, 48, 48),
            score=0.9,
            landmarks5=five.astype(np.float32),
            contract=None,
            answers={"parsing": left_half},
        )
        return Analysis([found], width=size, height=size, contract=None)

    network = Predictor(
        name="server",
        predict=lambda crops: pytest.fail("a crop was sent"),
        tasks=make_contract([CATALOGUE["parsing"]], input_size=SIZE).tasks,
        input_size=SIZE,
        contract="",
        analyze_photo=analyze,
    )
    (row,) = [row for row in TARGETS if row.in_photo]
    found = measured_targets(
        network,
        [row],
        [faces],
        photos={"celebamask_hq": SetPhotos(faces, source)},
        bootstrap=Bootstrap(draws=0, seed=0),
    )[row.name]
    assert isinstance(found, TargetFigure)
    assert (found.faces, found.sent) == (1, ("photo",))
    # Half of the pixels and a margin beyond them, all of them right.
    columns = size // 2 + int(MARGIN * (size // 2))
    assert found.estimate.value == pytest.approx(2 * columns / (columns + size))

"""What is measured of a network is the same through torch, an ONNX file and a server, and is its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deploy.embedded import EmbeddedServer
from qface_client import _tensors, contract
from runtime.contract import Contract
from runtime.image.align import align_face
from runtime.pose import rotation_from_angles
from runtime.postprocess import postprocess_all
from tests.helpers import fake_v2_server as fake_v2
from tests.helpers import requests as asking
from tests.helpers import standin_network as standin
from tests.helpers.paths import ROOT
from training.contract import make_contract
from training.data.prepared.face_set import FaceSet, prepared_sets
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.data.readers.lapa import LAPA_OF_68
from training.data.readers.wflw import WFLW_OF_68
from training.evaluation.evaluate import (
    Predict,
    Predictions,
    TaskResult,
    evaluate,
    main,
    summary,
    torch_predict,
)
from training.evaluation.predictors import (
    load_predictor,
    onnx_predictor,
    predictions_of_faces,
    server_predictor,
)
from training.evaluation.published_figures import TABLE_5, TABLE_5_AVG, figures_for
from training.evaluation.report import as_markdown, result_as_json, write_text
from training.models import CONFIGS, ExportWrapper, save_checkpoint
from training.tasks import CATALOGUE
from training.train.untrained import untrained

SIZE = 32
MARGIN = margin_of(SIZE)
COUNT = 80
ENTRIES = make_contract(
    [CATALOGUE[name] for name in ("expression", "action_units", "age", "gender", "head_pose")],
    input_size=SIZE,
).to_json()["tasks"]


def pixels(number: int, *, size: int = SIZE) -> NDArray[np.uint8]:
    """A stored crop whose brightness says which face it is."""
    side = size + 2 * margin_of(size)
    return np.full((side, side, 3), 20 + 2 * number, np.uint8)


def faces() -> list[Face]:
    rng = np.random.default_rng(0)
    made = []
    for split in ("train", "test"):
        for number in range(COUNT):
            years = int(rng.integers(1, 80))
            made.append(
                Face(
                    key=f"{split}/{number}.png",
                    pixels=pixels(number),
                    split=split,
                    person=f"{split}{number // 4}",
                    labels={
                        "age": [years, years],
                        "gender": "female" if rng.random() < 0.6 else "male",
                        "action_units": {"AU1": float(rng.random() < 0.3), "AU12": float(rng.random() < 0.5)},
                        "head_pose": rng.uniform(-30, 30, 3).tolist(),
                    },
                )
            )
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared sets: `people` with persons, `parts` with named parts, landmarks and masks."""
    folder = tmp_path_factory.mktemp("prepared")
    write_set(folder / "people", faces(), size=SIZE, title="Made", licence="CC0", labelled_by="a teacher")
    rng = np.random.default_rng(1)
    side = SIZE + 2 * MARGIN
    parts = [
        Face(
            key=f"{number}.png",
            pixels=pixels(number),
            split="test",
            subset=("common", "challenge", "challenge,make-up", "")[number % 4],
            labels={"landmarks": rng.uniform(MARGIN, MARGIN + SIZE, (68, 2)).tolist()},
            masks={"parsing": rng.integers(0, 19, (side, side), dtype=np.uint8)},
        )
        for number in range(24)
    ]
    write_set(folder / "parts", parts, size=SIZE, title="Made", licence="CC0")
    return folder


def knowing(sets: list[FaceSet], *, wrong: float = 0.0) -> Predict:
    """Predicts what the labels say (of the face whose brightness it sees), a share of it wrongly."""
    (faces,) = sets
    rng = np.random.default_rng(5)
    off = rng.random(len(faces)) < wrong

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        rows = (crops[:, SIZE // 2, SIZE // 2, 0].astype(int) - 20) // 2
        column = {name: np.nan_to_num(values[rows]) for name, values in faces.columns.items()}
        gender = column["gender"]
        return {
            "expression": np.full((len(rows), 7), 1 / 7),
            "action_units": np.where(off[rows, None], 1 - column["action_units"], column["action_units"]),
            "age": column["age"][:, :1] + 3,
            "gender": np.where(off[rows, None], 1 - gender, gender),
            "head_pose": rotation_from_angles(column["head_pose"]),
        }

    return answer


@pytest.fixture(scope="module")
def rows(data: Path) -> dict[str, TaskResult]:
    sets = [FaceSet(data / "people", split="test")]
    training = [FaceSet(data / "people", split="train")]
    found = evaluate(
        knowing(sets, wrong=0.2), ENTRIES, sets, input_size=SIZE, training=training, bootstrap=200
    )
    return {row.task: row for row in found}


def test_a_row_says_what_was_measured_on_whom_and_by_whose_labels(rows: dict[str, TaskResult]) -> None:
    assert set(rows) == {"action_units", "age", "gender", "head_pose"}  # nobody has an expression's label
    for row in rows.values():
        assert (row.set, row.subset, row.faces, row.persons) == ("people", "", COUNT, COUNT // 4)
        assert row.labelled_by == "a teacher"
        main = row.values[row.metric]
        assert row.metric == CATALOGUE[row.task].metric
        assert main.low <= main.value <= main.high


def test_values_are_those_of_the_answers(rows: dict[str, TaskResult]) -> None:
    assert rows["age"].values["mean_absolute_error"].value == pytest.approx(3)
    assert rows["head_pose"].values["euler_mean_absolute_error"].value == pytest.approx(0, abs=1e-4)
    wrong = np.random.default_rng(5).random(COUNT) < 0.2
    assert rows["gender"].values["top1_accuracy"].value == pytest.approx(1 - wrong.mean())
    # Labels that nobody is known to have or not to have are not among the metrics' means.
    named = {name for name, found in rows["action_units"].values.items() if not np.isnan(found.value)}
    assert {name for name in named if "/" in name} == {"f1/AU1", "f1/AU12"}


def test_a_trivial_answer_is_learned_from_the_training_split(data: Path, rows: dict[str, TaskResult]) -> None:
    train, test = (FaceSet(data / "people", split=split) for split in ("train", "test"))
    ages = test.columns["age"][:, 0]
    median = np.median(train.columns["age"][:, 0])
    assert median != np.median(ages)
    expected = float(np.abs(ages - median).mean())
    assert rows["age"].constant_baseline["mean_absolute_error"] == pytest.approx(expected, rel=1e-5)
    common = train.columns["gender"].mean(axis=0).argmax()
    assert rows["gender"].constant_baseline["top1_accuracy"] == pytest.approx(
        test.columns["gender"][:, common].mean()
    )
    # Saying yes to everybody has the F1 2p / (1 + p).
    share = test.columns["action_units"][:, CATALOGUE["action_units"].labels.index("AU12")].mean()
    assert rows["action_units"].constant_baseline["f1/AU12"] == pytest.approx(2 * share / (1 + share))


def test_what_is_no_better_than_always_the_same_answer_is_told(
    data: Path, rows: dict[str, TaskResult]
) -> None:
    assert rows["age"].beats_baseline
    assert rows["gender"].beats_baseline
    sets = [FaceSet(data / "people", split="test")]
    guess = knowing(sets, wrong=0.5)
    (row,) = evaluate(guess, [e for e in ENTRIES if e["name"] == "gender"], sets, input_size=SIZE)
    assert not row.beats_baseline
    assert "| no |" in as_markdown([row])


def test_named_parts_of_a_set_have_rows_of_their_own(data: Path) -> None:
    tasks = make_contract([CATALOGUE["landmarks"], CATALOGUE["parsing"]], input_size=SIZE).to_json()["tasks"]
    faces = FaceSet(data / "parts", split="test")
    rng = np.random.default_rng(3)

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        indices = (crops[:, SIZE // 2, SIZE // 2, 0].astype(int) - 20) // 2
        points = faces.columns["landmarks"][indices] * SIZE - 0.5
        away = np.where(indices % 4 == 0, 0.0, 2.0)[:, None, None]
        masks = faces.served_masks("parsing", indices, size=SIZE)
        noise = rng.integers(0, 19, masks.shape, dtype=np.uint8)
        return {"landmarks": points + away, "parsing": np.where(noise < 5, noise, masks)}

    rows = evaluate(answer, tasks, [faces], input_size=SIZE, bootstrap=20)
    found = {(row.task, row.subset): row for row in rows}
    assert {part for task, part in found if task == "landmarks"} == {"", "common", "challenge", "make-up"}
    assert [found["landmarks", part].faces for part in ("", "common", "challenge", "make-up")] == [
        24,
        6,
        12,
        6,
    ]
    assert found["landmarks", "common"].values["normalized_mean_error"].value == pytest.approx(0, abs=1e-5)
    assert found["landmarks", "challenge"].values["box_normalized_error"].value > 0.05
    assert found["parsing", ""].beats_baseline
    assert "parts (common)" in as_markdown(rows)


def test_a_limit_takes_faces_from_all_over_the_set(data: Path) -> None:
    sets = [FaceSet(data / "people", split="test")]
    seen: list[int] = []
    answer = knowing(sets)

    def watched(crops: NDArray[np.uint8]) -> Predictions:
        seen.extend(((crops[:, 0, 0, 0].astype(int) - 20) // 2).tolist())
        return answer(crops)

    (row, *_) = evaluate(watched, ENTRIES, sets, input_size=SIZE, limit=8, bootstrap=0)
    assert row.faces == 8
    assert seen == list(range(0, COUNT, COUNT // 8))
    assert np.isnan(row.values[row.metric].low)
    assert result_as_json(row)["values"][row.metric][1] is None
    assert row.beats_baseline is None


def test_thresholds_are_fitted_on_other_faces(data: Path) -> None:
    train, test = ([FaceSet(data / "people", split=split)] for split in ("train", "test"))

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        return {"action_units": np.tile(crops[:, :1, 0, 0] / 1000, (1, 12))}  # all below one half

    entries = [entry for entry in ENTRIES if entry["name"] == "action_units"]
    (row,) = evaluate(answer, entries, test, input_size=SIZE, bootstrap=20, validation=train)
    assert row.values["mean_f1"].value == 0
    assert row.values["mean_f1_fitted"].value > 0.3
    (row,) = evaluate(answer, entries, test, input_size=SIZE, bootstrap=20)
    assert "mean_f1_fitted" not in row.values


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda said: said.pop("age"), "does not answer age, which its contract promises"),
        (
            lambda said: said.update(age=said["age"][:, 0]),
            r"age is answered in the shape \[32\] and not \[32, 1\]",
        ),
        (
            lambda said: said["gender"].__setitem__((5, 0), np.nan),
            "gender about test/5.png of people is not finite",
        ),
    ],
)
def test_answers_that_are_none_stop_the_evaluation_and_name_the_face(
    data: Path, change: Any, sentence: str
) -> None:
    sets = [FaceSet(data / "people", split="test")]
    right = knowing(sets)

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        said = right(crops)
        change(said)
        return said

    with pytest.raises(ValueError, match=sentence):
        evaluate(answer, ENTRIES, sets, input_size=SIZE, bootstrap=0)


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
    tasks = make_contract([CATALOGUE["landmarks"]], input_size=SIZE).to_json()["tasks"]
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


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "test.safetensors"
    save_checkpoint(path, untrained(CONFIGS["qface_test"], seed=1))
    return path


def test_a_checkpoint_is_evaluated_by_the_command_line(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    words = [str(checkpoint), "--data", str(data), "--bootstrap", "50", "--limit", "16"]
    files = ["--json", str(tmp_path / "e.json"), "--markdown", str(tmp_path / "e.md")]
    assert main([*words, *files]) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "e.md").read_text().strip() == said.strip()
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["network"] == str(checkpoint)
    assert {(row["task"], row["set"]) for row in found["rows"]} == {
        ("action_units", "people"),
        ("age", "people"),
        ("gender", "people"),
        ("head_pose", "people"),
        ("landmarks", "parts"),
        ("parsing", "parts"),
    }
    assert all(row["faces"] <= 16 for row in found["rows"])
    assert not list(tmp_path.glob("*.partial"))
    again = ["--json", str(tmp_path / "again.json"), "--sets", "parts"]
    assert main([*words, *again]) == 0
    repeated = json.loads((tmp_path / "again.json").read_text())["rows"]
    assert repeated == [row for row in found["rows"] if row["set"] == "parts"]


def test_an_onnx_file_is_asked_by_its_own_contract(data: Path, tmp_path: Path) -> None:
    network = make_contract(
        [CATALOGUE[name] for name in ("age", "head_pose", "landmarks")], input_size=SIZE
    ).to_json()
    path = standin.write(tmp_path / "model.onnx", network)
    predictor = onnx_predictor(path)
    assert (predictor.input_size, predictor.contract) == (SIZE, network["hash"])
    sets = prepared_sets(data)
    found = summary(evaluate(predictor.predict, predictor.tasks, sets, input_size=SIZE, bootstrap=0))
    assert set(found) >= {"age on people", "head_pose on people", "landmarks on parts"}
    assert set(found["age on people"]) == {"faces", "mean_absolute_error", "ccc", "trivial"}


def test_the_client_s_answers_are_the_network_s(checkpoint: Path) -> None:
    """Heads -> the server's postprocessing -> the client -> heads again, for every kind of task."""
    predictor = load_predictor(str(checkpoint))
    words = {
        "version": 1,
        "hash": predictor.contract,
        "input_size": predictor.input_size,
        "tasks": list(predictor.tasks),
    }
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    heads = predictor.predict(crops)
    assert {entry["kind"] for entry in predictor.tasks} == {str(task.kind) for task in CATALOGUE.values()}
    identity = np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1))
    tensors = postprocess_all(Contract.parse(words), heads, identity)
    read = contract.parse_contract(json.dumps(words))
    again = predictions_of_faces(_tensors.read_tasks(tensors, tasks=read.tasks, count=3), read)
    assert set(again) == set(heads)
    for name, values in heads.items():
        assert again[name].shape == values.shape
        assert np.abs(again[name].astype(float) - values).max() < 1e-4, name


def test_what_is_served_reaches_what_its_checkpoint_reaches(server: EmbeddedServer, tmp_path: Path) -> None:
    """The shipped weights on crops of the portrait, through torch and through the running server."""
    portrait = asking.astronaut()
    side = 112 + 2 * margin_of(112)
    rng = np.random.default_rng(0)
    made = []
    for number in range(40):
        crop, _ = align_face(portrait, landmarks=asking.LANDMARKS + rng.normal(0, 4, (5, 2)), size=side)
        years = int(rng.integers(20, 60))
        labels = {
            "age": [years, years],
            "gender": "female",
            "expression": "happiness" if number % 3 else "neutral",
            "head_pose": rng.uniform(-20, 20, 3).tolist(),
            "attributes": {"Smiling": float(number % 2), "Male": 0.0},
        }
        made.append(Face(key=str(number), pixels=crop, split="test", labels=labels))
    write_set(tmp_path / "portraits", made, title="Made", licence="CC0")
    sets = prepared_sets(tmp_path)
    found = []
    for predictor in (
        load_predictor(str(ROOT / "weights" / "qface-tiny.safetensors")),
        server_predictor(f"grpc://{server.grpc_address}"),
    ):
        rows = evaluate(
            predictor.predict, predictor.tasks, sets, input_size=predictor.input_size, bootstrap=0
        )
        found.append(summary(rows))
    trained, served = found
    assert set(trained) == set(served)
    assert len(trained) == 5
    for name, figures_of in trained.items():
        assert served[name] == pytest.approx(figures_of, abs=0.03, nan_ok=True), name


@pytest.fixture
def fake() -> Iterator[tuple[fake_v2.FakeServer, str]]:
    served = fake_v2.FakeServer(fake_v2.contract_of(fake_v2.classes("gender", ["female", "male"])))
    running = fake_v2.serve(served)
    yield served, next(running)
    running.close()


def test_a_server_s_labels_are_read_from_its_contract(
    fake: tuple[fake_v2.FakeServer, str], data: Path
) -> None:
    """Its labels stand in another order than the catalogue's; its first one always wins."""
    _, address = fake
    predictor = server_predictor(f"grpc://{address}")
    assert predictor.input_size == 128
    sets = [FaceSet(data / "people", split="test")]
    (row,) = evaluate(predictor.predict, predictor.tasks, sets, input_size=predictor.input_size, bootstrap=0)
    women = sets[0].columns["gender"][:, CATALOGUE["gender"].labels.index("female")].mean()
    assert row.values["top1_accuracy"].value == pytest.approx(women)


def test_a_server_whose_contract_changes_on_the_way_gives_no_table(
    fake: tuple[fake_v2.FakeServer, str], data: Path
) -> None:
    served, address = fake
    predictor = server_predictor(f"grpc://{address}")
    served.contract = fake_v2.contract_of(fake_v2.classes("gender", ["male", "female"]))
    with pytest.raises(ValueError, match="the server answers by contract"):
        predictor.predict(np.zeros((2, 128, 128, 3), np.uint8))


@pytest.mark.parametrize(
    ("network", "options", "sentence"),
    [
        ("{gone}", [], "gone does not exist"),
        ("{text}", [], "is not a safetensors file"),
        ("{onnx}", [], "is no ONNX file that can be run"),
        ("{bare}", [], "does not hold a whole contract"),
        ("{gone}.onnx", [], "does not exist"),
        ("{other}", [], "was trained on crops of the kind 'box'"),
        ("http://localhost:8000", [], "give grpc://host:port"),
        ("grpc://localhost:{port}", [], "no server answers at localhost"),
        ("{checkpoint}", ["--data", "{empty}"], "there is no prepared set"),
        ("{checkpoint}", ["--sets", "celeba"], "celeba"),
        ("{checkpoint}", ["--split", "validation"], "validation"),
        ("{checkpoint}", ["--limit", "-3"], "--limit must be 1 or more"),
        ("{checkpoint}", ["--device", "abacus"], "'abacus' can't be used here"),
        ("{checkpoint}", ["--json", "{text}/e.json", "--limit", "2", "--bootstrap", "0"], "can't be written"),
    ],
)
def test_what_can_t_be_evaluated_is_told_in_one_line(
    network: str,
    options: list[str],
    sentence: str,
    checkpoint: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text").write_text("no network")
    (tmp_path / "broken.onnx").write_text("no network")
    (tmp_path / "empty").mkdir()
    standin.write(tmp_path / "bare.onnx", standin.contract_of("age"), metadata={})
    standin.write(
        tmp_path / "other.onnx", make_contract([CATALOGUE["age"]], input_size=SIZE, crop="box").to_json()
    )
    places = {
        "other": tmp_path / "other.onnx",
        "gone": tmp_path / "gone",
        "text": tmp_path / "text",
        "onnx": tmp_path / "broken.onnx",
        "bare": tmp_path / "bare.onnx",
        "empty": tmp_path / "empty",
        "checkpoint": checkpoint,
        "port": fake_v2.closed_port() if "port" in network else 0,
    }
    words = [word.format(**places) for word in (network, "--data", str(data), *options)]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("training.evaluation.evaluate: ")
    assert said.count("\n") == 1
    assert sentence in said


def test_a_file_that_can_t_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.md"
    path.write_text("before")

    def full(self: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ValueError, match="No space left on device"):
        write_text(path, "after")
    assert path.read_text() == "before"


def test_torch_s_answers_come_from_the_device_that_holds_the_weights() -> None:
    checkpoint = untrained(CONFIGS["qface_test"], seed=0)
    answered = torch_predict(ExportWrapper(checkpoint.model, checkpoint.contract))(
        np.zeros((2, 64, 64, 3), np.uint8)
    )
    assert {name: len(values) for name, values in answered.items()} == dict.fromkeys(answered, 2)
    assert answered["parsing"].dtype == np.uint8

"""The ablation trains the paper's four methods on whatever is there, goes on after a stop, and adds up."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.models import load_checkpoint
from training.research.ablation import METHODS, Ablation, as_table, average, main
from training.tasks import CATALOGUE
from training.train.loop.distributed import Distributed
from training.train.overrides import overridden
from training.train.recipes import run_named
from training.train.trainer import Trainer

SIZE = 64
QUICK = (
    *("--steps", "2", "--threads", "1", "--device", "cpu", "--set", "warmup_steps=1", "--set", "workers=0"),
    *("--set", "trackers=none", "--set", "sources.people.batch=4", "--set", "sources.moods.batch=4"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`people` with ages and poses, `moods` with expressions and a mask, `marks` with points only."""
    folder = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(0)
    side = SIZE + 2 * margin_of(SIZE)
    moods = CATALOGUE["expression"].labels
    by_set: dict[str, list[Face]] = {"people": [], "moods": [], "marks": []}
    for number in range(28):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        split = "train" if number % 2 else "test"
        years = int(rng.integers(1, 90))
        points = rng.uniform(0, side, (68, 2)).tolist()
        labels = {
            "people": {"age": [years, years], "head_pose": rng.uniform(-30, 30, 3).tolist()},
            "moods": {"expression": moods[number // 2 % 7]},
            "marks": {"landmarks": points},
        }
        for name, faces in by_set.items():
            masks = {"parsing": rng.integers(0, 19, (side, side), dtype=np.uint8)} if name == "moods" else {}
            faces.append(Face(key=str(number), pixels=pixels, split=split, labels=labels[name], masks=masks))
    for name, faces in by_set.items():
        write_set(folder / name, faces, size=SIZE)
    return folder


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ablation of two steps a network."""
    folder = tmp_path_factory.mktemp("runs") / "ablation"
    words = ["--data", str(data), "--run", str(folder), "--sets", "people,moods", *QUICK]
    assert main(words) == 0
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_the_papers_methods_and_their_mean(made: Path) -> None:
    lines = (made / "table.md").read_text().splitlines()
    heading = cells(lines[0])
    assert (heading[:4], heading[-1]) == (["method", "MT", "QD", "MFF"], "AVG")
    assert sorted(heading[4:-1]) == [
        "age on people (CCC)",
        "expression on moods (F1)",
        "head_pose on people (CCC)",
    ]
    rows = {cells(line)[0]: cells(line)[1:] for line in lines[2:6]}
    assert list(rows) == ["task-specific", "multi-head", "without fusion", "full"]
    assert [rows[method.name][:3].count("yes") for method in METHODS] == [0, 1, 2, 3]
    for row in rows.values():
        numbers = [float(cell) for cell in row[3:]]
        assert numbers[-1] == pytest.approx(np.mean(numbers[:-1]), abs=0.011)
    assert lines[6].startswith("| 95 % interval")
    published = (made / "table.md").read_text().split("The paper's")[1]
    assert "| full | yes | yes | yes | 73.58 | 70.36 | 87.96 | 93.53 | 96.41 | 84.37 |" in published


def test_every_method_is_the_network_that_it_is_called(made: Path) -> None:
    configs = {
        path.parent.name: load_checkpoint(path).model.config for path in made.glob("*/model.safetensors")
    }
    alone = {name: config for name, config in configs.items() if name.startswith("task-specific")}
    assert {config.tasks for config in alone.values()} == {("age",), ("head_pose",), ("expression",)}
    assert {config.head for config in alone.values()} == {"pooled"}
    full, multi_head, plain = (configs[name] for name in ("full", "multi-head", "without-fusion"))
    assert set(full.tasks) == set(multi_head.tasks) == {"age", "head_pose", "expression"}
    assert (multi_head.head, full.head, plain.head) == ("pooled", "queries", "queries")
    assert len(full.stages) == 3
    assert full.fusion_block
    assert plain.stages == full.stages[-1:]
    assert not plain.fusion_block


def test_a_network_for_one_task_sees_the_sets_that_have_its_labels_at_the_same_rate(
    data: Path, tmp_path: Path
) -> None:
    whole = Ablation.on(
        run_named("qface_test"), data=data, folder=tmp_path, sets=["people", "moods"], limit=None
    )
    alone = whole.runs(METHODS[0])
    assert {name: [source.name for source in run.sources] for name, run in alone.items()} == {
        "task-specific-expression": ["moods"],
        "task-specific-age": ["people"],
        "task-specific-head_pose": ["people"],
    }
    (full,) = whole.runs(METHODS[-1]).values()
    for run in alone.values():
        assert (run.steps, run.learning_rate, run.seed) == (full.steps, full.learning_rate, full.seed)
        assert all(source in full.sources for source in run.sources)


def test_what_is_finished_is_not_trained_again_and_what_is_not_goes_on(
    data: Path, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (made / "table.md").read_text()
    (made / "table.md").unlink()
    (made / "full" / "result.json").unlink()  # killed while it was judged
    trained: list[str] = []
    train = Trainer.train

    def watched(self: Trainer) -> None:
        trained.append(self.folder.name)
        train(self)

    monkeypatch.setattr(Trainer, "train", watched)
    words = ["--data", str(data), "--run", str(made), "--sets", "people,moods", *QUICK]
    assert main(words) == 0
    assert trained == ["full"]
    assert (made / "table.md").read_text() == before
    capsys.readouterr()
    assert main([*words, "--set", "seed=9"]) == 2
    assert "other settings" in capsys.readouterr().err
    assert (made / "table.md").read_text() == before


@pytest.mark.parametrize("rank", [0, 1])
def test_the_next_network_is_made_when_the_last_one_is_judged(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    settings = ["steps=1", "warmup_steps=0", "workers=0", "trackers=none", "bf16=false"]
    run = overridden(run_named("qface_test"), settings)
    one = Ablation.on(run, data=data, folder=tmp_path, sets=["people"], limit=None)
    result = tmp_path / "full" / "result.json"
    waited: list[bool] = []
    monkeypatch.setattr(Distributed, "wait", lambda self: waited.append(result.exists()))
    rows = one.result(METHODS[-1], where=Distributed(rank=rank, world=1, device=torch.device("cpu")))
    assert bool(rows) == (rank == 0)
    # For the checkpoint, then for the result.
    assert waited == [False, rank == 0]


def test_fixed_and_learned_weights_stand_side_by_side(data: Path, tmp_path: Path) -> None:
    words = [
        "--data",
        str(data),
        "--run",
        str(tmp_path),
        "--table",
        "balance",
        "--sets",
        "people",
        *QUICK[:-2],
    ]
    assert main(words) == 0
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [cells(line)[0] for line in lines[2:4]] == ["fixed", "uncertainty"]
    assert "The paper's" not in "".join(lines)
    assert set(json.loads((tmp_path / "table.json").read_text())) == {"fixed", "uncertainty"}


def test_a_number_that_is_missing_leaves_no_mean() -> None:
    assert average([0.5, 0.7]) == pytest.approx(0.6)
    assert average([0.5, None]) is None
    assert average([]) is None
    rows = [{"task": "age", "set": "people", "values": {"ccc": [None, None, None]}}]
    line = as_table({"full": rows}, kind="methods").splitlines()[2]
    assert cells(line) == ["full", "yes", "yes", "yes", "-", "-"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--sets", "marks"], "no set under"),
        (["--sets", "nobody"], "nobody"),
        (["--config", "qface_huge"], "there is no run 'qface_huge'"),
        (["--config", "facexformer", "--sets", "people"], "facexformer is no Q-Face"),
        (["--sets", "people", "--steps", "1", "--set", "warmup_steps=1"], "leave none after"),
    ],
)
def test_what_can_t_be_compared_is_told_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert main(["--data", str(data), "--output", str(tmp_path), *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert sentence in said

"""The papers' tables and figures are made by one command, of miniature releases in the makers' layouts."""

import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.detect.detector_engine import load_detector
from tests.helpers.faces.official_releases import RELEASES
from training.data import prepare
from training.data.__main__ import main as data_command
from training.paper.__main__ import main
from training.paper.caveats import differing_settings
from training.paper.experiment import MEAN
from training.paper.registry import EXPERIMENTS
from training.paper.report import as_table, ours
from training.train.trainer import Trainer

SIZE = 64
BOXED = ("lapa", "300w", "300w_lp", "celeba", "cofw", "utkface", "fairface", "biwi")
ALIGNED = ("rafdb", "emotionet", "celeba", "agedb", "biwi", "glint360k")
QUICK = (
    *("--quick", "--threads", "1", "--device", "cpu", "--set", "steps=2", "--set", "warmup_steps=0"),
    *("--set", "workers=0", "--set", "trackers=none", "--set-pretraining", "workers=0"),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Sets prepared by the command: aligned crops for Q-Face, boxes for FaceXFormer."""
    root = tmp_path_factory.mktemp("papers")
    for name, write in RELEASES.items():
        write(root / "releases" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "load_detector", functools.cache(load_detector))
        for crop, names in (("aligned", ALIGNED), ("box", BOXED)):
            for name in names:
                words = ["prepare", name, "--source", str(root / "releases" / name), "--subset"]
                words += ["--size", str(SIZE), "--crop", crop, "--output", str(root / crop)]
                assert data_command(words) == 0
    return str(root / "aligned"), str(root / "box")


@pytest.fixture(scope="module")
def made(folders: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tables and figures, of two steps a network."""
    run = tmp_path_factory.mktemp("made")
    assert main(["all", "--data", *folders, "--run", str(run), *QUICK]) == 0
    return run


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_table_and_figure_is_made_of_stand_ins_and_says_that_it_means_nothing(
    made: Path, name: str
) -> None:
    experiment, text = EXPERIMENTS[name], (made / f"{name}.md").read_text()
    assert text.startswith(f"# {experiment.paper.name}: {experiment.title}\n")
    assert "**These figures mean nothing**" in text
    assert f"{experiment.sets[0]} is a part of the set (" in text
    content = json.loads((made / f"{name}.json").read_text())
    assert content["means_nothing"]
    assert len(content["claims"]) == len(experiment.claims)
    for claim in content["claims"]:
        if claim["ours"] is None:
            assert claim["metric"].startswith("f1/")  # of a label that none of three faces has
            continue
        assert claim["difference"] == pytest.approx(claim["ours"][0] - claim["published"], abs=2e-6)
    if experiment.draw is not None:
        assert (made / f"{name}.png").stat().st_size > 10_000
    else:
        assert "| method | task | set | metric | published | ours | difference |" in text


def test_reports_tell_what_keeps_them_from_being_comparable(made: Path) -> None:
    table = (made / "table3.md").read_text()
    assert "the network is a tiny one (qface_test) that saw 2 steps" in table
    assert "The paper drew the split of AgeDB at random" in table
    assert "encoder: vit_tiny_patch16_224 for vit_base_patch16_224; pixels: 64 for 224" in table
    assert "epochs: 2 steps for 100" in table
    assert "The paper leaves open: learning rate" in table
    assert "pretrained on 10 faces of Glint360K" in table
    assert "celeba also teaches what else it labels: gender." in table
    parsing = (made / "facexformer_parsing.md").read_text()
    assert "is of a mean over LaPa and CelebAMask-HQ" in parsing
    assert "| 92.01 % (version 3) |" in parsing
    assert "| age | " in (made / "figure5.md").read_text()


def test_what_is_made_is_not_trained_again(
    folders: tuple[str, str], made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: (made / f"{name}.md").read_text() for name in ("table4", "facexformer_pose")}
    monkeypatch.setattr(Trainer, "train", lambda self: pytest.fail("it is trained"))
    assert main([*before, "--data", *folders, "--run", str(made), *QUICK]) == 0
    assert {name: (made / f"{name}.md").read_text() for name in before} == before


def test_a_network_from_elsewhere_is_measured_on_what_is_there_and_the_rest_is_told(
    folders: tuple[str, str], made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(Path(folders[0]) / "agedb", tmp_path / "data" / "agedb")
    network = str(made / "qface" / "full" / "model.safetensors")
    words = ["all", "--data", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*words, "--checkpoint", network]) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["table3.json", "table3.md"]
    assert "Left out. table1, table2, table4, table5, figure4, figure5, facexformer_parsing" in said
    table = json.loads((tmp_path / "run" / "table3.json").read_text())
    trained = json.loads((made / "table3.json").read_text())
    measured = [claim["ours"] for claim in table["claims"] if claim["method"] == "full"]
    assert measured == [claim["ours"] for claim in trained["claims"] if claim["method"] == "full"]
    assert all(claim["ours"] is None for claim in table["claims"] if claim["method"] != "full")
    assert "was not trained by this command" in (tmp_path / "run" / "table3.md").read_text()


def test_a_network_for_boxes_is_measured_on_boxes_alone(
    folders: tuple[str, str], made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aligned, boxes = folders
    words = ["facexformer_attributes", "--run", str(tmp_path), "--device", "cpu"]
    network = str(made / "facexformer" / "model.safetensors")
    assert main([*words, "--data", aligned, "--checkpoint", network]) == 2
    said = capsys.readouterr().err
    assert f"{aligned}/celeba holds aligned crops and box ones are wanted" in said
    assert f"prepare celeba --source DIR --size 64 --crop box --output {aligned}-box`" in said
    assert main([*words, "--data", aligned, boxes, "--checkpoint", network]) == 0
    assert (
        "| FaceXFormer | attributes | celeba | mean_accuracy | 91.83 % (version 3) |"
        in capsys.readouterr().out
    )


def test_all_that_is_lacking_is_told_at_once_with_where_to_ask_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(tmp_path / "none"), "--run", str(tmp_path / "run")]
    assert main(["table1", "table2", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("training.paper: table1, table2 can't be made:\n")
    for name in ALIGNED:
        assert said.count(f"has no {name}: ask for") == 1
        assert f"python -m training.data prepare {name} --source DIR --size 224 --output" in said
    assert "http://www.whdeng.cn/RAF/model1.html" in said
    assert "--set init=FILE" in said
    assert "--checkpoint FILE" in said
    assert not (tmp_path / "run").exists()
    assert main(["all", *words]) == 2


def test_the_list_states_what_is_there(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "--data", *folders, "--quick"]) == 0
    said = capsys.readouterr().out
    for name in EXPERIMENTS:
        (line,) = [line for line in said.splitlines() if line.startswith(f"| {name} |")]
        assert line.endswith("| ready |")
    assert "| rafdb | RAF-DB, basic part (Li et al., CVPR 2017) | non-commercial research | http://" in said
    assert main(["list", "--data", str(tmp_path)]) == 0
    assert "lacks rafdb, celeba, emotionet, agedb, biwi, glint360k" in capsys.readouterr().out


def test_a_dry_run_tells_settings_and_published_figures_and_makes_nothing(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table3", "--data", *folders, "--run", str(tmp_path / "run"), "--dry-run", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "| learning rate | left open | 0.001 |" in said
    assert "| epochs | 100 | 2 steps |" in said
    assert "| Q-Face | age | agedb | mean_absolute_error | 4.67 years | Q-Face, table 3 |" in said
    assert "2 steps, 40 faces" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table9"], "there is no experiment 'table9': choose from table1"),
        (["table1"], "--run DIR is wanting"),
        (["table2", "--sets", "celeba", "--run", "X"], "table2 is measured on emotionet: name some of them"),
        (["table3", "--quick", "--limit", "0", "--run", "X"], "--limit 0 leaves no face"),
        (["table3", "--quick", "--set", "step=1", "--run", "X"], "there is no such field"),
        (["table3", "--quick", "--checkpoint", "none.safetensors", "--run", "X"], "none.safetensors"),
    ],
)
def test_wrong_words_are_told(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert main([*words, "--data", *folders, "--device", "cpu"]) == 2
    assert sentence in capsys.readouterr().err


def test_the_claims_are_those_of_the_papers() -> None:
    counts = {name: len(experiment.claims) for name, experiment in EXPERIMENTS.items()}
    assert [counts[f"table{i}"] for i in range(1, 6)] == [4, 2 * 13, 4, 2 * 4, 4 * 6]
    for claim in EXPERIMENTS["table5"].claims:
        if claim.metric == MEAN:
            rows = {c.method: [] for c in EXPERIMENTS["table5"].claims}
            for other in EXPERIMENTS["table5"].claims:
                numbers = {other.metric: [other.value, None, None]}
                rows[other.method].append(
                    {"task": other.task, "set": other.set, "subset": "", "values": numbers}
                )
            mean = ours(claim, rows, claims=EXPERIMENTS["table5"].claims)
            assert mean is not None
            assert mean.value == pytest.approx(claim.value, abs=1.1e-4)


def test_by_the_papers_settings_nothing_differs_but_what_is_told() -> None:
    qface, facexformer = EXPERIMENTS["table1"], EXPERIMENTS["facexformer_parsing"]
    assert differing_settings(qface, qface.paper.run(quick=False)) == []
    assert differing_settings(facexformer, facexformer.paper.run(quick=False)) == [
        "faces a step (48 on each of 8 GPUs): 48 for 384"
    ]
    assert len(differing_settings(qface, qface.paper.run(quick=True))) > 5


def test_differences_have_their_unit_and_intervals_their_answer() -> None:
    def row(task: str, name: str, metric: str, numbers: list[float | None]) -> dict[str, object]:
        return {"task": task, "set": name, "subset": "", "values": {metric: numbers}}

    table = as_table(
        EXPERIMENTS["table3"],
        {
            "full": [
                row("age", "agedb", "mean_absolute_error", [4.97, 4.8, 5.1]),
                row("gender", "agedb", "top1_accuracy", [0.98, 0.97, 0.99]),
            ],
            "multi-head": [row("age", "agedb", "mean_absolute_error", [None, None, None])],
        },
    )
    lines = table.splitlines()
    assert lines[2].endswith("| 4.82 years | - | - | - |")
    assert lines[4].endswith("| 4.67 years | 4.97 [4.80, 5.10] years | +0.30 years | no |")
    assert lines[5].endswith("| 98.10 % | 98.00 [97.00, 99.00] % | -0.10 points | yes |")

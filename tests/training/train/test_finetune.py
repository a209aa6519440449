"""The trainer on data that it can and can't learn from, and the command."""

import dataclasses
import json
import pathlib

import pytest
import torch

from tests.helpers.faces.synthetic_sets import made_face
from tests.helpers.small_run import SMALL, TASKS, small_run
from training.data.prepared.face_set import FaceSet
from training.data.prepared.writer import write_set
from training.evaluation.evaluate import evaluate, summary, torch_predict
from training.models import CONFIGS, ExportWrapper, load_checkpoint
from training.tasks import CATALOGUE
from training.train import finetune
from training.train import trainer as trainer_module
from training.train.loop.distributed import Distributed
from training.train.run_config import Source
from training.train.trainer import Trainer


def test_a_finished_run_leaves_a_checkpoint_that_says_where_it_came_from(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    trainer = Trainer(
        small_run(model=SMALL, bf16=True, ema_decay=0.9, clip=1.0),
        data=small_data,
        folder=tmp_path,
        where=where,
    )
    trainer.train()
    made = trainer.finish()
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert made is not None
    assert loaded.card == made.card
    assert loaded.card["sources"] == [
        {"name": "made", "licence": "CC0", "training_faces": 12, "labelled_by_teacher": {}, "subset": False}
    ]
    assert (loaded.card["steps"], loaded.card["faces_seen"], loaded.card["seed"]) == (2, 8, 1)
    assert loaded.card["kept_out"]["age on made"]["faces"] == 6
    wrapper = ExportWrapper(loaded.model, loaded.contract)
    rows = evaluate(
        torch_predict(wrapper),
        wrapper.contract.tasks,
        [FaceSet(small_data / "made", split="test")],
        input_size=64,
        bootstrap=0,
        training=[FaceSet(small_data / "made", split="train")],
    )
    assert summary(rows) == made.card["kept_out"]
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert set(lines[0]["losses"]) == set(TASKS)


def test_a_class_without_samples_is_refused_before_the_first_step(
    where: Distributed, tmp_path: pathlib.Path
) -> None:
    tasks = [CATALOGUE["expression"], CATALOGUE["age"]]
    write_set(tmp_path / "moods", [made_face(i, tasks, size=64, seed=0) for i in range(6)], size=64)
    wanted = small_run(
        model=dataclasses.replace(CONFIGS["qface_test"], tasks=("expression", "age")),
        sources=(Source(name="moods", batch=4),),
    )
    missing = CATALOGUE["expression"].labels[6]
    with pytest.raises(ValueError, match=f"task 'expression': no face of moods has {missing}"):
        Trainer(wanted, data=tmp_path, folder=tmp_path / "run", where=where)
    with pytest.raises(ValueError, match="no face of moods is labelled for task 'race'"):
        Trainer(wanted.with_tasks(["race"]), data=tmp_path, folder=tmp_path / "run", where=where)
    Trainer(wanted.with_tasks(["age"]), data=tmp_path, folder=tmp_path / "run", where=where)


def test_labels_that_nobody_has_are_not_promised(where: Distributed, tmp_path: pathlib.Path) -> None:
    face = made_face(0, [CATALOGUE["action_units"]], size=64, seed=0)
    kept = {name: value for name, value in face.labels["action_units"].items() if name != "AU9"}
    write_set(tmp_path / "made", [dataclasses.replace(face, labels={"action_units": kept})], size=64)
    trainer = Trainer(
        small_run().with_tasks(["action_units"]), data=tmp_path, folder=tmp_path / "run", where=where
    )
    assert trainer.contract.tasks[0].labels == tuple(
        n for n in CATALOGUE["action_units"].labels if n != "AU9"
    )


def test_a_state_of_another_catalogue_is_refused(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trainer(small_run(), data=small_data, folder=tmp_path, where=where).train()
    turned = dataclasses.replace(CATALOGUE["gender"], labels=tuple(reversed(CATALOGUE["gender"].labels)))
    trainer = Trainer(small_run(), data=small_data, folder=tmp_path, where=where)
    trainer.loop.identity["labels"]["gender"] = list(turned.labels)
    with pytest.raises(ValueError, match=r"labels\.gender is"):
        trainer.train()
    monkeypatch.setitem(CATALOGUE, "gender", turned)
    with pytest.raises(ValueError, match="other labels than the catalogue"):
        Trainer(small_run(), data=small_data, folder=tmp_path, where=where)


def test_parts_of_one_set_are_told_apart_and_judged_once(
    where: Distributed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [CATALOGUE[name] for name in TASKS]
    faces = [
        dataclasses.replace(
            made_face(i, tasks, size=64, seed=0, split="train" if i < 20 else "test"),
            subset="many" if i < 12 else "few",
        )
        for i in range(24)
    ]
    write_set(tmp_path / "made", faces, size=64)
    sources = tuple(Source(name="made", batch=2, subset=subset) for subset in ("many", "few"))
    run = small_run(sources=sources)
    assert run.with_sources(["made"]).sources == sources
    trainer = Trainer(run, data=tmp_path, folder=tmp_path / "run", where=where)
    known = trainer.loop.identity["data"]
    assert [known[name].split(",")[0] for name in ("made (many)", "made (few)")] == ["12 faces", "8 faces"]
    judged: list[str] = []

    def watched(answer: object, entries: object, sets: list[FaceSet], **more: object) -> object:
        judged.extend(faces.name for faces in sets)
        return evaluate(answer, entries, sets, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer_module, "evaluate", watched)
    trainer.train()
    assert trainer.finish() is not None
    assert judged == ["made"]


@pytest.mark.parametrize("rank", [0, 1])
def test_nobody_goes_on_before_a_finished_run_is_judged(
    small_data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    where = Distributed(rank=rank, world=1, device=torch.device("cpu"))
    trainer = Trainer(small_run(), data=small_data, folder=tmp_path, where=where)
    written: list[bool] = []
    path = tmp_path / "model.safetensors"
    monkeypatch.setattr(Distributed, "wait", lambda self: written.append(path.exists()))
    assert (trainer.finish() is not None) == (rank == 0)
    assert written == [rank == 0]


def test_faces_that_are_set_aside_are_not_learned_from(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    trainer = Trainer(small_run(holdout_fraction=0.3, steps=6), data=small_data, folder=tmp_path, where=where)
    aside = FaceSet(small_data / "made", holdout_fraction=0.3, held_out=True)
    drawn = {name for step in range(6) for name in trainer.loop.data.names(step)}
    assert drawn
    assert not drawn & {f"made/{key}" for key in aside.keys}
    trainer.train()
    made = trainer.finish()
    assert made is not None
    assert made.card["aside"] == 0.3
    with pytest.raises(ValueError, match=r"holdout_fraction = 1\.0 is no part of a set"):
        small_run(holdout_fraction=1.0)


def test_the_encoder_begins_with_a_files_weights(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    first = Trainer(small_run(steps=1), data=small_data, folder=tmp_path / "first", where=where)
    first.train()
    begun = first.finish()
    assert begun is not None
    init = str(tmp_path / "first" / "model.safetensors")
    second = Trainer(small_run(init=init, seed=9), data=small_data, folder=tmp_path / "second", where=where)
    kept = load_checkpoint(pathlib.Path(init)).model.state_dict()
    for name, value in second.model.state_dict().items():
        # A ViT's position embedding is fixed, whatever a file says.
        if name.startswith("encoder.") and "pos_embed" not in name:
            assert torch.equal(value, kept[name]), name
    second.train()
    made = second.finish()
    assert made is not None
    assert made.card["init"].startswith("model.safetensors, sha256 ")  # and not where it lay
    # Its licence follows from what the first run learned from, too.
    assert made.card["earlier"]["sources"] == begun.card["sources"]
    with pytest.raises(ValueError, match=r"none.safetensors is no file"):
        Trainer(small_run(init="none.safetensors"), data=small_data, folder=tmp_path / "third", where=where)


def test_the_command_says_what_is_wrong_in_one_sentence(
    small_data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(small_data), "--run", str(tmp_path / "run"), "--device", "cpu", "--threads", "1"]
    for words, sentence in (
        (["qface_huge", *common], "no run 'qface_huge'"),
        (["qface_test", *common], "has no prepared set fairface, utkface, celeba,"),
        (["qface_test", *common, "--sets", "made"], "is labelled for task 'expression'"),
        (["qface_test", *common, "--set", "steps=x"], "no whole number"),
        (["qface_test", *common[:-4], "--device", "tpu"], "no device 'tpu'"),
    ):
        assert finetune.main(words) == 2
        said = capsys.readouterr().err.strip()
        assert sentence in said
        assert "\n" not in said

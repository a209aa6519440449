"""Runs, their settings, and the trainer on data that it can and can't learn from."""

import dataclasses
import datetime
import json
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import nn

from tests.helpers.synthetic_sets import made_face, make_set
from training.data.prepared.face_set import FaceSet
from training.data.prepared.writer import write_set
from training.evaluation.evaluate import evaluate, summary, torch_predict
from training.models import CONFIGS, ExportWrapper, QFaceConfig, build_model, load_checkpoint
from training.tasks import CATALOGUE, select
from training.train import finetune
from training.train import trainer as trainer_module
from training.train.loop.distributed import Distributed, distributed, share_batch_norm
from training.train.loop.optimisation import Optimisation
from training.train.losses import loss_sum
from training.train.objectives import distillation as distil
from training.train.objectives.loss_weighting import build_loss_weighting
from training.train.overrides import overridden
from training.train.recipes import RECIPES, run_named
from training.train.run import Run, Source
from training.train.trainer import Trainer

TASKS = ("gender", "age", "action_units")
# As small as a network with BatchNorm can be.
SMALL = dataclasses.replace(
    CONFIGS["qface_tiny"], name="small", input_size=64, width=32, heads=4, decoder_blocks=1, tasks=TASKS
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("run")
    make_set(root / "made", count=12, test=6, tasks=TASKS)
    return root


@pytest.fixture
def where() -> Iterator[Distributed]:
    with distributed("cpu") as place:
        yield place


def _run(**changes: object) -> Run:
    fields: dict[str, object] = {
        "name": "small",
        "model": dataclasses.replace(CONFIGS["qface_test"], tasks=TASKS),
        "sources": (Source(name="made", batch=4),),
        "steps": 2,
        "learning_rate": 1e-3,
        "bf16": False,
        "workers": 0,
        "tensorboard": False,
        "progress_every": 1,
    }
    return Run(**{**fields, **changes})  # type: ignore[arg-type]


def test_every_named_run_can_be_made_and_changed() -> None:
    for name in RECIPES:
        run = run_named(name)
        assert run.name == name
        assert overridden(run, ["seed=5"]) == dataclasses.replace(run, seed=5)
    with pytest.raises(ValueError, match="no run 'qface_huge': choose from qface_tiny"):
        run_named("qface_huge")
    paper = run_named("qface_paper")
    assert (paper.layer_decay, paper.model.drop_path, paper.weight_decay) == (0.85, 0.2, 0.05)
    assert (sum(source.batch for source in paper.sources), paper.epochs) == (512, 100)


def test_settings_reach_every_depth_of_a_run_in_any_order() -> None:
    changed = overridden(
        run_named("qface_test"),
        [
            "steps=5",  # fewer than the warm-up, which the next one shortens
            "warmup_steps=1",
            "model.tasks=age, gender",
            "model.drop_path=0.1",
            "weights.age=3",
            "sources.ict.batch=2",
            "augmentation.blur=0",
            "betas=0.8,0.95",
            "clip=none",
            "bf16=true",
            "distil.path=/teacher",
        ],
    )
    assert (changed.steps, changed.warmup_steps, changed.clip, changed.bf16) == (5, 1, None, True)
    assert changed.model.tasks == ("age", "gender")
    assert changed.model.drop_path == 0.1
    assert (changed.weights["age"], changed.weights["head_pose"]) == (3.0, 2.0)
    assert {source.name: source.batch for source in changed.sources}["ict"] == 2
    assert changed.betas == (0.8, 0.95)
    assert changed.distillation is not None
    assert changed.distillation.path == "/teacher"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("steps=many", "'many' is no whole number"),
        ("stepz=1", "stepz: there is no such field: choose from"),
        ("steps", "no field=value"),
        ("bf16=1", "no true or false"),
        ("sources.foo.batch=1", "sources.foo: there is no such field: choose from fairface"),
        ("sources.ict.batch=0", "batch of 0"),
        ("model=qface_base", "takes no value of its own"),
        ("model.tasks=age,age", "a task is named twice: age, age"),
        ("model.tasks=smile", "unknown task smile"),
        ("weights.agee=1", "weights names agee"),
        ("weights.age=-1", "weight of age"),
        ("losses.age=wing", "loss 'wing' is for points"),
        ("balance=magic", "unknown balance 'magic': choose from fixed, uncertainty"),
        ("steps=10", "leave none after 20 of warm-up"),
        ("learning_rate=nan", "learning_rate"),
        ("layer_decay=1.5", "layer_decay"),
        ("accumulate=0", "accumulate"),
        ("distil.teacher=face_api", "needs all of path"),
        ("steps.x=1", "steps has no fields"),
    ],
)
def test_settings_that_can_not_work_are_refused(setting: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        overridden(run_named("qface_test"), [setting])


def test_a_run_without_sources_or_with_one_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="no source"):
        _run(sources=())
    with pytest.raises(ValueError, match="a source twice: a, a"):
        _run(sources=(Source(name="a"), Source(name="a")))


def test_epochs_are_passes_over_the_largest_set() -> None:
    run = _run(steps=0, epochs=10, warmup_epochs=2).in_steps(30.5)
    assert (run.steps, run.warmup_steps) == (305, 61)
    assert _run(steps=7).in_steps(30.5).steps == 7
    with pytest.raises(ValueError, match="no length"):
        _run(steps=0)
    with pytest.raises(ValueError, match="10 epochs leave none"):
        _run(steps=0, epochs=10, warmup_epochs=10)


def test_the_learning_rate_warms_up_falls_and_is_lower_in_early_layers() -> None:
    optimisation = Optimisation(steps=100, warmup_steps=10, learning_rate=1e-3, layer_decay=0.5)
    model = build_model(dataclasses.replace(CONFIGS["qface_test"], tasks=("age",)))
    optimizer = optimisation.build_optimizer(model, network=model)
    schedule = optimisation.build_schedule(optimizer)
    rates = []
    for step in range(100):
        schedule.step_update(step)
        rates.append(max(group["lr"] for group in optimizer.param_groups))
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] < 1e-6
    rate_of = {
        id(parameter): group["lr"] / rates[-1]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    parts = dict(model.named_parameters())
    # Patches, then four blocks, then all that is behind the encoder.
    assert rate_of[id(parts["encoder.model.blocks.3.attn.qkv.weight"])] == pytest.approx(0.5)
    assert rate_of[id(parts["encoder.model.blocks.0.attn.qkv.weight"])] == pytest.approx(0.5**4)
    assert rate_of[id(parts["encoder.model.patch_embed.proj.weight"])] == pytest.approx(0.5**5)
    assert (
        rate_of[
            id(parts["fusion.block.norm1.weight" if "fusion.block.norm1.weight" in parts else "decoder.bias"])
        ]
        == 1
    )


@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_what_an_encoder_says_must_not_decay_does_not(layer_decay: float | None) -> None:
    optimisation = Optimisation(steps=10, learning_rate=1e-3, layer_decay=layer_decay)
    run = _run()
    objective = run.build_objective(build_model(run.model), tasks=select(TASKS))
    optimizer = optimisation.build_optimizer(objective, network=objective.model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    parts = dict(objective.named_parameters())
    assert decay[id(parts["model.encoder.model.cls_token"])] == 0
    assert decay[id(parts["model.encoder.model.patch_embed.proj.weight"])] == 0.05
    assert decay[id(parts["model.decoder.queries"])] == 0.05


def test_batchnorms_that_hold_an_activation_keep_it_when_gpus_share_their_faces() -> None:
    parts = nn.Sequential(nn.BatchNorm2d(2), BatchNormAct2d(2))
    place = Distributed(rank=0, world=2, device=torch.device("cuda"))
    plain, active = share_batch_norm(parts, where=place)
    assert isinstance(plain, nn.SyncBatchNorm)
    assert isinstance(active, SyncBatchNormAct)  # torch's own would never call its `act`
    assert isinstance(active.act, nn.ReLU)


def test_a_finished_run_leaves_a_checkpoint_that_says_where_it_came_from(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    trainer = Trainer(
        _run(model=SMALL, bf16=True, ema_decay=0.9, clip=1.0), data=data, folder=tmp_path, where=where
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
        [FaceSet(data / "made", split="test")],
        input_size=64,
        bootstrap=0,
    )
    assert summary(rows) == made.card["kept_out"]
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert set(lines[0]["losses"]) == set(TASKS)


def test_faces_whose_loss_is_not_finite_are_named_and_the_checkpoint_stays(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    trainer = Trainer(_run(checkpoint_every=1, steps=1), data=data, folder=tmp_path, where=where)
    trainer.train()
    before = trainer.loop.state_path.read_bytes()
    trainer.loop.step = 0
    batch = {name: torch.from_numpy(np.array(value)) for name, value in trainer.loop.data[0].items()}
    batch["age/confidence"][2] = float("nan")
    guilty = trainer.loop.data.names(0)[2]
    weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(
        ValueError, match=rf"loss of age is not finite at step 0 \(from {guilty}\); the last"
    ) as told:
        trainer.loop.train_step(batch)
    assert "gender" not in str(told.value)
    assert all(torch.equal(value, weights[name]) for name, value in trainer.model.state_dict().items())
    assert trainer.loop.state_path.read_bytes() == before


def test_weights_that_have_diverged_are_told_from_bad_files(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    trainer = Trainer(_run(), data=data, folder=tmp_path, where=where)
    with torch.no_grad():
        next(iter(trainer.model.encoder.parameters())).fill_(float("nan"))
    with pytest.raises(
        ValueError, match=r"every one of its 4 faces, so that the weights have diverged\); there is no"
    ):
        trainer.train()
    assert not trainer.loop.state_path.exists()


def test_a_class_without_samples_is_refused_before_the_first_step(
    where: Distributed, tmp_path: pathlib.Path
) -> None:
    tasks = [CATALOGUE["expression"], CATALOGUE["age"]]
    write_set(tmp_path / "moods", [made_face(i, tasks, size=64, seed=0) for i in range(6)], size=64)
    wanted = _run(
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
        _run().with_tasks(["action_units"]), data=tmp_path, folder=tmp_path / "run", where=where
    )
    assert trainer.contract.tasks[0].labels == tuple(
        n for n in CATALOGUE["action_units"].labels if n != "AU9"
    )


def test_a_state_of_another_catalogue_is_refused(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trainer(_run(), data=data, folder=tmp_path, where=where).train()
    turned = dataclasses.replace(CATALOGUE["gender"], labels=tuple(reversed(CATALOGUE["gender"].labels)))
    trainer = Trainer(_run(), data=data, folder=tmp_path, where=where)
    trainer.loop.identity["labels"]["gender"] = list(turned.labels)
    with pytest.raises(ValueError, match=r"labels\.gender is"):
        trainer.train()
    monkeypatch.setitem(CATALOGUE, "gender", turned)
    with pytest.raises(ValueError, match="other labels than the catalogue"):
        Trainer(_run(), data=data, folder=tmp_path, where=where)


def test_what_is_frozen_stays_as_it_was_to_the_last_bit(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    def behind(module: nn.Module) -> Iterator[nn.Parameter]:
        return (p for name, p in module.named_parameters() if name.startswith("model.decoder."))

    trainer = Trainer(
        _run(model=SMALL, ema_decay=0.9), data=data, folder=tmp_path, where=where, trainable=behind
    )
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    averaged = trainer.loop.averaged().state_dict()
    changed = {
        name
        for name, value in trainer.model.state_dict().items()
        if not (torch.equal(value, before[name]) and torch.equal(averaged[f"model.{name}"], before[name]))
    }
    assert "decoder.bias" in changed
    assert all(name.startswith("decoder.") for name in changed)
    assert any("running_mean" in name for name in before)


def test_learned_weights_count_hard_tasks_less() -> None:
    weighting = build_loss_weighting(
        "uncertainty", losses=["hard", "easy", "absent"], weights={"absent": 2.0}
    )
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.1)
    means = {"hard": torch.tensor(4.0), "easy": torch.tensor(0.05), "absent": torch.tensor(0.0)}
    counts = {"hard": torch.tensor(8.0), "easy": torch.tensor(8.0), "absent": torch.tensor(0.0)}
    for _ in range(400):
        optimizer.zero_grad()
        weighting(means, counts=counts, share=1.0).backward()
        optimizer.step()
    factors = weighting.factors()
    assert factors["hard"] < 0.5
    assert factors["easy"] > 2
    assert factors["absent"] == 2
    fixed = build_loss_weighting("fixed", losses=["hard", "easy"], weights={"easy": 10.0})
    assert float(fixed({n: means[n] for n in ("hard", "easy")}, counts=counts, share=1.0)) == pytest.approx(
        4.5
    )


def test_learned_weights_are_told_with_the_losses(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for balance in ("fixed", "uncertainty"):
        run = _run(loss_weighting=balance, weights={"age": 2.0}, learning_rate=0.1)
        Trainer(run, data=data, folder=tmp_path / balance, where=where).train()
    lines = [
        json.loads((tmp_path / name / "progress.jsonl").read_text().splitlines()[-1])
        for name in ("fixed", "uncertainty")
    ]
    assert "weights" not in lines[0]
    assert set(lines[1]["weights"]) == set(TASKS)
    assert lines[1]["weights"]["age"] not in (0, 2)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step 2/2")]
    assert " x " not in said[0]
    assert f"  age {lines[1]['losses']['age']:.4g} x " in said[1]


def test_a_gpu_without_bf16_is_told_what_to_set(
    data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    where = Distributed(rank=0, world=1, device=torch.device("cuda"))
    with pytest.raises(ValueError, match=r"this GPU \(Old GPU\) can't .* --set bf16=false"):
        Trainer(_run(bf16=True), data=data, folder=tmp_path, where=where)


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
    run = _run(sources=sources)
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


def test_processes_wait_for_hours_and_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    patience: list[datetime.timedelta] = []

    def begin(backend: str, *, timeout: datetime.timedelta, **more: object) -> None:
        done.append("begun")
        patience.append(timeout)

    monkeypatch.setattr(torch.distributed, "init_process_group", begin)
    monkeypatch.setattr(torch.distributed, "barrier", lambda: done.append("waited"))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: done.append("ended"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with distributed("cpu"):
        done.append("worked")
    assert done == ["begun", "worked", "waited", "ended"]
    assert patience[0] >= datetime.timedelta(hours=6)
    done.clear()
    # An error must not wait for those that don't know of it.
    with pytest.raises(ValueError, match="broken"), distributed("cpu"):
        raise ValueError("broken")
    assert done == ["begun"]


@pytest.mark.parametrize("rank", [0, 1])
def test_nobody_goes_on_before_a_finished_run_is_judged(
    data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    where = Distributed(rank=rank, world=1, device=torch.device("cpu"))
    trainer = Trainer(_run(), data=data, folder=tmp_path, where=where)
    written: list[bool] = []
    path = tmp_path / "model.safetensors"
    monkeypatch.setattr(Distributed, "wait", lambda self: written.append(path.exists()))
    assert (trainer.finish() is not None) == (rank == 0)
    assert written == [rank == 0]


class _Teacher(nn.Module):
    """Says of a face how bright it is."""

    @classmethod
    def load(cls, path: pathlib.Path) -> nn.Module:
        return cls()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().mean(dim=(1, 2)) - 128


def test_a_teacher_of_features_is_one_loss_more(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(distil.TEACHERS, "brightness", (_Teacher.load, 3))
    run = _run(distillation=distil.Distillation(path="x", teacher="brightness", weight=0.5), steps=3)
    trainer = Trainer(run, data=data, folder=tmp_path, where=where)
    before = next(iter(trainer.loop.objective.distillation.map.parameters())).clone()  # type: ignore[union-attr]
    trainer.train()
    after = next(iter(trainer.loop.objective.distillation.map.parameters()))  # type: ignore[union-attr]
    assert not torch.equal(before, after)
    line = json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[0])
    assert set(line["losses"]) == {*TASKS, "distillation"}
    # The teacher is no part of what is kept.
    assert trainer.finish() is not None


def test_masks_are_asked_for_where_there_are_some_and_cost_nothing_elsewhere(tmp_path: pathlib.Path) -> None:
    tasks = ("age", "parsing")
    make_set(tmp_path / "masked", count=4, tasks=tasks)
    make_set(tmp_path / "plain", count=4, tasks=["age"], seed=1)
    model = dataclasses.replace(CONFIGS["qface_test"], tasks=tasks)
    sources = (Source(name="plain", batch=3), Source(name="masked", batch=2))
    with distributed("cpu") as where:
        trainer = Trainer(
            _run(model=model, sources=sources), data=tmp_path, folder=tmp_path / "run", where=where
        )
    objective = trainer.loop.objective.eval()
    batch = {name: torch.as_tensor(value) for name, value in trainer.loop.data[0].items()}
    seen: list[int] = []
    places = objective.model.decoder.pixel_decoder  # type: ignore[union-attr]
    places.register_forward_hook(lambda *told: seen.append(len(told[2])))  # type: ignore[union-attr]
    sums = objective.sums(batch)
    raw = objective.model(batch["pixels"]).logits  # type: ignore[operator]
    whole = loss_sum(
        CATALOGUE["parsing"], raw["parsing"], batch["parsing"], confidence=batch["parsing/confidence"]
    )
    torch.testing.assert_close(sums["parsing"], whole)
    assert seen == [2, 5]
    # Without a single mask the decoder of places still gets a gradient, of zero.
    unmasked = {name: value[:3] for name, value in batch.items()}
    objective.zero_grad()
    objective.sums(unmasked)["parsing"].backward()
    gradients = [p.grad for p in places.parameters()]  # type: ignore[union-attr]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_faces_that_are_set_aside_are_not_learned_from(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    trainer = Trainer(_run(holdout_fraction=0.3, steps=6), data=data, folder=tmp_path, where=where)
    aside = FaceSet(data / "made", holdout_fraction=0.3, held_out=True)
    drawn = {name for step in range(6) for name in trainer.loop.data.names(step)}
    assert drawn
    assert not drawn & {f"made/{key}" for key in aside.keys}
    trainer.train()
    made = trainer.finish()
    assert made is not None
    assert made.card["aside"] == 0.3
    with pytest.raises(ValueError, match=r"holdout_fraction = 1\.0 is no part of a set"):
        _run(holdout_fraction=1.0)


def test_the_encoder_begins_with_a_files_weights(
    data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    first = Trainer(_run(steps=1), data=data, folder=tmp_path / "first", where=where)
    first.train()
    first.finish()
    init = str(tmp_path / "first" / "model.safetensors")
    second = Trainer(_run(init=init, seed=9), data=data, folder=tmp_path / "second", where=where)
    kept = load_checkpoint(pathlib.Path(init)).model.state_dict()
    for name, value in second.model.state_dict().items():
        # A ViT's position embedding is fixed, whatever a file says.
        if name.startswith("encoder.") and "pos_embed" not in name:
            assert torch.equal(value, kept[name]), name
    second.train()
    made = second.finish()
    assert made is not None
    assert made.card["init"].startswith("model.safetensors, sha256 ")  # and not where it lay
    with pytest.raises(ValueError, match=r"none.safetensors does not exist"):
        Trainer(_run(init="none.safetensors"), data=data, folder=tmp_path / "third", where=where)


def test_the_command_says_what_is_wrong_in_one_sentence(
    data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(data), "--run", str(tmp_path / "run"), "--device", "cpu", "--threads", "1"]
    for words, sentence in (
        (["qface_huge", *common], "no run 'qface_huge'"),
        (["qface_test", *common], "is not a prepared set"),
        (["qface_test", *common, "--sets", "made"], "is labelled for task 'expression'"),
        (["qface_test", *common, "--set", "steps=x"], "no whole number"),
        (["qface_test", *common[:-4], "--device", "tpu"], "no device 'tpu'"),
    ):
        assert finetune.main(words) == 2
        said = capsys.readouterr().err.strip()
        assert sentence in said
        assert "\n" not in said


def test_configurations_of_runs_hold_their_types() -> None:
    assert isinstance(run_named("qface_test").model, QFaceConfig)
    assert all(task.kind for task in select(run_named("qface_tiny").model.tasks))

"""Runs that have a name, and settings that change them."""

import dataclasses

import pytest

from tests.helpers.small_run import small_run
from training.data.sampling.balance import Balance
from training.models import QFaceConfig
from training.tasks import select
from training.train.overrides import overridden, recorded
from training.train.recipes import RECIPES, run_named
from training.train.run_config import Source


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
            "sources.ferplus.balance=expression:0.7,age",
        ],
    )
    assert (changed.steps, changed.warmup_steps, changed.clip, changed.bf16) == (5, 1, None, True)
    assert changed.model.tasks == ("age", "gender")
    assert changed.model.drop_path == 0.1
    assert (changed.weights["age"], changed.weights["head_pose"]) == (3.0, 2.0)
    assert {source.name: source.batch for source in changed.sources}["ict"] == 2
    assert changed.betas == (0.8, 0.95)
    (ferplus,) = (source for source in changed.sources if source.name == "ferplus")
    assert ferplus.balance == (Balance(task="expression", power=0.7), Balance(task="age"))
    emptied = overridden(run_named("qface_tiny"), ["sources.fairface.balance=none"])
    assert not emptied.sources[0].balance
    assert changed.distillation is not None
    assert changed.distillation.path == "/teacher"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("steps=many", "'many' is no whole number"),
        ("stepz=1", "stepz: there is no such field: choose from"),
        ("steps", "no field=value"),
        ("bf16=1", "no true or false"),
        ("sources.ict.balance=age:much", "balance 'age:much' is no TASK or TASK:POWER"),
        ("sources.ict.balance=height", "balance names 'height', which no task is called"),
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
        ("trackers=wandb", "no tracker 'wandb': choose from tensorboard, mlflow, or none"),
        ("trackers=mlflow,mlflow", "name each once"),
        ("tensorboard=maybe", "tensorboard: 'maybe' is not one of true, false"),
        ("samples_every=-1", "samples_every"),
        ("model.heads=0", "heads"),
        ("seed=-1", "seed = -1 is no seed"),
        ("betas=1,1", "must be at least 0 and less than 1 each"),
        ("kept_out=0", "kept_out = 0"),
    ],
)
def test_settings_that_can_not_work_are_refused(setting: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        overridden(run_named("qface_test"), [setting])


def test_a_run_without_sources_or_with_one_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="no source"):
        small_run(sources=())
    with pytest.raises(ValueError, match="a source twice: a, a"):
        small_run(sources=(Source(name="a"), Source(name="a")))


def test_epochs_are_passes_over_the_largest_set() -> None:
    run = small_run(steps=0, epochs=10, warmup_epochs=2).in_steps(30.5)
    assert (run.steps, run.warmup_steps) == (305, 61)
    assert small_run(steps=7).in_steps(30.5).steps == 7
    with pytest.raises(ValueError, match="no length"):
        small_run(steps=0)
    with pytest.raises(ValueError, match="10 epochs leave none"):
        small_run(steps=0, epochs=10, warmup_epochs=10)


def test_configurations_of_runs_hold_their_types() -> None:
    assert isinstance(run_named("qface_test").model, QFaceConfig)
    assert all(task.kind for task in select(run_named("qface_tiny").model.tasks))


def test_fields_whose_names_changed_are_set_and_recorded_by_their_former_names_too() -> None:
    run = run_named("qface_test")
    former = overridden(run, ["aside=0.1", "balance=uncertainty", "distil.path=/teacher"])
    present = overridden(
        run, ["holdout_fraction=0.1", "loss_weighting=uncertainty", "distillation.path=/teacher"]
    )
    assert former == present
    fields = recorded(present)
    assert (fields["aside"], fields["balance"], fields["distil"]["path"]) == (0.1, "uncertainty", "/teacher")
    assert not {"holdout_fraction", "loss_weighting", "distillation"} & fields.keys()


def test_trackers_are_a_list_and_what_chose_one_before_still_does() -> None:
    run = run_named("qface_test")
    assert "trackers" not in recorded(run)
    assert overridden(run, ["trackers=none"]).trackers == ()
    assert overridden(run, ["trackers=tensorboard, mlflow"]).trackers == ("tensorboard", "mlflow")
    assert overridden(run, ["tensorboard=False"]) == overridden(run, ["trackers=none"])
    assert overridden(run, ["tensorboard=true"]) == run
    with pytest.raises(ValueError, match="tensorboard: trackers, which it is now, was set already"):
        overridden(run, ["tensorboard=true", "trackers=mlflow"])

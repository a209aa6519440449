"""Losses, augmentation and the trainer on faces that the test makes itself."""

import dataclasses
import pathlib
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from runtime.pose import angles_from_rotation, rotation_from_angles
from training.data import Augmentation, FaceSet, disturb, targets_of, training_batch
from training.evaluate import answers_of, area_under_curve, evaluate
from training.finetune import Run, Source, Trainer, finish, learning_rate, train
from training.losses import geodesic_loss, interval_loss, task_loss
from training.models import ExportWrapper, load_checkpoint
from training.models.outputs import VALUE_CENTER, VALUE_SPREAD
from training.prepare import MARGIN, STORED
from training.tasks import CATALOGUE, QFACE_TASKS

NAN = float("nan")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two prepared sets of 30 faces, a quarter kept out."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("portraits", "moods"):
        folder = root / name
        folder.mkdir()
        count = 30
        np.save(folder / "crops.npy", rng.integers(0, 256, (count, STORED, STORED, 3), dtype=np.uint8))
        common = {"names": np.array([f"{i}.jpg" for i in range(count)]), "test": np.arange(count) % 4 == 0}
        if name == "portraits":
            age = rng.integers(1, 80, count).astype(np.float32)
            units = rng.random((count, 12), dtype=np.float32)
            units[:, CATALOGUE["action_units"].labels.index("AU9")] = NAN
            pose = rng.uniform(-30, 30, (count, 3)).astype(np.float32)
            pose[0] = NAN
            labels = {
                "age_low": age,
                "age_high": age,
                "gender": (age % 2),
                "action_units": units,
                "head_pose": pose,
            }
        else:
            labels = {
                "expression": (np.arange(count) % 7).astype(np.float32),
                "attributes": (rng.random((count, 40)) > 0.5).astype(np.float32),
            }
        np.savez(folder / "labels.npz", **common, **labels)
    return root


def _run(**changes: object) -> Run:
    run = Run(
        model="qface_tiny",
        sources=(
            Source(name="portraits", batch=4, licence="made", surround=True),
            Source(name="moods", batch=4, licence="made", surround=False),
        ),
        weights=dict.fromkeys(QFACE_TASKS, 1.0),
        encoder_steps=2,
        steps=5,
        warmup_steps=1,
        checkpoint_every=2,
    )
    return dataclasses.replace(run, **changes)


def test_a_run_that_was_stopped_ends_with_the_weights_of_an_unbroken_one(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    torch.set_num_threads(1)
    unbroken = Trainer(_run(), data=data)
    train(unbroken, folder=tmp_path / "unbroken")

    stopped = Trainer(_run(), data=data)
    with ThreadPoolExecutor(1) as executor:
        for _ in range(3):
            stopped.learn(stopped.draw(stopped.step, executor))
    (tmp_path / "stopped").mkdir()
    stopped.save(tmp_path / "stopped" / "last.pt")
    resumed = Trainer(_run(), data=data)
    train(resumed, folder=tmp_path / "stopped")

    assert resumed.step == unbroken.step == 5
    for (name, a), b in zip(
        unbroken.ema.module.state_dict().items(), resumed.ema.module.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name

    other = Trainer(_run(seed=2), data=data)
    with pytest.raises(ValueError, match="other settings"):
        other.load(tmp_path / "stopped" / "last.pt")


def test_a_finished_run_leaves_rounded_weights_a_card_and_only_trained_labels(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = _run(encoder_steps=0)
    trainer = Trainer(run, data=data)
    with ThreadPoolExecutor(1) as executor:
        trainer.learn(trainer.draw(0, executor))
    labels = {entry["name"]: entry["labels"] for entry in trainer.contract["tasks"]}
    assert "AU9" not in labels["action_units"]
    assert len(labels["action_units"]) == 11
    path = tmp_path / "model.safetensors"
    made = finish(trainer, data=data, path=path)
    loaded = load_checkpoint(path)
    assert loaded.contract == made.contract
    assert loaded.card == made.card
    assert loaded.card["sources"][0]["training_faces"] == 22
    assert loaded.card["kept_out"]["age on portraits"]["faces"] == 8
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, made.model.state_dict()[name]), name
    wrapper = ExportWrapper(loaded.model, loaded.contract)
    again = evaluate(answers_of(wrapper), wrapper.entries, [data / "portraits", data / "moods"])
    assert again == made.card["kept_out"]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_task(data: pathlib.Path) -> None:
    trainer = Trainer(_run(encoder_steps=0), data=data)
    with torch.no_grad():
        trainer.model.decoder.bias[7 + 12 + 40] = float("nan")
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="loss of age"):
        trainer.learn(trainer.draw(0, executor))


def test_the_same_seed_draws_the_same_faces(data: pathlib.Path) -> None:
    faces = FaceSet(data / "portraits", test=False)
    with ThreadPoolExecutor(2) as executor:
        draws = [
            training_batch(faces, count=5, seed=(1, step), augmentation=Augmentation(), executor=executor)[0]
            for step in (7, 7, 8)
        ]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_kept_out_faces_are_not_trained_on(data: pathlib.Path) -> None:
    train_names = set(FaceSet(data / "portraits", test=False).names)
    test_names = set(FaceSet(data / "portraits", test=True).names)
    assert len(test_names) == 8
    assert not train_names & test_names


def test_a_folder_that_is_not_prepared_says_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="is not a prepared set"):
        FaceSet(tmp_path, test=False)


def test_a_mirrored_and_turned_face_has_mirrored_yaw_and_the_turn_in_its_roll() -> None:
    labels = {"head_pose": np.array([[20.0, -10, 5], [20, -10, 5]], np.float32)}
    targets = targets_of(labels, mirrored=np.array([False, True]), turned=np.array([8.0, 8.0]))
    np.testing.assert_allclose(
        angles_from_rotation(targets["head_pose"]), [[20, -10, 13], [-20, -10, 3]], atol=1e-3
    )


def test_a_disturbed_picture_turns_the_way_its_label_says() -> None:
    """A mark on the right of the centre moves down when the picture turns clockwise."""
    crop = np.zeros((STORED, STORED, 3), np.uint8)
    middle = STORED // 2
    crop[middle - 2 : middle + 3, middle + 30 : middle + 35] = 255
    calm = Augmentation(scale=0, shift=0, colour=0, grey=0, blur=0, erase=0)
    for mirrored, side in ((False, 1), (True, -1)):
        out = disturb(crop, rng=np.random.default_rng(0), mirrored=mirrored, turned=20, augmentation=calm)
        y, x = np.argwhere(out[..., 0] > 128).mean(axis=0) - (STORED - 1) / 2 + MARGIN
        assert np.sign(x) == side
        assert np.degrees(np.arctan2(y * side, x * side)) == pytest.approx(20, abs=3)


def test_an_age_inside_its_bin_costs_nothing() -> None:
    ages = torch.tensor([20.0, 29.9, 31.0, 19.0])
    logits = ((ages - VALUE_CENTER) / VALUE_SPREAD)[:, None]
    bins = torch.tensor([[20.0, 29.0]] * 4)
    losses = [float(interval_loss(logits[i], bins[i : i + 1], generator=None)) for i in range(4)]
    assert losses[0] == pytest.approx(0, abs=1e-9)
    assert losses[1] == pytest.approx(0, abs=1e-9)
    assert losses[2] > 0
    assert losses[3] > 0


def test_geodesic_loss_is_the_angle_between_rotations() -> None:
    a = torch.from_numpy(rotation_from_angles([[0, 0, 0], [10, 0, 0]])).float()
    b = torch.from_numpy(rotation_from_angles([[0, 0, 30], [10, 0, 30]])).float()
    assert float(geodesic_loss(a, b, generator=None)) == pytest.approx(np.radians(30), abs=1e-4)


def test_faces_without_a_label_add_nothing_to_its_loss() -> None:
    torch.manual_seed(0)
    cases = {
        "gender": (torch.tensor([1, -1]), torch.tensor([1])),
        "attributes": (torch.tensor([[1.0] * 40, [NAN] * 40]), torch.ones(1, 40)),
        "age": (torch.tensor([[30.0, 30.0], [NAN, NAN]]), torch.tensor([[30.0, 30.0]])),
        "head_pose": (torch.stack([torch.eye(3), torch.full((3, 3), NAN)]), torch.eye(3)[None]),
    }
    for name, (both, known) in cases.items():
        task = CATALOGUE[name]
        logits = torch.randn(2, task.queries, requires_grad=True)
        loss = task_loss(task, logits, both)
        torch.testing.assert_close(loss, task_loss(task, logits[:1], known))
        loss.backward()
        assert logits.grad is not None
        assert torch.count_nonzero(logits.grad[1]) == 0
        nobody = torch.full_like(both[:1], -1) if name == "gender" else torch.full_like(both[:1], NAN)
        assert task_loss(task, logits[:1], nobody).item() == 0


def test_mirrored_labels_change_sides() -> None:
    task = CATALOGUE["visibility"]
    values = np.arange(29, dtype=np.float32)[None].repeat(2, axis=0)
    targets = targets_of({"visibility": values}, mirrored=np.array([False, True]), turned=np.zeros(2))
    left, right = task.labels.index("left_eye_outer"), task.labels.index("right_eye_outer")
    assert list(targets["visibility"][:, left]) == [left, right]
    with pytest.raises(ValueError, match="landmarks"):
        targets_of({"landmarks": values}, mirrored=np.zeros(2, bool), turned=np.zeros(2))


def test_a_set_that_misses_a_class_is_refused_before_the_first_step(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(data, tmp_path / "data")
    labels = dict(np.load(tmp_path / "data" / "moods" / "labels.npz"))
    labels["expression"] = labels["expression"].clip(max=5)
    np.savez(tmp_path / "data" / "moods" / "labels.npz", **labels)
    with pytest.raises(ValueError, match="expression"):
        Trainer(_run(), data=tmp_path / "data")


def test_a_task_without_a_weight_is_named(data: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="age"):
        Trainer(_run(weights={name: 1.0 for name in QFACE_TASKS if name != "age"}), data=data)


def test_a_checkpoint_of_another_order_of_labels_is_refused(
    data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    finish(Trainer(_run(), data=data), data=data, path=path)
    task = CATALOGUE["action_units"]
    reversed_order = dataclasses.replace(task, labels=tuple(reversed(task.labels)))
    monkeypatch.setitem(CATALOGUE, "action_units", reversed_order)
    with pytest.raises(ValueError, match="other labels of 'action_units'"):
        load_checkpoint(path)


def test_the_area_under_the_curve_counts_pairs_in_order() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.8])
    positive = np.array([False, True, False, True])
    assert area_under_curve(scores, positive) == pytest.approx((2 + 1.5) / 4)
    assert np.isnan(area_under_curve(scores, np.ones(4, bool)))


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    run = _run(encoder_steps=0, steps=100, warmup_steps=10)
    rates = [learning_rate(run, step) for step in range(100)]
    assert rates[0] == pytest.approx(run.learning_rate / 10)
    assert max(rates) == pytest.approx(run.learning_rate)
    assert rates[-1] < 0.001 * run.learning_rate


def test_runs_that_can_not_work_are_refused() -> None:
    with pytest.raises(ValueError, match="warm-up"):
        _run(steps=3)
    with pytest.raises(ValueError, match="unknown model"):
        _run(model="qface_huge")

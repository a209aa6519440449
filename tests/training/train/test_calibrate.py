"""Probabilities are brought to mean what they say, and nothing else changes."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.helpers.faces.synthetic_sets import make_set
from training.data.prepared.face_set import FaceSet
from training.models import CONFIGS, Checkpoint, ExportWrapper, build_model, load_checkpoint, save_checkpoint
from training.models.checkpoint import round_to_half
from training.models.qface.extension import extended
from training.tasks import CATALOGUE, FACE_QUALITY
from training.train import calibrate
from training.train.calibrate import calibrated, held_out_sets
from training.train.platt_scaling import fit_classes, fit_label

TASKS = ("expression", "gender", "action_units", "age", "head_pose")
FIGURES = {"gender on made": {"top1_accuracy": 0.5}}
CONFIG = dataclasses.replace(CONFIGS["qface_test"], tasks=TASKS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("calibrate")
    make_set(root / "made", count=60, tasks=TASKS)
    return root


def _checkpoint(tasks: Sequence[str] = TASKS, **card: object) -> Checkpoint:
    torch.manual_seed(0)
    model = build_model(CONFIG.with_tasks(tasks)).eval()
    round_to_half(model)
    whole_card = {"sources": [{"name": "made"}], "aside": 0.4, **card}
    return Checkpoint(model=model, contract=model.contract(), card=whole_card)


@pytest.fixture(scope="module")
def written(data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What the command writes of a checkpoint; a calibration of independent labels takes seconds."""
    folder = tmp_path_factory.mktemp("written")
    save_checkpoint(folder / "model.safetensors", _checkpoint(kept_out=FIGURES))
    output = folder / "calibrated.safetensors"
    assert calibrate.main(_words(folder / "model.safetensors", data=data, output=output)) == 0
    return output


def _words(checkpoint: pathlib.Path, *, data: pathlib.Path, output: pathlib.Path) -> list[str]:
    return [str(checkpoint), "--data", str(data), "--output", str(output)]


def test_the_temperature_that_made_the_logits_too_sure_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, 5, generator=generator)
    drawn = torch.multinomial(honest.softmax(dim=1), 1, generator=generator)[:, 0]
    targets = torch.nn.functional.one_hot(drawn, 5).float()
    assert fit_classes(honest * 3, targets) == pytest.approx(1 / 3, rel=0.05)
    assert fit_classes(honest, targets) == pytest.approx(1, rel=0.05)


def test_a_label_s_scale_and_shift_are_found() -> None:
    generator = torch.Generator().manual_seed(1)
    honest = 2 * torch.randn(20_000, generator=generator)
    present = torch.rand(20_000, generator=generator) < honest.sigmoid()
    scale, shift = fit_label((honest - 1) / 0.5, present)
    assert scale == pytest.approx(0.5, rel=0.1)
    assert shift == pytest.approx(1, abs=0.1)


def test_a_label_that_nobody_has_does_not_run_away() -> None:
    scale, shift = fit_label(torch.linspace(-3, 3, 50), torch.zeros(50))
    assert 0.1 < scale < 10
    assert -10 < shift < 0


@pytest.mark.parametrize(("sureness", "kept"), [(1, False), (4, True)])
def test_a_fit_that_does_not_help_other_faces_is_dropped(sureness: float, kept: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    honest = torch.randn(60, 12, generator=generator)
    present = (torch.rand(60, 12, generator=generator) < honest.sigmoid()).float()
    fit = calibrate._fit(CATALOGUE["action_units"], honest * sureness, present, names=["made"])
    assert (set(fit.scale) != {1.0}) == kept
    assert (set(fit.shift) != {0.0}) == kept


def test_calibration_is_in_the_graph_and_keeps_every_ranking(written: pathlib.Path) -> None:
    before, after = _checkpoint(), load_checkpoint(written)
    pixels = torch.randint(0, 256, (8, 64, 64, 3), generator=torch.Generator().manual_seed(2)).byte()
    with torch.inference_mode():
        raw = before.model(pixels).logits
        said = ExportWrapper(after.model, after.contract)(pixels)
        plain = ExportWrapper(before.model, before.contract)(pixels)
    for task in ("expression", "gender"):
        fit = after.card["calibration"][task]
        wanted = torch.softmax(raw[task] * fit["scale"][0], dim=1)
        torch.testing.assert_close(said[task], wanted, atol=3e-3, rtol=0)
        assert torch.equal(said[task].argmax(dim=1), plain[task].argmax(dim=1))
    fit = after.card["calibration"]["action_units"]
    wanted = torch.sigmoid(raw["action_units"] * torch.tensor(fit["scale"]) + torch.tensor(fit["shift"]))
    torch.testing.assert_close(said["action_units"], wanted, atol=3e-3, rtol=0)
    assert not torch.allclose(said["action_units"], plain["action_units"], atol=0.01)
    for task in ("age", "head_pose"):
        assert torch.equal(said[task], plain[task])


def test_only_faces_that_training_held_out_are_used(
    data: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = _checkpoint(["gender"])
    chosen = held_out_sets(checkpoint, data)
    trained = FaceSet(data / "made", holdout_fraction=0.4)
    looked: list[str] = []
    served_crops = FaceSet.served_crops

    def noted(faces: FaceSet, rows: np.ndarray, *, size: int) -> np.ndarray:
        looked.extend(faces.keys[rows].tolist())
        return served_crops(faces, rows, size=size)

    monkeypatch.setattr(FaceSet, "served_crops", noted)
    calibrated(checkpoint, chosen)
    assert looked
    assert not set(looked) & set(trained.keys.tolist())
    assert not set(trained.persons.tolist()) & set(chosen[0].persons.tolist())


def test_people_s_labels_count_before_a_teacher_s_and_those_before_renders(tmp_path: pathlib.Path) -> None:
    for name in ("people", "taught", "render"):
        make_set(tmp_path / name, count=20, tasks=["gender", "action_units"])
    sets = [FaceSet(tmp_path / name) for name in ("render", "taught", "people")]
    sets[0].manifest["labelled_by"] = {"gender": "render", "action_units": "render"}
    sets[1].manifest["labelled_by"] = {"gender": "a network", "action_units": "a network"}
    card = calibrated(_checkpoint(["gender"]), sets).card["calibration"]
    assert card["gender"]["sets"] == ("people",)
    card = calibrated(_checkpoint(["action_units"]), sets[:2]).card["calibration"]
    assert card["action_units"]["sets"] == ("taught",)


def test_the_command_writes_a_checkpoint_that_says_how_it_was_calibrated(
    written: pathlib.Path, data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_checkpoint(written)
    assert set(loaded.card["calibration"]) == {"expression", "gender", "action_units"}
    assert loaded.card["kept_out_before_calibration"] == FIGURES
    assert "kept_out" not in loaded.card
    assert loaded.contract == _checkpoint().contract
    again = _words(written, data=data, output=tmp_path / "again.safetensors")
    assert calibrate.main(again) == 2
    assert "is calibrated already" in capsys.readouterr().err


def test_what_can_t_be_calibrated_is_refused_with_a_sentence(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match="held out no faces"):
        held_out_sets(_checkpoint(aside=0), data)
    pooled = build_model(dataclasses.replace(CONFIG, head="pooled"))
    with pytest.raises(ValueError, match="MultiHead has no queries"):
        calibrated(Checkpoint(model=pooled, contract=pooled.contract(), card={}), [])
    make_set(tmp_path / "ages", count=20, tasks=["age"])
    with pytest.raises(ValueError, match="none of these faces is labelled"):
        calibrated(_checkpoint(), [FaceSet(tmp_path / "ages")])


def test_of_a_calibrated_network_only_what_it_learned_since_is_calibrated(
    data: pathlib.Path, written: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_checkpoint(written)
    torch.manual_seed(1)
    network = extended(before.model, [FACE_QUALITY])
    round_to_half(network)
    make_set(tmp_path / "data" / "more", count=40, tasks=[FACE_QUALITY, "gender"])
    card = {**before.card, "extensions": [{"sources": [{"name": "more"}], "aside": 0.4}]}
    save_checkpoint(
        tmp_path / "extended.safetensors",
        Checkpoint(model=network, contract=network.contract(), card=card),
    )
    words = _words(tmp_path / "extended.safetensors", data=tmp_path / "data", output=tmp_path / "new")
    assert calibrate.main(words) == 0  # the sets of the network before are not asked for
    after = load_checkpoint(tmp_path / "new")
    assert after.card["calibration"].keys() - before.card["calibration"].keys() == {FACE_QUALITY}
    assert after.card["calibration"]["gender"] == before.card["calibration"]["gender"]
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        old, new = before.model(pixels).logits, after.model(pixels).logits
    assert all(torch.equal(old[task], new[task]) for task in TASKS)
    words = _words(tmp_path / "new", data=tmp_path / "data", output=tmp_path / "again")
    assert calibrate.main(words) == 2
    assert "is calibrated already" in capsys.readouterr().err


def test_the_faces_held_out_are_those_of_the_extensions_too(data: pathlib.Path) -> None:
    make_set(data / "other", count=30, tasks=["age"])
    checkpoint = _checkpoint(extensions=[{"sources": [{"name": "other"}]}])
    assert [faces.name for faces in held_out_sets(checkpoint, data)] == ["made", "other"]

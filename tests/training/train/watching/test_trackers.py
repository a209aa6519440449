"""What a run's course is written to: one that fails ends no run, and one that goes on is written on."""

import io
import pathlib
from collections.abc import Iterator, Mapping

import pytest

from tests.helpers.recorded_runs import Recorder
from tests.helpers.small_run import TASKS, small_run
from training.cli import Stopped
from training.tasks import select
from training.train import plan
from training.train.loop.distributed import Distributed
from training.train.loop.progress import Progress
from training.train.trainer import Trainer
from training.train.watching.mlflow_tracker import Mlflow
from training.train.watching.tensorboard_tracker import TensorBoard
from training.train.watching.tracker import Outcome
from training.train.watching.trackers import TRACKERS, Trackers, open_trackers


class Breaking(Recorder):
    """Can't be written after its first step."""

    name = "breaking"

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        if step > 1:
            raise RuntimeError("the server is gone\nand more")
        super().scalars(values, step=step)


@pytest.fixture(autouse=True)
def _recorders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for tracker in (Recorder, Breaking):
        monkeypatch.setitem(TRACKERS, tracker.name, tracker)
    Recorder.runs.clear()
    yield
    Recorder.runs.clear()


def test_a_tracker_that_can_t_be_written_is_told_of_once_and_left_out(tmp_path: pathlib.Path) -> None:
    log = io.StringIO()
    trackers = open_trackers(["breaking", "recorder"], tmp_path, settings={}, step=0, log=log)
    for step in range(1, 7):
        trackers.scalars({"loss/age": 1.0}, step=step)
    trackers.close(Outcome.FINISHED)
    breaking, recorder = Recorder.runs
    assert list(breaking.steps) == [1]
    assert list(recorder.steps) == [1, 2, 3, 4, 5, 6]
    assert (breaking.outcome, recorder.outcome) == (None, Outcome.FINISHED)
    assert log.getvalue().splitlines() == [
        "breaking can't be written (the server is gone): training goes on",
        "breaking could not be written 3 times in a row and is left out from now",
    ]


def test_a_failure_that_passes_costs_a_tracker_nothing_but_itself() -> None:
    log, tracker = io.StringIO(), Breaking({}, 0)
    trackers = Trackers([tracker], log=log)
    for step in (2, 3, 1, 4, 5, 1):
        trackers.scalars({"loss/age": 1.0}, step=step)
    trackers.close(Outcome.STOPPED)
    assert tracker.outcome is Outcome.STOPPED
    assert "left out" not in log.getvalue()


def test_a_tracker_that_can_t_be_opened_ends_the_run_before_its_first_step(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no such server")

    monkeypatch.setattr(Breaking, "opened", refuse)
    with pytest.raises(ValueError, match=r"breaking can't be opened \(no such server\).*trackers=recorder"):
        open_trackers(["recorder", "breaking"], tmp_path, settings={}, step=0)
    assert Recorder.runs[0].outcome is Outcome.FAILED


def test_a_package_that_is_not_installed_is_told_with_all_other_faults(
    small_data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mlflow, "packages", ("json", "a_package_that_there_is_not"))
    run = small_run(trackers=("tensorboard", "mlflow"), init=str(tmp_path / "no.safetensors"))
    with pytest.raises(ValueError, match="can't be trained") as told:
        plan.check(run, tasks=select(TASKS), data=small_data, folder=tmp_path, built=False)
    assert (
        "  - the tracker mlflow needs a_package_that_there_is_not, not installed here: `make mlflow` brings "
        "it, or leave it out with --set trackers=tensorboard"
    ) in str(told.value).splitlines()
    with pytest.raises(ValueError, match="the tracker mlflow needs"):
        plan.check_unlabelled(["made"], batch=4, data=small_data, tracked_by=run.trackers)


def test_a_run_tells_its_settings_every_line_its_end_and_its_card(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(steps=3, trackers=("recorder",), checkpoint_every=1)

    def trainer() -> Trainer:
        return Trainer(run, data=small_data, folder=tmp_path, where=where)

    add = Progress.add

    def stop(self: Progress, step: int, **more: object) -> None:
        add(self, step, **more)  # type: ignore[arg-type]
        if step == 2:
            raise Stopped(15, step=step)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "add", stop)
        with pytest.raises(Stopped):
            trainer().train()
    gone_on = trainer()
    gone_on.train()
    made = gone_on.finish()
    assert made is not None
    first, second, last = Recorder.runs
    assert [run.begun_at for run in (first, second, last)] == [0, 1, 3]
    assert first.settings["run"]["steps"] == 3
    assert list(first.steps) == [1, 2]
    assert list(second.steps) == [2, 3]
    # What was done again is the same, but for the time that it took.
    times = {"faces_per_second"}
    assert {name: v for name, v in first.steps[2].items() if name not in times} == {
        name: v for name, v in second.steps[2].items() if name not in times
    }
    assert [run.outcome for run in (first, second, last)] == [
        Outcome.STOPPED,
        Outcome.FINISHED,
        Outcome.FINISHED,
    ]
    assert last.documents == {"card": made.card}


def test_tensorboard_shows_steps_once_of_a_run_that_was_killed(tmp_path: pathlib.Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    killed = TensorBoard.opened(tmp_path, settings={"run": {"steps": 4}}, step=0)
    for step in (1, 2, 3):
        killed.scalars({"loss/age": float(step)}, step=step)
    killed.close(Outcome.FAILED)
    gone_on = TensorBoard.opened(tmp_path, settings={}, step=2)
    for step in (3, 4):
        gone_on.scalars({"loss/age": 10.0 * step}, step=step)
    gone_on.document("card", {"minutes": 1})
    gone_on.close(Outcome.FINISHED)
    seen = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in seen.Scalars("loss/age")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
        (4, 40.0),
    ]
    assert {"settings/text_summary", "card/text_summary"} <= set(seen.Tags()["tensors"])

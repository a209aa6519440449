"""MLflow's files below a run: one MLflow run of it, however often it was killed and gone on with."""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.helpers.tools import REQUIRED
from training.train.watching.mlflow_tracker import Mlflow
from training.train.watching.tracker import Outcome

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SETTINGS = {"run": {"name": "small", "steps": 4, "sources": [{"name": "made"}]}, "data": {"made (few)": "x"}}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if missing := Mlflow.missing():
        sentence = f"{', '.join(missing)} not installed: {Mlflow.install}"
        if os.environ.get(REQUIRED):
            pytest.fail(sentence)
        pytest.skip(sentence)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def _client(run: pathlib.Path) -> "MlflowClient":
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{run / 'mlflow' / 'mlflow.db'}")


def _run_id(run: pathlib.Path) -> str:
    return str(json.loads((run / "mlflow" / "run.json").read_text())["run_id"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what mlflow imports
def test_a_run_that_is_killed_goes_on_in_the_same_run_of_mlflow(tmp_path: pathlib.Path) -> None:
    run = tmp_path / "one run"
    killed = Mlflow.opened(run, settings=SETTINGS, step=0)
    for step in (1, 2, 3):
        killed.scalars({"learning_rate": 0.1, "loss/age": float(step), "loss/odd": float("nan")}, step=step)
    client, run_id = _client(run), _run_id(run)
    assert client.get_run(run_id).info.status == "RUNNING"
    del killed

    # From its last checkpoint, after step 2.
    gone_on = Mlflow.opened(run, settings={"run": {"workers": 1}}, step=2)
    for step in (3, 4):
        gone_on.scalars({"learning_rate": 0.1, "loss/age": float(step)}, step=step)
    gone_on.picture("samples", np.zeros((4, 6, 3), np.uint8), step=4)
    gone_on.close(Outcome.STOPPED)
    assert client.get_run(run_id).info.status == "KILLED"
    ended = Mlflow.opened(run, settings={}, step=4)
    ended.document("card", {"minutes": 2})
    ended.close(Outcome.FINISHED)

    assert _run_id(run) == run_id
    found = client.get_run(run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "one run")
    history = [(metric.step, metric.value) for metric in client.get_metric_history(run_id, "loss/age")]
    assert history == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    assert "loss/odd" not in found.data.metrics
    assert found.data.params == {
        "run.name": "small",
        "run.steps": "4",
        "run.sources": '[{"name": "made"}]',
        "data.made _few_": "x",
    }
    files = {path.name: path for path in (run / "mlflow" / "artifacts").rglob("*") if path.is_file()}
    assert json.loads(files["settings.json"].read_text()) == SETTINGS
    assert json.loads(files["card.json"].read_text()) == {"minutes": 2}
    assert any(name.startswith("samples") and name.endswith(".png") for name in files)

    # What the store has lost is begun again.
    memory = run / "mlflow" / "run.json"
    kept = memory.read_text()
    memory.write_text(kept.replace(run_id, "0" * len(run_id)))
    Mlflow.opened(run, settings=SETTINGS, step=4).close(Outcome.FAILED)
    assert _run_id(run) not in (run_id, "0" * len(run_id))
    memory.write_text(kept)

    # Begun anew with the same settings it is the same run, with others another one.
    assert _begun_anew(run, SETTINGS) == run_id
    assert _begun_anew(run, {"run": {"steps": 5}}) != run_id


def _begun_anew(run: pathlib.Path, settings: dict[str, Any]) -> str:
    Mlflow.opened(run, settings=settings, step=0).close(Outcome.FAILED)
    return _run_id(run)

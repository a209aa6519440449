"""MLflow: a database and artefacts in RUN/mlflow, or where MLFLOW_TRACKING_URI says.

RUN/mlflow/run.json keeps which MLflow run this is, so that a run that goes on is written to the same one.
MLflow's own settings by environment variables hold, but for what is set here where they are not: it counts
its use with its makers unless it is told not to, and waits minutes for a server that does not answer.
"""

import hashlib
import json
import math
import os
import pathlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from training.train.watching.tracker import ALWAYS_WRITTEN, Outcome, Tracker

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_FOLDER = "mlflow"
_ADDRESS = "MLFLOW_TRACKING_URI"
_EXPERIMENT = "qface"  # of a store that several runs share
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_STATUS = {Outcome.FINISHED: "FINISHED", Outcome.STOPPED: "KILLED", Outcome.FAILED: "FAILED"}
# Limits of MLflow's, of every store.
_PARAMETERS_A_CALL, _NAME_LENGTH, _VALUE_LENGTH = 100, 250, 6000


class Mlflow(Tracker):
    """See the module."""

    name = "mlflow"
    packages = ("mlflow", "sqlalchemy", "alembic")
    install = "make mlflow"

    def __init__(self, client: "MlflowClient", *, run_id: str, written: int) -> None:
        """`written` is the last step that the run has already: a step that is done twice is the same."""
        self._client, self._run_id, self._written = client, run_id, written

    @classmethod
    def opened(cls, folder: pathlib.Path, *, settings: Mapping[str, Any], step: int) -> Self:
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        # Takes seconds to import.
        from mlflow.tracking import MlflowClient

        place = folder.absolute() / _FOLDER
        place.mkdir(parents=True, exist_ok=True)
        address = os.environ.get(_ADDRESS) or f"sqlite:///{place / 'mlflow.db'}"
        client = MlflowClient(tracking_uri=address)
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        memory = place / "run.json"
        store = _without_password(address)
        run_id = _remembered(memory, store=store, settings=None if step else digest)
        if run_id is not None and _goes_on(client, run_id):
            return cls(client, run_id=run_id, written=_last_step(client, run_id))
        experiment = _experiment(client, own=None if os.environ.get(_ADDRESS) else place)
        run_id = client.create_run(experiment, run_name=folder.absolute().name).info.run_id
        partial = memory.with_suffix(".partial")
        partial.write_text(json.dumps({"store": store, "run_id": run_id, "settings": digest}))
        partial.replace(memory)
        tracker = cls(client, run_id=run_id, written=-1)
        tracker._parameters(settings)
        tracker.document("settings", settings)
        return tracker

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        if step <= self._written:
            return
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items() if math.isfinite(value)]
        self._client.log_batch(self._run_id, metrics=metrics)

    def picture(self, name: str, pixels: NDArray[np.uint8], *, step: int) -> None:
        if step > self._written:
            self._client.log_image(self._run_id, pixels, key=name, step=step)

    def document(self, name: str, content: Mapping[str, Any]) -> None:
        self._client.log_dict(self._run_id, dict(content), f"{name}.json")

    def close(self, outcome: Outcome) -> None:
        self._client.set_terminated(self._run_id, status=_STATUS[outcome])

    def _parameters(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        parameters = [Param(name, value) for name, value in _flat(settings)]
        for first in range(0, len(parameters), _PARAMETERS_A_CALL):
            self._client.log_batch(self._run_id, params=parameters[first : first + _PARAMETERS_A_CALL])


def _experiment(client: "MlflowClient", *, own: pathlib.Path | None) -> str:
    """The experiment's id. A store of the run's `own` has one by its place, whose artefacts lie there too."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or (_EXPERIMENT if own is None else str(own.parent))
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None if own is None else (own / "artifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _remembered(memory: pathlib.Path, *, store: str, settings: str | None) -> str | None:
    """The id of the run that was begun in this store; None for none.

    `settings` is what a run that begins anew has to have in common with it, None for one that goes on.
    """
    try:
        known = json.loads(memory.read_text())
        same = known["store"] == store and settings in (None, known["settings"])
        return str(known["run_id"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _goes_on(client: "MlflowClient", run_id: str) -> bool:
    """Whether the store has this run still, which is marked as running then."""
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _last_step(client: "MlflowClient", run_id: str) -> int:
    return max((metric.step for metric in client.get_metric_history(run_id, ALWAYS_WRITTEN)), default=-1)


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


def _flat(settings: Mapping[str, Any], *, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested data as MLflow's parameters: names with dots, in its characters, and short texts."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, prefix=f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield re.sub(r"[^\w\-. :/]", "_", name)[:_NAME_LENGTH], text[:_VALUE_LENGTH]

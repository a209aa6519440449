"""One experiment, from its networks to its report."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from training.data.prepared.face_set import FaceSet
from training.evaluation.evaluate import evaluate
from training.evaluation.predictors import Predictor, check_crops, load_predictor
from training.evaluation.report import result_as_json
from training.paper.caveats import caveats_of
from training.paper.experiment import Experiment, Job
from training.paper.report import as_json, as_markdown, as_table
from training.research.trained_results import DRAWS
from training.train.loop.distributed import Distributed


@dataclasses.dataclass(kw_only=True)
class Measured:
    """A network that was trained elsewhere, with what was measured of it so far."""

    predictor: Predictor
    rows_of: dict[tuple[Path, int | None], list[dict[str, Any]]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, network: str, *, where: Distributed) -> Self:
        """A checkpoint, an ONNX file or a server; ValueError where there is none."""
        return cls(predictor=load_predictor(network, device=where.device.type, crop=None))

    def rows(self, job: Job, sets: Sequence[str]) -> list[dict[str, Any]]:
        """Its results on the test splits of these sets, as JSON rows."""
        found = []
        for name in sets:
            place = (job.data / name, job.limit)
            if place not in self.rows_of:
                faces = FaceSet(job.data / name, split="test", crop=None)
                check_crops(self.predictor, [faces])
                results = evaluate(
                    self.predictor.predict,
                    self.predictor.tasks,
                    [faces],
                    input_size=self.predictor.input_size,
                    limit=job.limit,
                    bootstrap=DRAWS,
                )
                self.rows_of[place] = [result_as_json(result) for result in results]
            found += self.rows_of[place]
        return found


def make(
    experiment: Experiment, job: Job, *, measured: Measured | None, quick: bool
) -> tuple[str, dict[str, Any]]:
    """The report as Markdown and as plain data; on all but the leading process of no use."""
    caveats = caveats_of(experiment, job, quick=quick)
    if experiment.draw is not None:
        body = _drawn(experiment, job)
        return as_markdown(experiment, body=body, caveats=caveats), as_json(experiment, {}, caveats=caveats)
    if measured is None:
        rows = {
            method: experiment.paper.rows(job, method, sets=experiment.sets) for method in experiment.methods
        }
    else:
        rows = {experiment.paper.main: measured.rows(job, experiment.sets)}
    body = as_table(experiment, rows)
    return as_markdown(experiment, body=body, caveats=caveats), as_json(experiment, rows, caveats=caveats)


def _drawn(experiment: Experiment, job: Job) -> str:
    assert experiment.draw is not None
    if job.checkpoint is None:
        checkpoint = experiment.paper.trained(job, experiment.paper.main)
    else:
        checkpoint = Path(job.checkpoint)
    if not job.where.leads:
        return ""
    job.folder.mkdir(parents=True, exist_ok=True)
    sets = [FaceSet(job.data / name, split="test", crop=None) for name in experiment.sets]
    return experiment.draw(experiment, job, checkpoint, sets)

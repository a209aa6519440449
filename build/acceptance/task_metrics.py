"""Whether an engine's metrics on labelled faces are torch's, up to what a lower precision may cost."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from build.backends.base import Infer
from build.errors import BuildError
from runtime.contract import Contract

Metrics = Mapping[str, Mapping[str, float]]  # "TASK on SET" -> metric -> value

# How much worse than torch an engine may be: a share of right answers, an area under a curve; in years or
# degrees; and in parts of a face's size, by which landmarks are measured.
SCORE_LOSS = 0.01
ERROR_GAIN = 0.1
POINT_GAIN = 0.002
_GAINS = {
    "normalized_mean_error": POINT_GAIN,
    "box_normalized_error": POINT_GAIN,
    "failure_rate": SCORE_LOSS,
    "expected_calibration_error": SCORE_LOSS,
}
_NO_METRIC = ("faces", "trivial")


def measure_tasks(
    infer: Infer,
    contract: Contract,
    *,
    checkpoint: Path,
    labelled: Path,
    log: Callable[[str], None],
) -> dict[str, Metrics]:
    """Each task's metrics on the prepared sets below `labelled`: of `torch` and of the `engine`.

    Raises BuildError for a checkpoint or sets that can't be read.
    """
    from training.data.prepared.face_set import prepared_sets
    from training.evaluation.evaluate import evaluate, summary
    from training.evaluation.predictors import checkpoint_predictor

    log(f"  measuring the tasks on the labelled faces of {labelled}")
    try:
        sets = prepared_sets(labelled)
        return {
            name: summary(
                evaluate(
                    predict,
                    contract.tasks,
                    sets,
                    input_size=contract.input_size,
                    bootstrap=0,
                )
            )
            for name, predict in (("torch", checkpoint_predictor(checkpoint).predict), ("engine", infer))
        }
    except ValueError as error:
        raise BuildError(str(error)) from None


def metric_fault(metrics: Mapping[str, Metrics]) -> str | None:
    """Which metrics the engine worsens by more than is allowed, or None. `metrics` may be empty."""
    if not metrics:
        return None
    from training.evaluation.metrics import less_is_better

    faults = []
    for name, by_metric in metrics.get("torch", {}).items():
        for metric, expected in by_metric.items():
            measured = metrics["engine"][name].get(metric, math.nan)
            if metric in _NO_METRIC:
                continue
            if less_is_better(metric):
                if not measured <= expected + _GAINS.get(metric, ERROR_GAIN):
                    faults.append(f"{metric} of {name} rises from {expected:.3f} to {measured:.3f}")
            elif not measured >= expected - SCORE_LOSS:
                faults.append(f"{metric} of {name} falls from {expected:.4f} to {measured:.4f}")
    return "; ".join(faults) or None

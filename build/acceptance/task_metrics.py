"""Whether an engine's metrics on labelled faces are torch's, up to what a lower precision may cost."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from build.backends.base import Infer
from build.errors import BuildError
from runtime.contract import Contract

Metrics = Mapping[str, Mapping[str, float]]  # "TASK on SET" -> metric -> value

# How much worse than torch an engine may be, where a metric has no `engine_tolerance` of its own: in a share
# of right answers or an area under a curve; in years or degrees.
_SHARE_TOLERANCE = 0.01
_UNIT_TOLERANCE = 0.1
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
        sets = prepared_sets(labelled, crop=contract.crop)
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
    from training.evaluation.metrics import metric_named

    faults = []
    for name, by_metric in metrics.get("torch", {}).items():
        for metric, expected in by_metric.items():
            measured = metrics["engine"][name].get(metric, math.nan)
            if metric in _NO_METRIC:
                continue
            about = metric_named(metric)
            allowed = about.engine_tolerance
            if allowed is None:
                allowed = _UNIT_TOLERANCE if about.unit else _SHARE_TOLERANCE
            if about.is_error:
                if not measured <= expected + allowed:
                    faults.append(f"{metric} of {name} rises from {expected:.3f} to {measured:.3f}")
            elif not measured >= expected - allowed:
                faults.append(f"{metric} of {name} falls from {expected:.4f} to {measured:.4f}")
    return "; ".join(faults) or None

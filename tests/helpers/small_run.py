"""A small run of fine-tuning, and the tasks and networks that tests of training share."""

import dataclasses

from training.models.qface import CONFIGS
from training.train.run_config import Run, Source

TASKS = ("gender", "age", "action_units")
# As small as a network with BatchNorm can be.
SMALL = dataclasses.replace(
    CONFIGS["qface_tiny"], name="small", input_size=64, width=32, heads=4, decoder_blocks=1, tasks=TASKS
)


def small_run(**changes: object) -> Run:
    """Two steps of qface_test on the set "made", with fields changed."""
    fields: dict[str, object] = {
        "name": "small",
        "model": dataclasses.replace(CONFIGS["qface_test"], tasks=TASKS),
        "sources": (Source(name="made", batch=4),),
        "steps": 2,
        "learning_rate": 1e-3,
        "bf16": False,
        "workers": 0,
        "trackers": (),
        "progress_every": 1,
    }
    return Run(**{**fields, **changes})  # type: ignore[arg-type]

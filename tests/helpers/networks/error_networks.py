"""A small network with random weights that also answers how far it may be off."""

import dataclasses
from pathlib import Path

from tests.helpers.networks.few_layers import FEW_LAYERS
from training.models import Checkpoint, save_checkpoint
from training.train.random_initialisation import random_checkpoint

ERRORS = ("age", "head_pose", "landmarks")


def error_checkpoint(*, tasks: tuple[str, ...] = (), errors: tuple[str, ...] = ERRORS) -> Checkpoint:
    """`FEW_LAYERS` (its own ten tasks, or these) with expected errors of `errors`.

    It claims to be trained, so that it may be served.
    """
    config = dataclasses.replace(FEW_LAYERS, tasks=tasks or FEW_LAYERS.tasks, errors=errors)
    return dataclasses.replace(random_checkpoint(config, seed=0), card={"sources": []})


def export_with_errors(path: Path, *, tasks: tuple[str, ...] = (), errors: tuple[str, ...] = ERRORS) -> Path:
    """`error_checkpoint` as the ONNX file `path`, with its checkpoint beside it."""
    from build.onnx_export import export

    checkpoint = path.with_suffix(".safetensors")
    save_checkpoint(checkpoint, error_checkpoint(tasks=tasks, errors=errors))
    export(checkpoint, output=path)
    return path

"""Answers of every kind with numbers drawn at random: as a client reads them, without a server."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from qface_client import Analysis
from qface_client.contract import Contract, ErrorBounds, parse_contract
from qface_client.reading import read_photo
from runtime.kinds.mask import as_png
from training.contract import make_contract
from training.tasks import CATALOGUE

# Of all tasks that the project knows.
CONTRACT = parse_contract(json.dumps(make_contract(list(CATALOGUE.values()), input_size=128).to_json()))


def task_of(kind: str) -> Any:
    """The first task of a kind."""
    return next(task for task in CONTRACT.tasks if task.kind == kind)


def stating_errors(contract: Contract) -> Contract:
    """The contract of a server that also answers how far it may be off, where a kind can."""
    bounds = ((0.5, 0.7), (0.8, 1.6), (0.95, 3.0))
    kinds = ("value", "rotation", "points")
    tasks = tuple(
        dataclasses.replace(task, error=ErrorBounds(unit=task.unit, within=bounds))
        if task.kind in kinds
        else task
        for task in contract.tasks
    )
    return dataclasses.replace(contract, tasks=tasks, hash="states-errors")


def tensors_of(
    count: int, *, contract: Contract = CONTRACT, tasks: Sequence[str] | None = None, side: int = 6
) -> dict[str, Any]:
    """What a server answers of a photo of 640 x 480 with so many faces; masks of `side` x `side` pixels."""
    random = np.random.default_rng(0)
    tensors: dict[str, Any] = {
        "boxes": np.tile(np.array([1, 2.5, 3, 4], np.float32), (count, 1)),
        "scores": np.linspace(1, 0.5, count, dtype=np.float32),
        "landmarks": np.zeros((count, 5, 2), np.float32),
        "photo_size": np.array([640, 480], np.int32),
        "contract": np.array([contract.hash.encode()], object),
    }
    for task in contract.select(tasks):
        size = len(task.labels)
        probabilities = random.random((count, size), np.float32)
        made = {
            "probabilities": probabilities,
            "label": np.full((count, 1), task.labels[1 % size].encode(), object),
            "active": probabilities > 0.5,
            "value": np.full((count, 1), 31.25, np.float32),
            "angles": np.tile(np.arange(size, dtype=np.float32), (count, 1)),
            "points": random.random((count, size, 2), np.float32),
            "error": np.linspace(1, 5, count * size, dtype=np.float32).reshape(count, size),
            "png": np.array([[_mask(random, side)] for _ in range(count)], object).reshape(count, 1),
            "map": np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1)),
        }
        tensors |= {output: made[output.removeprefix(f"{task.name}_")] for output in task.outputs}
    return tensors


def photo_of(
    count: int, *, contract: Contract = CONTRACT, tasks: Sequence[str] | None = None, side: int = 6
) -> Analysis:
    """The same, read."""
    tensors = tensors_of(count, contract=contract, tasks=tasks, side=side)
    return read_photo(tensors, tasks=contract.select(tasks), contract=contract)


def _mask(random: np.random.Generator, side: int) -> bytes:
    """A PNG whose first line lies outside the photo."""
    ids = random.integers(0, 2, (side, side), np.uint8)
    ids[0] = 255
    return as_png(ids)

"""Requests as perf_analyzer reads them: JSON with each tensor's bytes in base64."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.loadtest.protocols.tensors import datatype_of, raw_bytes
from deploy.loadtest.work.question import Question


def input_data(questions: Sequence[Question], *, batched: bool) -> dict[str, Any]:
    """What --input-data takes: the questions one after the other, without the dimension of a batch.

    ValueError for a batch of several rows, which perf_analyzer makes itself (-b) of one.
    """
    return {"data": [_step(question, batched=batched) for question in questions]}


def write_input(questions: Sequence[Question], *, batched: bool, file: Path) -> None:
    file.write_text(json.dumps(input_data(questions, batched=batched)))


def _step(question: Question, *, batched: bool) -> dict[str, Any]:
    step = {}
    for name, tensor in question.inputs.items():
        if batched and tensor.shape[0] != 1:
            raise ValueError(
                f"{question.kind} has {tensor.shape[0]} rows in {name}: give one, perf_analyzer makes batches"
            )
        data = base64.b64encode(raw_bytes(tensor, datatype_of(tensor, name=name)))
        step[name] = {
            "content": {"b64": data.decode()},
            "shape": list(tensor.shape)[1 if batched else 0 :],
        }
    return step

"""Requests and outcomes as the lines of a recording.

    {"format": "qface-recording", "version": 1}
    {"call": "model", "model": "photo_analysis", "answer": {...}}
    {"call": "infer", "model": "photo_analysis", "inputs": {...}, "outputs": [...], "parameters": {...}, ...}

An outcome is an `answer` or an `error`. Keys are sorted, so that two recordings compare line by line.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from .. import errors
from .._exchange.steps import Infer, ReadModel, Reply
from ..contract import Contract, ModelInfo, parse_contract
from ..errors import ContractError, QFaceError
from .tensors import fingerprint, tensor_from_json, tensor_to_json

FORMAT, VERSION = "qface-recording", 1
HEADER = {"format": FORMAT, "version": VERSION}


def to_line(form: Mapping[str, Any]) -> bytes:
    """One line of the file."""
    return json.dumps(form, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def request_to_json(step: ReadModel | Infer) -> dict[str, Any]:
    """What a request is known by: never a picture, a key, an address or a deadline."""
    if isinstance(step, ReadModel):
        return {"call": "model", "model": step.model}
    return {
        "call": "infer",
        "model": step.model,
        "inputs": {name: fingerprint(tensor) for name, tensor in step.inputs.items()},
        "outputs": sorted(step.outputs),
        # JSON has no NaN, which a server refuses.
        "parameters": {
            name: value if math.isfinite(value) else str(value) for name, value in step.parameters.items()
        },
        **({} if step.priority is None else {"priority": step.priority}),
    }


def outcome_to_json(outcome: ModelInfo | Reply | QFaceError) -> dict[str, Any]:
    """How the request ended."""
    if isinstance(outcome, QFaceError):
        error = {"type": type(outcome).__name__, "message": str(outcome)}
        served = {"server_message": outcome.server_message, "status": outcome.status}
        return {"error": error | {name: words for name, words in served.items() if words is not None}}
    return {"answer": _model(outcome) if isinstance(outcome, ModelInfo) else _reply(outcome)}


def outcome_from_json(line: Mapping[str, Any]) -> ModelInfo | Reply | QFaceError:
    """How the request of a line ended; one of `DAMAGE` for what is no such line."""
    if "error" in line:
        kind = getattr(errors, line["error"]["type"], None)
        if not (isinstance(kind, type) and issubclass(kind, QFaceError)):
            raise ValueError(f"unknown error {line['error']['type']!r}")
        error: QFaceError = kind(line["error"]["message"])
        error.server_message = line["error"].get("server_message")
        error.status = line["error"].get("status")
        return error
    if line["call"] == "model":
        return _model_from_json(line["answer"])
    answer = line["answer"]
    tensors = {name: tensor_from_json(tensor) for name, tensor in answer["tensors"].items()}
    timings = {name: float(milliseconds) for name, milliseconds in answer["timings"].items()}
    return Reply(tensors=tensors, model=answer["model"], version=answer["version"], timings=timings)


def _reply(reply: Reply) -> dict[str, Any]:
    return {
        "model": reply.model,
        "version": reply.version,
        "timings": dict(reply.timings),
        "tensors": {name: tensor_to_json(tensor) for name, tensor in reply.tensors.items()},
    }


def _model(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "max_batch_size": info.max_batch_size,
        "contract": None if info.contract is None else _contract(info.contract),
        "networks": dict(info.networks),
        "outputs": sorted(info.outputs),
        "parameters": list(info.parameters),
        "notice": info.notice,
        "precision": info.precision,
    }


def _model_from_json(form: Mapping[str, Any]) -> ModelInfo:
    try:
        contract = None if form["contract"] is None else parse_contract(json.dumps(form["contract"]))
    except ContractError as error:
        raise ValueError(str(error)) from error
    return ModelInfo(
        name=form["name"],
        max_batch_size=form["max_batch_size"],
        contract=contract,
        networks=form["networks"],
        outputs=frozenset(form["outputs"]),
        parameters=tuple(form["parameters"]),
        notice=form["notice"],
        precision=form["precision"],
    )


def _contract(contract: Contract) -> dict[str, Any]:
    """As a server states it, so that the same code reads it."""
    form = contract.to_dict()
    form["hash"] = form.pop("contract")
    return form

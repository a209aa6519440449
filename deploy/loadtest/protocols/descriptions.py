"""What V2 servers return about their models, as plain data."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

_LONGEST = 200  # characters of a value that a report keeps as it is


def from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model of a ModelConfig, in the JSON form that Triton gives it over HTTP.

    `inputs` and `outputs` are lists of `name`, `datatype`, `shape` (with the batch's dimension, -1, where
    there is one) and `optional`; `steps` the models of an ensemble; `parameters` texts by their keys.
    """
    rows = int(config.get("max_batch_size", 0))
    steps = config.get("ensemble_scheduling", {}).get("step", ())
    return {
        "platform": config.get("platform") or config.get("backend") or "",
        "max_batch_size": rows,
        "inputs": [_of_config(each, batched=rows > 0) for each in config.get("input", ())],
        "outputs": [_of_config(each, batched=rows > 0) for each in config.get("output", ())],
        "steps": [step["model_name"] for step in steps],
        "parameters": {
            key: value.get("string_value", "") for key, value in config.get("parameters", {}).items()
        },
    }


def summary(description: Mapping[str, Any]) -> dict[str, Any]:
    """What a report keeps of a door's description: what is short, and what another network would change.

    `models` are names, `tasks` too; `precision` is by model where models declare theirs; `configuration` is
    16 hexadecimal digits over all that the models declare of themselves.
    """
    models = description["models"]
    kept: dict[str, Any] = {
        key: value
        for key, value in description.items()
        if not isinstance(value, Mapping) and len(str(value)) <= _LONGEST
    }
    kept["models"] = sorted(models)
    if tasks := description.get("tasks"):
        kept["tasks"] = [task["name"] for task in tasks]
    declared = {
        f"{name}: {key}": value
        for name, model in sorted(models.items())
        for key, value in model.get("parameters", {}).items()
        if key.endswith("precision")
    }
    if declared:
        kept["precision"] = declared
    if any(models.values()):
        kept["configuration"] = sha256(json.dumps(models, sort_keys=True).encode()).hexdigest()[:16]
    return kept


def from_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a model's metadata, for servers that return no configuration: `max_batch_size` is None."""
    return {
        "platform": metadata.get("platform", ""),
        "max_batch_size": None,
        "inputs": [_of_metadata(each) for each in metadata.get("inputs", ())],
        "outputs": [_of_metadata(each) for each in metadata.get("outputs", ())],
        "steps": [],
        "parameters": {},
    }


def _of_config(tensor: Mapping[str, Any], *, batched: bool) -> dict[str, Any]:
    datatype = str(tensor["data_type"]).removeprefix("TYPE_")
    return {
        "name": tensor["name"],
        "datatype": "BYTES" if datatype == "STRING" else datatype,
        "shape": [-1] * batched + _sizes(tensor.get("dims", ())),
        "optional": bool(tensor.get("optional", False)),
    }


def _of_metadata(tensor: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": tensor["name"],
        "datatype": tensor["datatype"],
        "shape": _sizes(tensor.get("shape", ())),
        "optional": False,
    }


def _sizes(dims: Sequence[int | str]) -> list[int]:
    """JSON of protobuf has 64-bit integers as texts."""
    return [int(size) for size in dims]

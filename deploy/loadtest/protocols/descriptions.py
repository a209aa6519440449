"""What V2 servers return about their models, as plain data."""

from collections.abc import Mapping, Sequence
from typing import Any


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

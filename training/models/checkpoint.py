"""Checkpoints for others to use: a safetensors file whose metadata describes what the weights answer.

Weights are fp16 numbers, or fp32 ones where rounding would cost too much (`weights` in the metadata is
fp32 then). `family` is that of the configuration (training.models.families; absent: Q-Face's).
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from runtime.contract import Contract, InvalidContract
from training.models.families import FAMILIES
from training.models.network import FaceNetwork, check_contract
from training.plain_data import plain
from training.task_files import adopt
from training.task_type import Task
from training.tasks import CATALOGUE

FORMAT = "qface-checkpoint-1"
PRECISIONS = ("fp16", "fp32")
_UNNAMED_FAMILY = "qface"  # of a file that names none, as all did while there was one family
_ANEW = "take another checkpoint, or train it anew with `make train`"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A network in eval mode and its description.

    `contract` is training.contract.make_contract's, whose expected errors the network has to state; `card`
    is what the weights learned from and what they reached; `weights` are "fp16", which all are rounded to,
    or "fp32".
    """

    model: FaceNetwork
    contract: Contract
    card: dict[str, Any]
    weights: str = "fp16"

    def __post_init__(self) -> None:
        if self.weights not in PRECISIONS:
            raise ValueError(f"weights {self.weights!r} are unknown: choose from {', '.join(PRECISIONS)}")
        check_contract(self.model, self.contract)


def save_checkpoint(path: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Write atomically; floating-point weights must already be rounded to fp16 (see `round_to_half`).

    Raises ValueError where there is no room or no place; what was there stays.
    """
    metadata = {
        "format": FORMAT,
        "config": json.dumps(plain(checkpoint.model.config)),
        "contract": json.dumps(checkpoint.contract.to_json()),
        "labels": json.dumps({task.name: task.labels for task in checkpoint.model.tasks}),
        "tasks": json.dumps({task.name: task.to_json() for task in checkpoint.model.tasks}),
        "card": json.dumps(checkpoint.card),
    }
    # What an older reader does not know is left out where it does not matter.
    if (family := checkpoint.model.config.family) != _UNNAMED_FAMILY:
        metadata["family"] = family
    halves = checkpoint.weights == "fp16"
    if not halves:
        metadata["weights"] = checkpoint.weights
    tensors = {}
    for name, tensor in checkpoint.model.state_dict().items():
        if halves and tensor.is_floating_point():
            if not bool((tensor.half().float() == tensor).all()):
                raise ValueError(
                    f"weight {name} is not rounded to fp16: call round_to_half before evaluating and saving"
                )
            tensor = tensor.half()
        tensors[name] = tensor.contiguous()
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(partial, tensors, metadata)
        partial.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"the checkpoint {path} can't be written ({reason}), and what was there stays: "
            "make room, or name a writable place"
        ) from None


def save_tensors(path: pathlib.Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file with the rights that any new file has: the library's own is its owner's alone."""
    safetensors.torch.save_file(dict(tensors), str(path), dict(metadata))
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def read_card(path: pathlib.Path) -> dict[str, Any]:
    """The card in a file's metadata, without its weights; empty for tensors that have none."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
    except (OSError, ValueError, safetensors.SafetensorError):
        return {}
    return card if isinstance(card, dict) else {}


def load_checkpoint(path: pathlib.Path) -> Checkpoint:
    """Read a checkpoint; weights become fp32. ValueError for a file that is none."""
    metadata, tensors = _read(path)
    entries = {name: _entry(path, metadata, name) for name in ("config", "contract", "labels", "card")}
    contract = _contract(path, entries["contract"])
    # Queries are found by their labels' places: an order that changed would swap answers silently.
    for name, labels in entries["labels"].items():
        if name in CATALOGUE and list(CATALOGUE[name].labels) != labels:
            raise _other_labels(path, name)
    stored = _stored_tasks(path, metadata, entries["labels"])
    for name in entries["labels"]:
        if name not in CATALOGUE:
            raise _other_labels(path, name)
    tasks = _tasks(path, stored, entries["labels"])
    model = _network(path, metadata.get("family", _UNNAMED_FAMILY), entries["config"])
    weights = metadata.get("weights", PRECISIONS[0])
    try:
        wrong = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # other shapes; one line each, after a headline
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{path} does not fit its own configuration ({reason}): {_ANEW}") from None
    # What a ViT had behind its last stage was never used, and was saved until it was left out.
    wrong.unexpected_keys[:] = [
        key for key in wrong.unexpected_keys if not key.startswith("encoder.model.norm.")
    ]
    if wrong.missing_keys or wrong.unexpected_keys:
        raise ValueError(
            f"{path} does not fit its own configuration (missing {wrong.missing_keys[:3]}, "
            f"unexpected {wrong.unexpected_keys[:3]}): {_ANEW}"
        )
    model.adopt_tasks(tasks)
    model.eval()
    try:
        return Checkpoint(model=model, contract=contract, card=entries["card"], weights=weights)
    except ValueError as error:
        raise ValueError(f"{path} can't be read ({error}): {_ANEW}") from None


def _read(path: pathlib.Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors, as fp32, of a file in Q-Face's format."""
    if path.is_dir():
        raise ValueError(f"{path} is a directory: name the .safetensors file in it")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = safetensors.torch.load_file(str(path))
    except FileNotFoundError:
        raise ValueError(
            f"{path} does not exist: train one with `make train`, or take weights/qface-tiny.safetensors"
        ) from None
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}): give a Q-Face checkpoint") from None
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror or error}): make it readable") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} holds tensors but not Q-Face's metadata: give a file that training.train.finetune wrote"
        )
    return metadata, {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def _entry(path: pathlib.Path, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """One entry of the metadata, which is an object in JSON."""
    try:
        entry = json.loads(metadata[name])
    except KeyError:
        raise ValueError(f"{path} has no {name} in its metadata: {_ANEW}") from None
    except ValueError as error:
        raise ValueError(f"the {name} in the metadata of {path} is no JSON ({error}): {_ANEW}") from None
    if not isinstance(entry, dict):
        raise ValueError(f"the {name} in the metadata of {path} is no JSON object: {_ANEW}")
    return entry


def _other_labels(path: pathlib.Path, name: str) -> ValueError:
    return ValueError(
        f"{path} learned other labels of {name!r} than training/tasks.py has: use the code that trained it, "
        "or train anew"
    )


def _stored_tasks(
    path: pathlib.Path, metadata: Mapping[str, str], labels: Mapping[str, Any]
) -> list[Task] | None:
    """The tasks as the weights learned them, None where the file has none.

    Those that the catalogue does not know (tasks of one's own) are added to it.
    """
    if "tasks" not in metadata:
        return None
    stored = _entry(path, metadata, "tasks")
    try:
        tasks = [
            Task.from_json(fields, name=name, labels=tuple(labels[name])) for name, fields in stored.items()
        ]
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f"the tasks in the metadata of {path} can't be read ({error}): use the code that trained it, or "
            "train anew"
        ) from None
    for task in tasks:
        if task.name not in CATALOGUE:
            adopt(task, origin=str(path))
    return tasks


def _tasks(path: pathlib.Path, stored: Sequence[Task] | None, labels: Mapping[str, Any]) -> Sequence[Task]:
    """The tasks as the weights learned them; the catalogue's where the file has none."""
    if stored is None:
        return [CATALOGUE[name] for name in labels]
    for task in stored:
        known = CATALOGUE[task.name]
        if (task.kind, task.queries) != (known.kind, known.queries):
            raise ValueError(
                f"{path} learned task {task.name!r} as {task.queries} queries of the kind {task.kind}, and "
                f"training/tasks.py has {known.queries} of the kind {known.kind}: "
                "use the code that trained it, or train anew"
            )
    return stored


def _contract(path: pathlib.Path, entry: Mapping[str, Any]) -> Contract:
    """The contract of the metadata; ValueError where it is none, or has no task."""
    try:
        contract = Contract.parse(entry)
        if not contract.tasks:
            raise InvalidContract("it has no task")
    except InvalidContract as error:
        raise ValueError(
            f"the contract in the metadata of {path} is not a whole one ({error}): {_ANEW}"
        ) from None
    return contract


def _network(path: pathlib.Path, family: str, fields: Mapping[str, Any]) -> FaceNetwork:
    """The network of a configuration in JSON, where tuples are lists."""
    if family not in FAMILIES:
        raise ValueError(
            f"{path} is of the family {family!r}, which this code does not know (it knows "
            f"{', '.join(FAMILIES)}): use the code that made it"
        )
    config = FAMILIES[family].config
    unknown = sorted(fields.keys() - {field.name for field in dataclasses.fields(config)})
    if unknown:
        raise ValueError(
            f"the configuration of {path} has {', '.join(unknown)}, which this code does not know: "
            "use the code that trained it, or train anew"
        )
    try:
        return FAMILIES[family].build(config(**{key: tuples(value) for key, value in fields.items()}))
    # What a wrong value does depends on where in torch or timm it arrives.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"the configuration of {path} makes no network ({reason}): {_ANEW}") from None


def tuples(value: Any) -> Any:
    """Lists as the tuples that they were before JSON, those in lists too."""
    return tuple(tuples(part) for part in value) if isinstance(value, list) else value


def round_to_half(model: FaceNetwork) -> None:
    """Round every saved tensor to fp16 and back, in place: once, before evaluation and export."""
    for tensor in model.state_dict(keep_vars=True).values():
        if tensor.is_floating_point():
            tensor.data = tensor.data.half().float()

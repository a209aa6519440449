"""Checkpoints for others to use: a safetensors file whose metadata says what the weights can answer."""

import dataclasses
import json
import pathlib
from typing import Any

import safetensors
import safetensors.torch

from training.models.qface import QFace, QFaceConfig, build_qface
from training.tasks import CATALOGUE

FORMAT = "qface-checkpoint-1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A network in eval mode and what it says of itself.

    `contract` is training.tasks.make_contract's; `card` says what the weights learned from and what
    they reached.
    """

    model: QFace
    contract: dict[str, Any]
    card: dict[str, Any]


def save_checkpoint(path: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Write atomically; floating-point weights must already be rounded to fp16 (see `round_to_half`)."""
    metadata = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(checkpoint.model.config)),
        "contract": json.dumps(checkpoint.contract),
        "labels": json.dumps({task.name: task.labels for task in checkpoint.model.tasks}),
        "card": json.dumps(checkpoint.card),
    }
    tensors = {}
    for name, tensor in checkpoint.model.state_dict().items():
        if tensor.is_floating_point():
            if not bool((tensor.half().float() == tensor).all()):
                raise ValueError(
                    f"weight {name} is not rounded to fp16: call round_to_half before evaluating and saving"
                )
            tensor = tensor.half()
        tensors[name] = tensor.contiguous()
    partial = path.with_name(path.name + ".partial")
    safetensors.torch.save_file(tensors, str(partial), metadata)
    partial.replace(path)


def load_checkpoint(path: pathlib.Path) -> Checkpoint:
    """Read a checkpoint; weights become fp32. ValueError says what is wrong with a file that is none."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise ValueError(
            f"{path} does not exist: train one with `make train`, or take weights/qface-tiny.safetensors"
        ) from None
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}): give a Q-Face checkpoint") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} holds tensors but not Q-Face's metadata: give a file that training.finetune wrote"
        )
    fields = json.loads(metadata["config"])
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    config = QFaceConfig(**fields)
    for name, labels in json.loads(metadata["labels"]).items():
        # Queries are found by their labels' places: an order that changed would swap answers silently.
        if name not in CATALOGUE or list(CATALOGUE[name].labels) != labels:
            raise ValueError(
                f"{path} learned other labels of {name!r} than training/tasks.py has: "
                "use the code that trained it, or train anew"
            )
    model = build_qface(config)
    tensors = {
        name: t.float() if t.is_floating_point() else t
        for name, t in safetensors.torch.load_file(str(path)).items()
    }
    wrong = model.load_state_dict(tensors, strict=False)
    if wrong.missing_keys or wrong.unexpected_keys:
        raise ValueError(
            f"{path} does not fit its own configuration: missing {wrong.missing_keys[:3]}, "
            f"unexpected {wrong.unexpected_keys[:3]}"
        )
    model.eval()
    return Checkpoint(
        model=model, contract=json.loads(metadata["contract"]), card=json.loads(metadata["card"])
    )


def round_to_half(model: QFace) -> None:
    """Round every saved tensor to fp16 and back, in place: once, before evaluation and export."""
    for tensor in model.state_dict(keep_vars=True).values():
        if tensor.is_floating_point():
            tensor.data = tensor.data.half().float()

"""What the models of a repository are configured with on a CPU."""

from pathlib import Path
from typing import Any

from build.serving.pbtxt import parse


def model_config(model: Path) -> Any:
    """Triton's configuration of a model's folder as a CPU server loads it."""
    for_cpu = model / "configs" / "cpu.pbtxt"
    return parse((for_cpu if for_cpu.is_file() else model / "config.pbtxt").read_text())


def model_parameters(model: Path) -> dict[str, str]:
    """The parameters by their names."""
    return {key: value.string_value for key, value in model_config(model).parameters.items()}


def model_instances(model: Path) -> int:
    """How often it is loaded; 0 of an ensemble."""
    return sum(group.count for group in model_config(model).instance_group)

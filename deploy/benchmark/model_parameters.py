"""What the models of a repository are configured with on a CPU."""

from pathlib import Path

from build.serving.pbtxt import parse


def model_parameters(model: Path) -> dict[str, str]:
    """The parameters of a model's folder as a CPU server loads it."""
    for_cpu = model / "configs" / "cpu.pbtxt"
    config = parse((for_cpu if for_cpu.is_file() else model / "config.pbtxt").read_text())
    return {key: value.string_value for key, value in config.parameters.items()}

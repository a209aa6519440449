"""Builds of engines for tests: quick ones, and one of a small network that many tests share."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from build.__main__ import main
from build.config import WEIGHTS
from build.stages.artifacts import NETWORK
from runtime.engines.openvino import OpenVinoEngine, openvino_core
from tests.helpers.paths import ROOT

SHIPPED = ROOT / "weights" / "qface-tiny.safetensors"
QUICK = ("--rounds", "1", "--seconds", "0.01")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallBuild:
    """A small network that was built and is served: its checkpoint, all that the build left and printed."""

    checkpoint: Path
    output: Path
    printed: str

    @property
    def exported(self) -> Path:
        """The checkpoint's ONNX file."""
        return self.output / "build" / self.checkpoint.stem / "onnx" / NETWORK

    def exported_again(self, *_: object, **__: object) -> onnx.ModelProto:
        """Takes the place of `build.onnx_export._to_onnx` where this checkpoint is exported once more."""
        return onnx.load(self.exported)

    def copy_to(self, output: Path) -> Path:
        """All that the build left, at a place where a test may change it; nothing of it is out of date."""
        shutil.copytree(self.output, output, symlinks=True)
        return output


def build(checkpoint: Path, output: Path, *words: str) -> int:
    """`python -m build` in this process, with as little measuring of speed as there can be."""
    return main([str(checkpoint), "--output", str(output), *QUICK, *words])


def manifest_of(output: Path, engine: str) -> dict[str, Any]:
    """The manifest of an engine of the shipped network."""
    path = output / "build" / SHIPPED.stem / engine / "engine" / "manifest.json"
    return dict(json.loads(path.read_text()))


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that `python -m build` ends in."""
    assert main(words) == 2, words
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    return line


def bf16_refusal() -> str | None:
    """What a bf16 engine of the shipped network is refused for on this machine; None where it is built.

    A processor without bf16 computes in fp32. Where ONEDNN_MAX_CPU_ISA keeps oneDNN below what the processor
    has, OpenVINO finds no kernel at all.
    """
    if "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "stayed fp32"
    try:
        OpenVinoEngine(WEIGHTS, precision="bf16", threads=1)
    except RuntimeError:
        return "OpenVINO can't compile"
    return None

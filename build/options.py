"""The options that `build.engine` and `build.repository` share."""

import argparse
from pathlib import Path

from build.config import ROOT, WEIGHTS
from build.errors import BuildError
from build.served import CpuEngine


def add_options(parser: argparse.ArgumentParser) -> None:
    """--weights, --target, --precision, --threads, --detector and --output."""
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="the ONNX file that build.onnx exported"
    )
    parser.add_argument(
        "--target", choices=("cpu", "tensorrt"), default="cpu", help="what the engine runs on"
    )
    parser.add_argument("--precision", choices=("fp32", "bf16"), default=CpuEngine().precision)
    parser.add_argument("--threads", type=int, default=0, help="cores for the engine (0: all)")
    parser.add_argument(
        "--detector", type=Path, help="the face detector's .tflite (default: the installed package's)"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "var", help="where repositories are kept")


def chosen_engine(options: argparse.Namespace) -> CpuEngine:
    """The engine that these options describe; BuildError or ValueError where there is none such."""
    if options.target == "tensorrt":
        raise BuildError("TensorRT engines can't be built yet: use --target cpu")
    return CpuEngine(precision=options.precision, threads=options.threads)

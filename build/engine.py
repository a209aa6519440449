"""Builds the engine that serves the network, and measures it against ONNX Runtime.

    python -m build.engine                     # the CPU engine in fp32
    python -m build.engine --precision bf16

OpenVINO compiles when the server loads the model; what is built here is the proof that it will: the
network compiles at this precision, and on real crops each output lies within its tolerance. The
report goes to var/engine/, from where `build.repository` takes it into the manifest.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from build.config import ROOT, WEIGHTS
from build.detector import find_detector
from build.errors import BuildError
from build.graph import PIXELS, Graph, read_graph
from build.manifest import engine_report_path, package_versions
from build.parity import differences, differences_in_units, real_crops, tolerances
from build.served import MAX_BATCH, CpuEngine
from runtime.openvino_engine import OpenVinoEngine

PHOTO = ROOT / "tests" / "assets" / "astronaut.jpg"
_BATCHES = (1, 3, MAX_BATCH)


def build_cpu_engine(
    graph: Graph,
    *,
    engine: CpuEngine,
    photo: Path = PHOTO,
    detector: Path | None = None,
    output: Path = ROOT / "var",
) -> dict[str, Any]:
    """Compiles the network, measures it and writes the report; returns the report.

    Raises BuildError when an output differs from ONNX Runtime's by more than its tolerance.
    """
    try:
        import onnxruntime
    except ImportError:
        raise BuildError(
            "the engine is measured against onnxruntime, which is not installed here: "
            "run this with the Python of .venv"
        ) from None
    pixels = real_crops(
        photo, detector=detector or find_detector(), size=graph.contract["input_size"], count=MAX_BATCH
    )
    reference = onnxruntime.InferenceSession(str(graph.path), providers=["CPUExecutionProvider"])
    started = time.perf_counter()
    compiled = OpenVinoEngine(graph.path, precision=engine.precision, threads=engine.threads or None)
    seconds = time.perf_counter() - started
    names = list(graph.heads)
    allowed = tolerances(graph.contract, precision=engine.precision)
    parity: dict[str, dict[str, float]] = {}
    for batch in _BATCHES:
        expected = dict(zip(names, reference.run(names, {PIXELS: pixels[:batch]}), strict=True))
        answered = compiled.infer({PIXELS: pixels[:batch]})
        if engine.precision == "f32":
            parity[str(batch)] = differences(expected, answered)
        else:
            parity[str(batch)] = differences_in_units(graph.contract, expected, answered)
    for batch_name, by_output in parity.items():
        for name, value in by_output.items():
            if not value <= allowed[name]:
                raise BuildError(
                    f"in {engine.precision} the output {name} is {value:.3g} away from ONNX Runtime's "
                    f"at batch {batch_name}, more than {allowed[name]:g}: choose --precision f32"
                )
    report = {
        "onnx_sha256": graph.sha256,
        "target": "cpu",
        "precision": engine.precision,
        "compile_seconds": round(seconds, 2),
        "versions": package_versions(),
        "photo": photo.name,
        "tolerances": allowed,
        "parity": parity,
    }
    path = engine_report_path(output, precision=engine.precision)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
    except OSError as error:
        raise BuildError(
            f"{path} can't be written ({error.strerror}): name a writable directory with --output"
        ) from None
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m build.engine", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="the ONNX file that build.onnx exported"
    )
    parser.add_argument(
        "--target", choices=("cpu", "tensorrt"), default="cpu", help="what the engine runs on"
    )
    parser.add_argument("--precision", choices=("f32", "bf16"), default=CpuEngine().precision)
    parser.add_argument("--threads", type=int, default=0, help="cores for the engine (0: all)")
    parser.add_argument(
        "--photo", type=Path, default=PHOTO, help="a photo whose faces the engine is measured on"
    )
    parser.add_argument(
        "--detector", type=Path, help="the face detector's .tflite (default: the installed package's)"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "var", help="where repositories are kept")
    options = parser.parse_args(arguments)
    try:
        if options.target == "tensorrt":
            raise BuildError("TensorRT engines can't be built yet: use --target cpu")
        gpu = Path("/dev/nvidiactl").exists()
        print(
            f"{'' if gpu else 'No GPU here: '}building the CPU engine (OpenVINO, {options.precision})",
            flush=True,
        )
        report = build_cpu_engine(
            read_graph(options.weights),
            engine=CpuEngine(precision=options.precision, threads=options.threads),
            photo=options.photo,
            detector=options.detector,
            output=options.output,
        )
    except (BuildError, ValueError) as error:
        print(f"build.engine: {error}", file=sys.stderr)
        return 2
    print(f"compiled in {report['compile_seconds']} s; against ONNX Runtime on crops of {report['photo']}:")
    for batch, by_output in report["parity"].items():
        print(f"  batch {batch:>2}: " + ", ".join(f"{name} {value:.1e}" for name, value in by_output.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

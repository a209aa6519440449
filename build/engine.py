"""Builds the engine that serves the network, and measures it against ONNX Runtime.

    python -m build.engine                     # the CPU engine in fp32
    python -m build.engine --precision bf16

OpenVINO compiles when the server loads the model; what is built here is the proof that it will: the
network compiles at this precision, and on real crops each output lies within its tolerance. The
report goes to var/engine/, from where `build.repository` takes it into the manifest.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from build.config import ROOT
from build.detector import find_detector
from build.errors import BuildError
from build.files import replace_file
from build.graph import PIXELS, Graph, read_graph
from build.manifest import engine_report_path, package_versions
from build.options import add_options, chosen_engine
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

    An earlier report at this precision is removed first, so that one stands only for an engine that
    passed last. Raises BuildError when an output differs from ONNX Runtime's by more than its tolerance.
    """
    path = engine_report_path(output, precision=engine.precision)
    with _told_if_not_writable(path):
        path.unlink(missing_ok=True)
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
        if engine.precision == "fp32":
            parity[str(batch)] = differences(expected, answered)
        else:
            parity[str(batch)] = differences_in_units(graph.contract, expected, answered)
    for batch_name, by_output in parity.items():
        for name, value in by_output.items():
            if not value <= allowed[name]:
                raise BuildError(
                    f"in {engine.precision} the output {name} is {value:.3g} away from ONNX Runtime's "
                    f"at batch {batch_name}, more than {allowed[name]:g}: choose --precision fp32"
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
    with _told_if_not_writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, (json.dumps(report, indent=1) + "\n").encode())
    return report


@contextlib.contextmanager
def _told_if_not_writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BuildError(
            f"{path} can't be written ({error.strerror}): name a writable directory with --output"
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m build.engine", description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument(
        "--photo", type=Path, default=PHOTO, help="a photo whose faces the engine is measured on"
    )
    options = parser.parse_args(arguments)
    try:
        engine = chosen_engine(options)
        gpu = Path("/dev/nvidiactl").exists()
        print(
            f"{'' if gpu else 'No GPU here: '}building the CPU engine (OpenVINO, {engine.precision})",
            flush=True,
        )
        report = build_cpu_engine(
            read_graph(options.weights),
            engine=engine,
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

"""A small network as it is committed: an ONNX file, and beside it its report and its faces with answers."""

import json
from pathlib import Path

import numpy as np
import onnxruntime

from build.acceptance.reference import Reference, reference_path, save_reference
from build.manifest import report_path
from build.onnx_interface import read_graph
from tests.helpers.networks import standin_network as standin

FACES = 32


def write(path: Path, *tasks: str) -> Path:
    """Of a network that answers these tasks; its answers are ONNX Runtime's."""
    standin.write(path, standin.contract_of(*tasks))
    graph = read_graph(path)
    size = graph.contract.input_size
    pixels = np.random.default_rng(1).integers(0, 256, (FACES, size, size, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = list(graph.contract.names)
    answers = dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))
    save_reference(reference_path(path), Reference(network=graph.sha256, pixels=pixels, answers=answers))
    report = {
        "onnx_sha256": graph.sha256,
        "checkpoint_sha256": "0" * 64,
        "bytes": path.stat().st_size,
        "opset": 20,
        "nodes": 1,
        "versions": {},
        "tolerances": {},
        "parity": {},
    }
    report_path(path).write_text(json.dumps(report))
    return path

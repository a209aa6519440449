"""What the export stage leaves, of any network: real stages can go on from it without torch."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime

from build.acceptance.reference import REFERENCE, Reference, save_reference
from build.onnx_interface import read_graph
from build.stages.stage import RECORD
from runtime.heads import heads_of

FACES = 32


def write_exported(place: Path, *, parameters: int) -> Path:
    """Completes a directory that holds model.onnx: its answers in reference.npz, and the stage's record.

    `parameters` is the network's number of weights.
    """
    network = place / "model.onnx"
    graph = read_graph(network)
    size = graph.contract.input_size
    pixels = np.random.default_rng(1).integers(0, 256, (FACES, size, size, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    names = list(heads_of(graph.contract))
    answers = dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))
    reference = Reference(network=graph.sha256, pixels=pixels, answers=answers)
    save_reference(place / REFERENCE, reference)
    report = {
        "onnx_sha256": graph.sha256,
        "checkpoint_sha256": "0" * 64,
        "parity": {},
        "faces": {},
        "tolerances": {},
        "parameters": parameters,
        "trained": True,
    }
    outputs = {
        name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in (network.name, REFERENCE)
    }
    record = {"status": "done", "step": "onnx", "inputs": {}, "outputs": outputs, "report": report}
    (place / RECORD).write_text(json.dumps(record))
    return place

"""Every face of a photo, asked in plain gRPC: what a client in any language has to do.

    python raw_grpc.py photo.jpg [host:port]

Needs grpcio and the stubs of the open V2 inference protocol (grpc_service.proto). Here they are taken from
where they lie ready, in tritonclient; `protoc` makes the same ones for other languages. Nothing of Q-Face
and no numpy: tensors are raw little-endian bytes, row by row.
"""

import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

MODEL = "photo_analysis"
TENSORS = {
    "classes": ["probabilities", "label"],
    "multilabel": ["probabilities", "active"],
    "value": ["value"],
    "rotation": ["angles"],
    "points": ["points"],
    "mask": ["runs", "map"],
}
OUTSIDE = 255  # a mask's id where the crop shows nothing of the photo
FORMATS = {"FP32": "f", "BOOL": "?", "UINT8": "B", "INT32": "i"}  # of Python's struct


def main(photo: str, url: str = "localhost:8001") -> None:
    """Print each face with its answers."""
    with grpc.insecure_channel(url, options=[("grpc.max_receive_message_length", -1)]) as channel:
        server = v2_grpc.GRPCInferenceServiceStub(channel)
        config = server.ModelConfig(v2.ModelConfigRequest(name=MODEL), timeout=10).config
        contract = json.loads(config.parameters["contract"].string_value)

        data = Path(photo).read_bytes()
        names = [f"{task['name']}_{tensor}" for task in contract["tasks"] for tensor in TENSORS[task["kind"]]]
        request = v2.ModelInferRequest(
            model_name=MODEL,
            inputs=[v2.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[len(data)])],
            outputs=[
                v2.ModelInferRequest.InferRequestedOutputTensor(name=name)
                for name in [*names, "boxes", "scores", "contract"]
            ],
            raw_input_contents=[data],
        )
        tensors = decode(server.ModelInfer(request, timeout=60))

    if tensors["contract"][0].decode() != contract["hash"]:
        sys.exit("the server's contract changed between the two calls: run this again")
    if not tensors["boxes"]:
        print("no face")
    for face, (box, score) in enumerate(zip(tensors["boxes"], tensors["scores"], strict=True)):
        print(f"face {face + 1}: box {[round(edge, 1) for edge in box]}, score {score:.3f}")
        for task in contract["tasks"]:
            parts = {tensor: tensors[f"{task['name']}_{tensor}"][face] for tensor in TENSORS[task["kind"]]}
            print(f"  {task['name']}: {in_words(task, parts)}")


def decode(response: Any) -> dict[str, list[Any]]:
    """The answer's tensors as nested lists; the raw contents stand in the outputs' order."""
    tensors = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.datatype == "BYTES":  # each element: its length in 4 bytes, then its bytes
            flat: list[Any] = []
            at = 0
            while at < len(raw):
                (length,) = struct.unpack_from("<I", raw, at)
                flat.append(raw[at + 4 : at + 4 + length])
                at += 4 + length
        else:
            flat = list(struct.unpack(f"<{math.prod(output.shape)}{FORMATS[output.datatype]}", raw))
        tensors[output.name] = nested(flat, list(output.shape))
    return tensors


def nested(flat: list[Any], shape: list[int]) -> list[Any]:
    """A flat list in the given shape."""
    if len(shape) <= 1:
        return flat
    step = math.prod(shape[1:])
    return [nested(flat[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def in_words(task: dict[str, Any], parts: dict[str, Any]) -> str:
    """One task's answer about one face, in words, by the task's kind."""
    labels, unit = task["labels"], task["unit"]
    if task["kind"] == "classes":
        label = parts["label"][0].decode()
        return f"{label} ({parts['probabilities'][labels.index(label)]:.3f})"
    if task["kind"] == "multilabel":
        rows = zip(labels, parts["probabilities"], parts["active"], strict=True)
        return ", ".join(f"{label} ({probability:.3f})" for label, probability, on in rows if on) or "none"
    if task["kind"] == "value":
        return f"{parts['value'][0]:.1f} {unit}"
    if task["kind"] == "rotation":
        return ", ".join(f"{label} {angle:.1f}" for label, angle in zip(labels, parts["angles"], strict=True))
    if task["kind"] == "points":
        return f"{len(labels)} points, {labels[0]} at {[round(edge, 1) for edge in parts['points'][0]]}"
    mask = json.loads(
        parts["runs"][0]
    )  # row by row over the face's crop; `map` leads from there to the photo
    present = sorted({index for index, _ in mask["counts"]} - {OUTSIDE})
    return f"mask of {mask['size']} with {', '.join(labels[index] for index in present)}"


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit("usage: python raw_grpc.py photo.jpg [host:port]")
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(str(error))
    except grpc.RpcError as error:
        sys.exit(" ".join(f"{error.code().name}: {error.details()}".split()))

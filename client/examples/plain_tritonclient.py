"""Every face of a photo, asked with tritonclient alone: labels and units are read from the server.

    python plain_tritonclient.py photo.jpg [host:port]

Needs `pip install tritonclient[grpc] numpy`, and nothing of Q-Face.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

MODEL = "photo_analysis"
# What a task of each kind is answered by: a task T has the tensors T_probabilities, T_label, ...
TENSORS = {
    "classes": ["probabilities", "label"],
    "multilabel": ["probabilities", "active"],
    "value": ["value"],
    "rotation": ["angles"],
    "points": ["points"],
    "mask": ["runs", "map"],
}
OUTSIDE = 255  # a mask's id where the crop shows nothing of the photo


def main(photo: str, url: str = "localhost:8001") -> None:
    """Print each face with its answers."""
    client = triton.InferenceServerClient(url)
    config = client.get_model_config(MODEL, client_timeout=10).config
    contract = json.loads(config.parameters["contract"].string_value)
    names = [f"{task['name']}_{tensor}" for task in contract["tasks"] for tensor in TENSORS[task["kind"]]]

    data = np.frombuffer(Path(photo).read_bytes(), dtype=np.uint8)
    image = triton.InferInput("image", [data.size], "UINT8")
    image.set_data_from_numpy(data)
    wanted = [triton.InferRequestedOutput(name) for name in [*names, "boxes", "scores", "contract"]]
    answer = client.infer(MODEL, [image], outputs=wanted, client_timeout=60)

    if answer.as_numpy("contract")[0].decode() != contract["hash"]:
        sys.exit("the server's contract changed between the two calls: run this again")
    if not len(answer.as_numpy("boxes")):
        print("no face")
    for face, (box, score) in enumerate(
        zip(answer.as_numpy("boxes"), answer.as_numpy("scores"), strict=True)
    ):
        print(f"face {face + 1}: box {[round(float(edge), 1) for edge in box]}, score {score:.3f}")
        for task in contract["tasks"]:
            tensors = {
                tensor: answer.as_numpy(f"{task['name']}_{tensor}")[face] for tensor in TENSORS[task["kind"]]
            }
            print(f"  {task['name']}: {in_words(task, tensors)}")


def in_words(task: dict[str, Any], tensors: dict[str, Any]) -> str:
    """One task's answer about one face, in words, by the task's kind."""
    labels, unit = task["labels"], task["unit"]
    if task["kind"] == "classes":
        label = tensors["label"][0].decode()
        return f"{label} ({tensors['probabilities'][labels.index(label)]:.3f})"
    if task["kind"] == "multilabel":
        rows = zip(labels, tensors["probabilities"], tensors["active"], strict=True)
        return ", ".join(f"{label} ({probability:.3f})" for label, probability, on in rows if on) or "none"
    if task["kind"] == "value":
        return f"{tensors['value'][0]:.1f} {unit}"
    if task["kind"] == "rotation":
        return ", ".join(
            f"{label} {angle:.1f}" for label, angle in zip(labels, tensors["angles"], strict=True)
        )
    if task["kind"] == "points":
        return (
            f"{len(labels)} points, {labels[0]} at {[round(float(edge), 1) for edge in tensors['points'][0]]}"
        )
    mask = json.loads(
        tensors["runs"][0]
    )  # row by row over the face's crop; `map` leads from there to the photo
    present = sorted({index for index, _ in mask["counts"]} - {OUTSIDE})
    return f"mask of {mask['size']} with {', '.join(labels[index] for index in present)}"


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit("usage: python plain_tritonclient.py photo.jpg [host:port]")
    try:
        main(*sys.argv[1:])
    except (OSError, InferenceServerException) as error:
        sys.exit(" ".join(str(error).split()))

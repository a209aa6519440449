"""A program of test_new_kind.py, run with the sources that the assembled repository holds, and the client.

Prints as JSON what the repository's engine and its code answer about a crop, and how the client reads it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from qface_client._tensors import read_tasks
from qface_client.contract import parse_contract
from runtime.contract import Contract
from runtime.engines import load_engine
from runtime.postprocess import no_faces, postprocess_all


def config_of(path: Path) -> dict[str, Any]:
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    return json_format.MessageToDict(config, preserving_proto_field_name=True)


def described(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: [str(tensor.dtype), tensor.shape] for name, tensor in tensors.items()}


def main(place: Path) -> None:
    models = place / "var" / "repository" / "models"
    engine = config_of(models / "face_engine" / "configs" / "cpu.pbtxt")
    parameters = {name: value["string_value"] for name, value in engine["parameters"].items()}
    crop = np.load(place / "crop.npy")
    heads = load_engine(models / "face_engine" / "1", parameters).infer({"pixels": crop})

    served = config_of(models / "sharpness" / "config.pbtxt")
    text = served["parameters"]["contract"]["string_value"]
    contract = Contract.parse(text)
    tensors = postprocess_all(contract, heads)
    (answers,) = read_tasks(tensors, tasks=parse_contract(text).select(["sharpness"]), count=1)
    answer: Any = answers["sharpness"]
    print(
        json.dumps(
            {
                "outputs": {
                    tensor["name"]: [tensor["data_type"], tensor["dims"]] for tensor in served["output"]
                },
                "tensors": described(tensors),
                "none": described(no_faces(contract, ["sharpness"])),
                "answer": answer.to_json(),
                "expected": answer.expected,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

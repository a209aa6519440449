"""A program of test_new_kind.py, run with a copy of the sources that has the new kind.

Trains a task of it, evaluates, exports and assembles with the host settings of a file, all below the folder
that is named. Prints as JSON what torch answers about one crop, and the main metric with that of the best
constant answer.
"""

import dataclasses
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from build.onnx_export import export
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face
from training.data.prepared.writer import write_set
from training.evaluation.evaluate import evaluate, torch_predict
from training.models import CONFIGS, ExportWrapper, QFaceConfig, load_checkpoint
from training.train.finetune import finetune
from training.train.loop.distributed import distributed
from training.train.run_config import Run, Source

BLURS = {"blurred": 8.0, "soft": 2.0, "sharp": 0.1}  # label -> sigma in pixels


def made_face(i: int) -> Face:
    """Face number `i`: noise, blurred as its label says."""
    label = list(BLURS)[i % 3]
    noise = np.random.default_rng(i).integers(0, 256, (78, 78, 3), np.uint8)
    pixels = cv2.GaussianBlur(noise, (0, 0), BLURS[label])
    return Face(
        key=str(i),
        pixels=np.asarray(pixels, np.uint8),
        split="train" if i < 12 else "test",
        labels={"sharpness": label},
    )


def main(place: Path, settings: Path) -> None:
    data, folder = place / "data", place / "run"
    write_set(data / "made", [made_face(i) for i in range(18)], size=64, title="Made", licence="CC0")
    config = CONFIGS["qface_test"]
    assert isinstance(config, QFaceConfig)
    run = Run(
        name="sharpness",
        model=dataclasses.replace(config, tasks=("sharpness",)),
        sources=(Source(name="made", batch=4),),
        steps=4,
        learning_rate=1e-3,
        bf16=False,
        workers=0,
        trackers=(),
    )
    with distributed("cpu") as where:
        finetune(run, data=data, folder=folder, where=where)

    checkpoint = load_checkpoint(folder / "model.safetensors")
    predict = torch_predict(ExportWrapper(checkpoint.model, checkpoint.contract))
    test = FaceSet(data / "made", split="test")
    (result,) = evaluate(predict, checkpoint.contract.tasks, [test], input_size=64, bootstrap=20)

    export(folder / "model.safetensors", output=place / "network.onnx")
    assemble(ServingPlan(weights=place / "network.onnx", host_settings=settings), output=place / "var")

    crop = np.full((1, 64, 64, 3), 90, np.uint8)
    np.save(place / "crop.npy", crop)
    value, constant = result.values[result.metric].value, result.constant_baseline[result.metric]
    print(
        json.dumps({"torch": predict(crop)["sharpness"].tolist(), "metric": [result.metric, value, constant]})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

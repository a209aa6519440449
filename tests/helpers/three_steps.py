"""An ensemble of three planted Python models, pre -> engine -> post, of which `post` can sleep.

A parameter of each one's configuration has the milliseconds of sleep in an execution; the engine computes
several requests at a time.
"""

from pathlib import Path

import numpy as np

from deploy.loadtest.work.question import Question
from tests.helpers import tiny_repository

NAME, STEPS = "three_steps", ("pre", "engine", "post")

_STEP = """
import json
import time

import numpy
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.seconds = float(parameters["milliseconds"]["string_value"]) / 1e3

    def execute(self, requests):
        time.sleep(self.seconds)
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(request, "x").as_numpy() + 1)]
            )
            for request in requests
        ]
"""
_CONFIG = """
backend: "python"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }}
instance_group {{ kind: KIND_CPU count: {instances} }}
parameters {{ key: "milliseconds" value {{ string_value: "{milliseconds}" }} }}
{batching}
"""
_ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input { name: "photo" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "answer" data_type: TYPE_FP32 dims: [ 2 ] }
ensemble_scheduling {
  step { model_name: "pre" model_version: -1
    input_map { key: "x" value: "photo" } output_map { key: "y" value: "pixels" } }
  step { model_name: "engine" model_version: -1
    input_map { key: "x" value: "pixels" } output_map { key: "y" value: "heads" } }
  step { model_name: "post" model_version: -1
    input_map { key: "x" value: "heads" } output_map { key: "y" value: "answer" } }
}
"""


def write(folder: Path, *, engine: float = 5, post: float = 0) -> Path:
    """A repository of the ensemble whose steps sleep for so many milliseconds."""
    for step, milliseconds in zip(STEPS, (0, engine, post), strict=True):
        version = folder / "models" / step / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(_STEP)
        (version / "__pycache__").write_text("")
        batching = "dynamic_batching { max_queue_delay_microseconds: 100 }" if step == "engine" else ""
        config = _CONFIG.format(milliseconds=milliseconds, batching=batching, instances=1 if batching else 2)
        (version.parent / "config.pbtxt").write_text(config)
    ensemble = folder / "models" / NAME
    (ensemble / "1").mkdir(parents=True)
    (ensemble / "1" / "of_an_ensemble").write_text("")  # an empty folder is not in a repository
    (ensemble / "config.pbtxt").write_text(_ENSEMBLE)
    return tiny_repository.write(folder)


def question(kind: str = "one row") -> Question:
    return Question(kind=kind, model=NAME, inputs={"photo": np.zeros((1, 2), np.float32)})

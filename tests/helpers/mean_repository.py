"""A repository that FaceClient can ask: `crop_analysis` answers each crop with the mean of its pixels."""

import json
from pathlib import Path

from tests.helpers import tiny_repository
from tests.helpers.fake_v2_server import contract_of

TASK, UNIT = "brightness", "levels"
_CONTRACT = contract_of({"name": TASK, "kind": "value", "labels": [TASK], "unit": UNIT})

_MODEL = f"""
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "crop")) for request in requests]

    def answer(self, tensor):
        crops = tensor.as_numpy()
        means = crops.reshape(len(crops), -1).mean(axis=1, keepdims=True).astype(np.float32)
        hashes = np.full((len(crops), 1), {_CONTRACT["hash"].encode()!r}, object)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("{TASK}_value", means), pb_utils.Tensor("contract", hashes)]
        )
"""
_CONFIG = f"""
backend: "python"
max_batch_size: 4
input {{ name: "crop" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }}
output {{ name: "{TASK}_value" data_type: TYPE_FP32 dims: [ 1 ] }}
output {{ name: "contract" data_type: TYPE_STRING dims: [ 1 ] }}
parameters {{ key: "contract" value {{ string_value: {json.dumps(json.dumps(_CONTRACT))} }} }}
instance_group {{ kind: KIND_CPU count: 1 }}
"""


def write(folder: Path) -> Path:
    """Make the repository in `folder` and return it."""
    tiny_repository.write(folder, crop_analysis=_MODEL)
    (folder / "models" / "crop_analysis" / "config.pbtxt").write_text(_CONFIG)
    return tiny_repository.seal(folder, contract=_CONTRACT["hash"])

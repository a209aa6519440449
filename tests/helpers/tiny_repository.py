"""Model repositories of a few lines, for tests that are about the server and not about faces."""

import json
from pathlib import Path

from build.manifest import MANIFEST, sha256_of

ECHO = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("answer", pb_utils.get_input_tensor_by_name(request, "crop").as_numpy())]
            )
            for request in requests
        ]
"""
REFUSING = ECHO.replace(
    "        return [", '        raise ValueError("no crop is good enough")\n        return [', 1
)
HANGING = ECHO.replace(
    "        return [", "        import time\n        time.sleep(3600)\n        return [", 1
)
NOT_LOADING = "import a_module_that_nobody_wrote\n" + ECHO

CONFIG = """
backend: "python"
max_batch_size: 4
input { name: "crop" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }
output { name: "answer" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }
instance_group { kind: KIND_CPU count: 1 }
"""


def write(folder: Path, **models: str) -> Path:
    """Make a repository in `folder` of these models (name -> source of its model.py) and return it."""
    for name, source in models.items():
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(source)
        (version / "__pycache__").write_text("")  # as in an assembled one: no byte code is left there
        (version.parent / "config.pbtxt").write_text(CONFIG)
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib" / "of_the_repository.py").write_text("")
    (folder / "lib" / "__pycache__").write_text("")
    return seal(folder)


def seal(folder: Path, *, contract: str = "none") -> Path:
    """Make its manifest say what lies in the repository now, and by which contract it answers."""
    files = {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }
    about = {"files": sha256_of(files), "contract": contract, "stages": {"engine": {"target": "openvino"}}}
    (folder / MANIFEST).write_text(json.dumps(about))
    return folder

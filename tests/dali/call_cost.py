"""What a face costs the host in face_preprocess: decoded there, or sent to a face_warp that does nothing.

    .venv/bin/python -m tests.dali.call_cost      # two minutes; needs no DALI

In the real server, core-ms a face by process, without the clients'. face_warp answers zeros: what its process
takes (in the sum) a GPU's server would take otherwise.
"""

import contextlib
import functools
import os
import sys
import tempfile
from pathlib import Path

import tritonclient.grpc as triton

from build.preprocessing.face_warp import FACE_WARP
from deploy.embedded import Crashed, EmbeddedServer
from deploy.measuring.processes import TRITON, processes_below, role_of
from deploy.measuring.server_processes import Parts
from qface_client.measuring.loops import closed_loop
from tests.helpers import requests as asking
from tests.helpers import tiny_repository, warp_repository

NOTHING = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([self.answer(request)]) for request in requests]

    def answer(self, request):
        rows = len(pb_utils.get_input_tensor_by_name(request, "window").as_numpy())
        return pb_utils.Tensor("pixels", np.zeros((rows, 112, 112, 3), np.uint8))
"""
STEP = "face_preprocess"
PARTS = (STEP, FACE_WARP, TRITON)
SECONDS = 10.0  # of a row
_STARTS = 4


def main() -> int:
    """Prints a table."""
    print("| face_preprocess | clients | core-ms a face | its process | tritonserver | rows a batch |")
    print("|---|---:|---:|---:|---:|---:|")
    for calls in (False, True):
        for clients, instances in ((1, 2), (16, 2), (64, 1)):
            with tempfile.TemporaryDirectory() as folder:
                repository = warp_repository.write(Path(folder), calls=calls, instances=instances)
                (repository / "models/face_warp/1/model.py").write_text(NOTHING)
                tiny_repository.seal(repository)
                print(_row_at_last(repository, calls=calls, clients=clients), flush=True)
    return 0


def _row_at_last(repository: Path, *, calls: bool, clients: int) -> str:
    """On a busy machine Triton 2.51 may crash while it starts."""
    for _ in range(_STARTS):
        with contextlib.suppress(Crashed):
            return _row(repository, calls=calls, clients=clients)
    return _row(repository, calls=calls, clients=clients)


def _row(repository: Path, *, calls: bool, clients: int) -> str:
    with EmbeddedServer(repository) as server, triton.InferenceServerClient(server.grpc_address) as client:
        picture = asking.ASTRONAUT.read_bytes()
        ask = functools.partial(asking.ask_about_face, client, STEP, picture, landmarks=asking.LANDMARKS)
        for _ in range(10):
            ask()
        pids: dict[str, list[int]] = {}
        for pid, process in processes_below(os.getpid()).items():
            if (role := role_of(process.command)) in PARTS:
                pids.setdefault(role, []).append(pid)
        send = functools.partial(closed_loop, ask, clients=clients, seconds=SECONDS)
        core_ms = Parts(pids).sample(send).core_ms
        spent = {role: core_ms[role] for role in pids}
        (counts,) = client.get_inference_statistics(STEP).model_stats
    batch = counts.inference_count / counts.execution_count
    cells = (
        "sends to face_warp" if calls else "decodes",
        str(clients),
        f"{sum(spent.values()):.2f}",
        f"{spent[STEP]:.2f}",
        f"{spent[TRITON]:.2f}",
        f"{batch:.1f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())

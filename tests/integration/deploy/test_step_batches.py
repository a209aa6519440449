"""How many rows Triton hands to one instance of a step at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

from build.serving.pbtxt import Batching, Instances, Model, Tensor, to_text
from deploy.embedded.server import EmbeddedServer
from tests.helpers import tiny_repository
from tests.helpers.embedded_servers import HURRIED

# Answers each row with the rows of its batch, and takes long enough that others wait meanwhile.
_COUNTING = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.01)
        rows = [len(pb_utils.get_input_tensor_by_name(request, "crop").as_numpy()) for request in requests]
        counted = [np.full((own, 1), sum(rows), np.int32) for own in rows]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("rows", rows)]) for rows in counted]
"""
MOST, LARGE, CLIENTS = 2, 5, 12


def config(name: str, batching: Batching) -> str:
    crop = Tensor(name="crop", datatype="UINT8", dims=(4,))
    rows = Tensor(name="rows", datatype="INT32", dims=(1,))
    return to_text(
        Model(
            name=name,
            inputs=(crop,),
            outputs=(rows,),
            max_batch_size=8,
            batching=batching,
            instances=Instances(count=1),
        )
    )


def test_a_bounded_step_takes_few_rows_at_once_and_a_larger_request_alone(tmp_path: Path) -> None:
    repository = tiny_repository.write(tmp_path, bounded=_COUNTING, unbounded=_COUNTING)
    for name, batching in {
        "bounded": Batching(max_queue_delay_us=0, most_together=MOST),
        "unbounded": Batching(max_queue_delay_us=0),
    }.items():
        (repository / "models" / name / "config.pbtxt").write_text(config(name, batching))
    tiny_repository.seal(repository)

    with (
        EmbeddedServer(repository, grace=HURRIED) as server,
        triton.InferenceServerClient(server.grpc_address) as client,
    ):
        start = threading.Barrier(CLIENTS)

        def rows_of_its_batch(name: str, rows: int) -> set[int]:
            start.wait()
            sent = triton.InferInput("crop", [rows, 4], "UINT8")
            sent.set_data_from_numpy(np.zeros((rows, 4), np.uint8))
            answers = [client.infer(name, [sent]).as_numpy("rows") for _ in range(4)]
            assert all(answer.shape == (rows, 1) for answer in answers)
            return {int(answer[0, 0]) for answer in answers}

        def seen(name: str, *, rows: list[int]) -> list[set[int]]:
            with ThreadPoolExecutor(CLIENTS) as pool:
                return list(pool.map(lambda own: rows_of_its_batch(name, own), rows))

        *of_single_rows, of_large = seen("bounded", rows=[1] * (CLIENTS - 1) + [LARGE])
        assert max(map(max, of_single_rows)) == MOST
        assert of_large == {LARGE}
        assert max(map(max, seen("unbounded", rows=[1] * CLIENTS))) > MOST, "nobody waited: nothing shown"

"""A gateway that faults are done to, and the load on it, for `tests.deploy.check_live_prometheus`."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc

from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.gateway.operation.control import ControlError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.pictures.portrait import PORTRAIT
from tests.helpers.certificates import Authority
from tests.helpers.paths import ROOT

DAYS = 5  # for which the certificate is valid
_DEADLINE = 5.0  # seconds of a request
CROPS = "crop_analysis"


def photo_request() -> v2.ModelInferRequest:
    """One face, as a file."""
    data = PORTRAIT.read_bytes()
    request = v2.ModelInferRequest(model_name="photo_analysis")
    request.inputs.add(name="image", datatype="UINT8", shape=[len(data)])
    request.raw_input_contents.append(data)
    return request


def crops_request(crops: NDArray[np.uint8]) -> v2.ModelInferRequest:
    """Crops [N, S, S, 3]."""
    request = v2.ModelInferRequest(model_name=CROPS)
    request.inputs.add(name="crop", datatype="UINT8", shape=crops.shape)
    request.raw_input_contents.append(np.ascontiguousarray(crops).tobytes())
    return request


@dataclasses.dataclass(kw_only=True)
class Service:
    """The gateway, with TLS, keys, a standby, and an access log that can't be written."""

    gateway: GatewayServer
    authority: Authority
    keys: dict[str, str]

    def stub(self, key: str) -> tuple[Any, list[tuple[str, str]]]:
        """Over a connection of its own, and the metadata of this key."""
        credentials = grpc.ssl_channel_credentials(self.authority.pem)
        channel = grpc.secure_channel(self.gateway.grpc_address, credentials, options=CHANNEL)
        metadata = [("authorization", f"Bearer {self.keys[key]}")]
        return service_pb2_grpc.GRPCInferenceServiceStub(channel), metadata

    def answer(self, request: v2.ModelInferRequest) -> bytes:
        """A serialised answer, once there is one."""
        stub, metadata = self.stub("shop")
        answer = stub.ModelInfer(request, timeout=60, metadata=metadata, wait_for_ready=True)
        serialised: bytes = answer.SerializeToString()
        return serialised

    @contextlib.contextmanager
    def load(
        self, requests: Sequence[v2.ModelInferRequest], *, workers: int, pause: float, key: str = "shop"
    ) -> Iterator[None]:
        """So many workers send these requests in turn, whatever becomes of them, until the block ends."""
        over = threading.Event()

        def work(offset: int) -> None:
            stub, metadata = self.stub(key)
            number = offset
            while not over.is_set():
                with contextlib.suppress(grpc.RpcError):
                    stub.ModelInfer(requests[number % len(requests)], timeout=_DEADLINE, metadata=metadata)
                number += workers
                over.wait(pause)

        threads = [threading.Thread(target=work, args=(each,), daemon=True) for each in range(workers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(2 * _DEADLINE)

    # -- faults -------------------------------------------------------------------------------------

    def kill_triton(self) -> None:
        """As the kernel does when memory runs out."""
        os.kill(self.gateway.triton_pid, signal.SIGKILL)

    def kill_main_process(self) -> None:
        """Its supervisor starts it again."""
        os.kill(self.gateway.pid, signal.SIGKILL)

    def swap_to(self, repository: Path) -> None:
        """Which can't be served."""
        with contextlib.suppress(ControlError):
            self.gateway.swap(repository)


@contextlib.contextmanager
def service(repository: Path, folder: Path) -> Iterator[Service]:
    """Starts it over a repository; its files go into a folder."""
    authority, keys_file = Authority(), folder / "keys.toml"
    certificate, private_key = authority.issue(folder, "server", days=DAYS)
    keys = {name: _new_key(name, keys_file) for name in ("shop", "crowd")}
    arguments = [
        *("--certificate", str(certificate), "--private-key", str(private_key), "--keys", str(keys_file)),
        *("--standby", "always", "--access-log", "/dev/full", "--start-timeout", "300"),
    ]
    with (
        (folder / "gateway.log").open("w") as log,
        GatewayServer(repository, log=log, arguments=arguments, start_timeout=300) as gateway,
    ):
        yield Service(gateway=gateway, authority=authority, keys=keys)


def _new_key(name: str, file: Path) -> str:
    command = [sys.executable, "-m", "deploy.gateway", "keys", "add", name, "--file", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def seconds_of(work: Callable[[], object]) -> float:
    """Processor seconds of this thread."""
    began = time.thread_time()
    work()
    return time.thread_time() - began

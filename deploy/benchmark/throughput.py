"""How fast it is, all ways in one run: `make bench`, or `python -m deploy.benchmark.throughput`.

Faces a second of torch in eager fp32, of the bare engine in this process, and of `face_analysis` over
gRPC with 1, 4 and 16 clients: JPEG and landmarks in, every task's answers out. All take turns on the
same cores, round after round, and what is printed is each one's median; the clients and the server
share those cores. A second table has photos and crops through the gateway and past it.
"""

import argparse
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from build.acceptance.speed import medians, rate
from build.errors import BuildError
from build.serving.pbtxt import parse
from build.serving_plan import shipped_checkpoint
from deploy.benchmark import gateway_cost
from deploy.benchmark.portrait import PORTRAIT
from deploy.embedded import EmbeddedServer, EmbeddedServerError
from deploy.embedded.environment import PROJECT
from qface_client import FaceClient
from runtime.engines import load_engine
from runtime.image.align import align_face
from runtime.image.decode import decode_image
from training.models import ExportWrapper, load_checkpoint

BATCHES = (1, 8, 32)
CLIENTS = (1, 4, 16)


def clients_rate(call: Callable[[], object], *, clients: int, seconds: float) -> float:
    """Answers a second to this many callers, each of which calls again once answered."""
    end = time.perf_counter() + seconds
    done = [0] * clients
    failed: list[Exception] = []

    def caller(number: int) -> None:
        try:
            while time.perf_counter() < end:
                call()
                done[number] += 1
        except Exception as error:
            failed.append(error)

    began = time.perf_counter()
    threads = [threading.Thread(target=caller, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return sum(done) / (time.perf_counter() - began)


def measure(
    *, repository: Path, weights: Path | None, photo: Path, rounds: int, seconds: float
) -> dict[str, float]:
    """The median of `rounds` of every way, by its name; `weights` (None: of weights/) are torch's."""
    weights = weights or shipped_checkpoint(repository)
    if weights is None:
        raise ValueError(f"{repository} serves no network of weights/: name its checkpoint with --weights")
    engine_dir = repository / "models" / "face_engine"
    manifest = json.loads((repository / "manifest.json").read_text())
    precision = manifest["stages"]["engine"]["precision"]
    checkpoint = load_checkpoint(weights)
    if hashlib.sha256(weights.read_bytes()).hexdigest() != manifest["stages"]["checkpoint"]["sha256"]:
        raise ValueError(
            f"{weights} is not what {repository} serves: name its checkpoint with --weights, or none for "
            "one in weights/"
        )
    eager = ExportWrapper(checkpoint.model, checkpoint.contract)
    config = parse((engine_dir / "configs" / "cpu.pbtxt").read_text())
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    engine = load_engine(engine_dir / "1", parameters)
    encoded = photo.read_bytes()
    with EmbeddedServer(repository, log=None) as server, FaceClient(server.grpc_address) as client:
        faces = client.detect(encoded)
        if not faces:
            raise ValueError(f"there is no face in {photo}: name a portrait with --photo")
        face = faces[0]
        crop, _ = align_face(
            decode_image(encoded), landmarks=face.landmarks5, size=checkpoint.contract.input_size
        )

        def torch_eager(pixels: NDArray[np.uint8]) -> int:
            with torch.inference_mode():
                eager(torch.from_numpy(pixels))
            return len(pixels)

        def bare_engine(pixels: NDArray[np.uint8]) -> int:
            engine.infer({"pixels": pixels})
            return len(pixels)

        def over_grpc() -> object:
            return client.analyze_face(encoded, box=face.box, landmarks=face.landmarks5)

        ways: dict[str, Callable[[], float]] = {}
        for batch in BATCHES:
            pixels = np.repeat(crop[None], batch, axis=0)
            ways[f"torch eager fp32, batch {batch}"] = partial(
                rate, partial(torch_eager, pixels), seconds=seconds
            )
            ways[f"bare engine {precision}, batch {batch}"] = partial(
                rate, partial(bare_engine, pixels), seconds=seconds
            )
        for clients in CLIENTS:
            ways[f"face_analysis over gRPC, {clients} clients"] = partial(
                clients_rate, over_grpc, clients=clients, seconds=seconds
            )
        return medians(ways, rounds=rounds, progress=partial(print, file=sys.stderr))


def table(rates: dict[str, float]) -> str:
    """Faces a second and their ratio to torch at the same batch (over gRPC: to torch one by one)."""
    lines = ["| way | faces/s | against torch eager fp32 |", "|---|---:|---:|"]
    for name, value in rates.items():
        batch = name.rpartition("batch ")[2] if "batch" in name else str(BATCHES[0])
        ratio = value / rates[f"torch eager fp32, batch {batch}"]
        lines.append(f"| {name} | {value:.1f} | {ratio:.2f}x |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmark.throughput", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument(
        "--weights", type=Path, help="torch's checkpoint of what is served (that in weights/)"
    )
    parser.add_argument("--photo", type=Path, default=PORTRAIT)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each way in each round")
    options = parser.parse_args(arguments)
    try:
        rates = measure(
            repository=options.repository,
            weights=options.weights,
            photo=options.photo,
            rounds=options.rounds,
            seconds=options.seconds,
        )
        costs = gateway_cost.measure(
            repository=options.repository,
            photo=options.photo,
            rounds=options.rounds,
            seconds=options.seconds,
        )
    except (BuildError, EmbeddedServerError, ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(table(rates))
    print()
    print(gateway_cost.table(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())

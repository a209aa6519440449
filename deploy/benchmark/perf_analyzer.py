"""Lets NVIDIA's perf_analyzer load the gateway as it is: `make perf-analyzer`, or `... -- WORDS OF ITS OWN`.

Starts the gateway over the assembled repository, writes a portrait as perf_analyzer's input for each of the
models named, and runs it (`deploy/benchmark/perf-analyzer` fetches it when first needed).
"""

import argparse
import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.benchmark.load import Samples
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.pictures.portrait import PORTRAIT

MODELS = ("crop_analysis", "face_analysis", "photo_analysis")
INPUT = PROJECT / "var" / "perf-analyzer-input.json"
SIZE = 112  # pixels, of a crop
# Any spread of what it measures is stable enough here: that it works is the question.
DEFAULTS = ("--concurrency-range", "1:4:3", "--stability-percentage", "999")


def input_data(samples: Samples, model: str) -> dict[str, Any]:
    """What perf_analyzer's --input-data reads: each tensor's bytes in base64, without the batch dimension."""
    request = samples.of(model, 0).request
    batched = samples.configs[model].max_batch_size > 0
    return {
        "data": [
            {
                tensor.name: {
                    "content": {"b64": base64.b64encode(raw).decode()},
                    "shape": list(tensor.shape)[1 if batched else 0 :],
                }
                for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
            }
        ]
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when perf_analyzer measured every model."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmark.perf_analyzer",
        description=__doc__.splitlines()[0],
        epilog="All other options go to perf_analyzer: --concurrency-range 1:16:5 ...",
        allow_abbrev=False,
    )
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--models", nargs="+", default=MODELS)
    options, further = parser.parse_known_args(arguments)
    further = [word for word in further if word != "--"] or list(DEFAULTS)
    try:
        with GatewayServer(options.repository) as gateway:
            samples = Samples(
                gateway.grpc_address,
                options.models,
                variants=1,
                size=SIZE,
                photos=[PORTRAIT.read_bytes()],
            )
            for model in options.models:
                INPUT.write_text(json.dumps(input_data(samples, model)))
                status = subprocess.run(
                    [
                        str(PROJECT / "deploy" / "benchmark" / "perf-analyzer"),
                        *("-m", model, "-u", gateway.grpc_address, "-i", "grpc"),
                        *("--input-data", str(INPUT), *further),
                    ],
                    check=False,
                ).returncode
                if status:
                    return status
    except (EmbeddedServerError, OSError) as error:
        print(f"perf-analyzer: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

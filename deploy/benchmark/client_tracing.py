"""What tracing costs the client's process, a photo: off, sampled, and left out by the program's sampler.

    python -m deploy.benchmark.client_tracing

A portrait goes to a gateway over the assembled repository. What counts is the processor time of this process,
with a provider of OpenTelemetry's SDK (opentelemetry-sdk) that exports nothing.
"""

import contextlib
import functools
import sys
from collections.abc import Sequence

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from deploy.embedded import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.command import command, parser_of
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.processor_time import core_ms
from qface_client import FaceClient, QFaceError


@command("client_tracing", EmbeddedServerError, QFaceError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table."""
    parser = parser_of(
        "deploy.benchmark.client_tracing",
        __doc__,
        repository=True,
        rounds=9,
        seconds=0.1,
        seconds_of="of processor time of a row in a round",
    )
    options = parser.parse_args(arguments)
    photo = PORTRAIT.read_bytes()
    providers = {"off": None, "sampled": TracerProvider(), "not sampled": TracerProvider(sampler=ALWAYS_OFF)}
    with GatewayServer(options.repository) as server, contextlib.ExitStack() as stack:
        calls = {
            name: functools.partial(
                stack.enter_context(FaceClient(server.grpc_address, tracing=provider)).analyze, photo
            )
            for name, provider in providers.items()
        }
        taken = core_ms(calls, rounds=options.rounds, seconds=options.seconds)
    print("| tracing | client, core-ms a photo |\n|---|---:|")
    for name, spent in taken.items():
        print(f"| {name} | {spent:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

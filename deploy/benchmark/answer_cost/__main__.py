"""What an answer costs: `make bench`, or `python -m deploy.benchmark.answer_cost`.

Starts the gateway and its Triton over an assembled repository and prints, as Markdown, the processor time
of one answer by process (client, gateway, tritonserver, each model), beside that of the bare engine, which
is measured in the same rounds. Everything shares the machine's cores, and every answer is read by a
FaceClient. docs/performance.md describes the rows.
"""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.benchmark.answer_cost.measure import Peer, measure
from deploy.benchmark.answer_cost.results import Run
from deploy.benchmark.answer_cost.rows import MEDIAPIPE
from deploy.benchmark.answer_cost.table import table
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.measuring.about import about
from deploy.measuring.command import command, count, parser_of
from deploy.measuring.workers import WorkerError


@command("bench", EmbeddedServerError, WorkerError)
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of(
        "deploy.benchmark.answer_cost",
        __doc__,
        repository=True,
        rounds=5,
        seconds=2.0,
        seconds_of="of a row in a round",
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORDS", help="rows whose names hold one of these"
    )
    parser.add_argument(
        "--client-processes", type=count, default=2, metavar="N", help="that 16 clients share (default: 2)"
    )
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="TASK",
        help="MediaPipe's face landmarker (.task), measured beside it; needs `make .venv-peers`",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the run is kept")
    options = parser.parse_args(arguments)
    log = functools.partial(print, file=sys.stderr, flush=True)
    words = list(sys.argv[1:] if arguments is None else arguments)
    settings = {name: getattr(options, name) for name in ("rounds", "seconds", "client_processes")}
    header = about(
        options.repository,
        module="deploy.benchmark.answer_cost",
        arguments=words,
        settings=settings,
    )
    rows = measure(
        repository=options.repository,
        only=options.only,
        peer=None if options.peers is None else _mediapipe(options.peers),
        progress=log,
        **settings,
    )
    run = Run(rows=tuple(rows), about=header)
    if options.json is not None:
        run.write(options.json)
    print(table(run))
    return 0


def _mediapipe(model: Path) -> Peer:
    python = PROJECT / ".venv-peers" / "bin" / "python"
    if not python.is_file():
        raise ValueError(f"there is no {python.parent.parent.name}: run `make .venv-peers`")
    if not model.is_file():
        raise ValueError(f"there is no {model}: name a face_landmarker*.task file")
    return Peer(
        name=MEDIAPIPE,
        python=python,
        module="deploy.benchmark.answer_cost.mediapipe_process",
        model=model.resolve(),
    )


if __name__ == "__main__":
    sys.exit(main())

"""What is served, measured as a client sees it: `make evaluate`, or `python -m deploy.evaluate --data DIR`.

Assembles under var/evaluate the engine that `make repository` serves, with every task that it has learned,
those too that are served only where they are named; starts the real server over it on free ports, lets
`training.evaluation.evaluate` ask it, and beside it the checkpoint in weights/ that it came from, and stops it. The
tables go to var/evaluation.md and var/evaluation.json; what is served from var/repository stays as it is.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from build.config import WEIGHTS
from build.errors import BuildError
from build.files import shown
from build.manifest import read_manifest
from build.onnx_interface import read_graph
from build.serving_plan import chosen, chosen_engine, shipped_checkpoint
from build.serving_plan import parser as repository_parser
from build.stages.artifacts import EXPORTED
from build.stages.repository import LINK, assemble, assemble_built
from deploy.embedded import EmbeddedServer, EmbeddedServerError
from deploy.embedded.environment import PROJECT

VAR = PROJECT / "var"
GRACE = 3  # seconds; nothing is under way when it stops


def main(arguments: Sequence[str] | None = None) -> int:
    """The status of `training.evaluation.evaluate`; 2 where there is nothing to serve or no server, or 130."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.evaluate",
        description=__doc__.splitlines()[0],
        epilog="All other words go to training.evaluation.evaluate: --data DIR --photos SET=DIR --beside NETWORK ...",
        allow_abbrev=False,
    )
    parser.add_argument("--weights", help="as `make repository` takes it")
    parser.add_argument("--target", help="as `make repository` takes it")
    parser.add_argument("--precision", help="as `make repository` takes it")
    parser.add_argument("--output", type=Path, default=VAR / "evaluate", help="where the repository is made")
    options, words = parser.parse_known_args(arguments)
    log = VAR / "evaluate-server.log"
    try:
        chosen_by = {name: getattr(options, name) for name in ("weights", "target", "precision")}
        choosing = [f"--{name}={value}" for name, value in chosen_by.items() if value]
        repository = assemble_all_tasks(choosing, output=options.output)
        shipped = shipped_checkpoint(repository)
        if shipped is not None and not any(word.partition("=")[0] == "--beside" for word in words):
            words += ["--beside", shown(shipped)]
        print("starting the Triton server ...", file=sys.stderr)
        with log.open("w") as sink, EmbeddedServer(repository, log=sink, grace=GRACE) as server:
            command = [sys.executable, "-m", "training.evaluation.evaluate", f"grpc://{server.grpc_address}"]
            files = ["--json", str(VAR / "evaluation.json"), "--markdown", str(VAR / "evaluation.md")]
            return subprocess.run([*command, *files, *words], check=False).returncode
    except BuildError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    except EmbeddedServerError as error:
        print(f"evaluate: {error} (its log: {log})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # the server is stopped by now
        return 130


def assemble_all_tasks(words: Sequence[str], *, output: Path) -> Path:
    """The repository, below `output`, of what `make repository` serves, with all tasks of its network.

    `words` are build.stages.repository's, laid over those that are recorded. BuildError where there is no such
    engine.
    """
    try:
        recorded = [str(word) for word in read_manifest(VAR / LINK)["words"]]
    except (BuildError, KeyError, TypeError):  # nothing is served yet
        recorded = []
    options = chosen(repository_parser().parse_args(words), recorded)
    engine = chosen_engine(options)
    weights = options.weights or WEIGHTS
    graph = read_graph(weights if engine is None else engine / EXPORTED)
    tasks = list(graph.contract.names)
    if engine is None:
        return assemble(
            weights=weights,
            threads=options.threads or 0,
            tasks=tasks,
            detector=options.detector,
            output=output,
        )
    return assemble_built(
        engine,
        instances=options.instances or 1,
        gpus=options.gpus or (),
        tasks=tasks,
        detector=options.detector,
        output=output,
        again=options.repeated,
    )


if __name__ == "__main__":
    sys.exit(main())

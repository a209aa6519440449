"""A copy of a repository in which one step sleeps, to see that a report, a dashboard or an alert finds it.

python -m deploy.loadtest.planted --step face_postprocess --milliseconds 50 --output var/slow-repository
python -m deploy.gateway --repository var/slow-repository
"""

import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from build.errors import BuildError
from build.files import sha256_of_file
from build.manifest import MANIFEST, read_manifest, to_json
from deploy.measuring.command import command, parser_of
from deploy.measuring.processes import model_names

_PLANTED = '''

class TritonPythonModel(TritonPythonModel):
    """Sleeps before each of its executions: planted by deploy.loadtest.planted."""

    def execute(self, requests):
        import time

        time.sleep({seconds})
        return super().execute(requests)
'''


def plant(repository: Path, output: Path, *, step: str, seconds: float) -> None:
    """Copies an assembled repository to `output`, where each execution of the step begins with a sleep.

    ValueError with a sentence for a step that is no Python model of it, for no time, and where `output` is
    there already; BuildError for what is no assembled repository.
    """
    about = read_manifest(repository)
    if not 0 < seconds < math.inf:
        raise ValueError("a step is made slower by more than 0 ms: give --milliseconds 50 or so")
    steps = model_names(repository)
    if step not in steps:
        raise ValueError(f"{repository} has no Python model {step!r}: choose from {', '.join(steps)}")
    if output.exists():
        raise ValueError(f"{output} is there already: name another --output")
    shutil.copytree(repository, output)
    for program in sorted((output / "models" / step).glob("*/model.py")):
        program.write_text(program.read_text() + _PLANTED.format(seconds=seconds))
        about["files"][str(program.relative_to(output))] = sha256_of_file(program)
    (output / MANIFEST).write_bytes(to_json(about))


@command("planted", BuildError)
def main(arguments: Sequence[str] | None = None) -> int:
    """0 once the copy is there, 2 with a sentence where it can't be made."""
    parser = parser_of("deploy.loadtest.planted", __doc__, repository=True)
    parser.add_argument("--step", required=True, help="the Python model that becomes slower")
    parser.add_argument("--milliseconds", type=float, default=50.0, help="of sleep in each execution of it")
    parser.add_argument("--output", type=Path, required=True, help="folder of the copy; not there yet")
    options = parser.parse_args(arguments)
    plant(
        options.repository.resolve(),
        options.output,
        step=options.step,
        seconds=options.milliseconds / 1e3,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

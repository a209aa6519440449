"""How the build's commands end: with a status, one sentence on standard error, or at Ctrl-C."""

import sys
from collections.abc import Callable

from build.errors import BuildError


def run_cli(program: str, action: Callable[[], int]) -> int:
    """The action's exit status; 2 with one sentence on standard error, 130 where it was interrupted."""
    try:
        return action()
    except BuildError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"{program}: {error.name} is not installed here: run this with the Python of .venv",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(
            f"{program}: interrupted; what is finished stays, and the same command continues it",
            file=sys.stderr,
        )
        return 130

"""How the build's commands end: in order, with one sentence, or at Ctrl-C."""

import sys
from collections.abc import Callable

from build.errors import BuildError


def told(program: str, action: Callable[[], int]) -> int:
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
            f"{program}: interrupted; what is finished stays, and the same command goes on", file=sys.stderr
        )
        return 130

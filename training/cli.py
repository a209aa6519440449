"""What all commands of training share: how they end, and what they print when they can't go on."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path


class Stopped(Exception):
    """A signal ended the work, whose state is saved."""

    def __init__(self, number: int, *, step: int) -> None:
        self.number = number
        super().__init__(
            f"stopped after step {step} by {signal.Signals(number).name}: the same command goes on there"
        )


class PeersLost(Exception):
    """Other processes of a run died, or can't be reached any more: this one can't go on without them."""

    def __init__(self, reason: str, *, rank: int, step: int | None = None) -> None:
        self.reason, self.rank = reason, rank
        at = "" if step is None else f" at step {step}"
        super().__init__(
            f"process {rank} lost the others{at} ({reason}): one of them, or its machine, has ended or can't "
            "be reached; the last checkpoint is whole: torchrun goes on from it as often as --max-restarts "
            "says, and so does the same command"
        )


def words_of(text: str) -> list[str]:
    """What an option names, separated by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def run_cli(name: str, work: Callable[[], None], *, place: Path) -> int:
    """Runs a command's work and returns its exit status.

    0 at the end; 2 with one sentence on standard error, after the command's `name`, for a ValueError or an
    OSError; 128 and the signal's number where one stopped it; 75 (sysexits' EX_TEMPFAIL) where other
    processes of the run are lost. `place` is where the command
    writes; it is named where an error (a full disk) has no file.
    """
    try:
        work()
    except ValueError as error:
        message, status = str(error), 2
    except OSError as error:
        reason = f"{error.filename or place} can't be read or written ({error.strerror or error})"
        message, status = f"{reason}: make room, or make it accessible", 2
    except Stopped as stopped:
        message, status = str(stopped), 128 + stopped.number
    except PeersLost as lost:
        message, status = str(lost), os.EX_TEMPFAIL
    except KeyboardInterrupt:
        message, status = "stopped by SIGINT: give the same command again", 128 + signal.SIGINT
    else:
        return 0
    print(f"{name}: {message}", file=sys.stderr)
    return status

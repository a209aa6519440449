"""The exit statuses of the command, in the manner of the client's."""

from collections.abc import Mapping

OK, STOPPED, REFUSED, SOME_FAILED, UNACCOUNTED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143

MEANINGS: Mapping[int, str] = {
    OK: "every input is answered; a photo without a face is an answer",
    STOPPED: "the run stopped (a bucket or a server is gone, the disk is full): the same command goes on",
    REFUSED: "the command, a source or the output folder can't be used; nothing was computed",
    SOME_FAILED: "finished, every input is accounted for, and some failed: `photos/` has the reasons",
    UNACCOUNTED: "finished, and inputs are missing in the results: `summary.json` names the chunks",
    INTERRUPTED: "Ctrl-C; the same command goes on",
    TERMINATED: "SIGTERM; otherwise as Ctrl-C",
}


def in_lines() -> str:
    """What each means, a line each."""
    return "\n".join(f"  {status:<5}{meaning}" for status, meaning in MEANINGS.items())

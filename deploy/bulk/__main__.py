"""`python -m deploy.bulk SOURCE... --tasks A,B --output DIR`: a folder or a bucket, answered to Parquet."""

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    # gRPC's own lines would come between ours; it reads this when it is imported, as it now is.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from deploy.bulk import command, statuses
    from deploy.bulk.errors import Refused, Stopped
    from deploy.bulk.options import read_options
    from qface_client.cli.interruption import Terminated, terminations_raised

    _open_streams()
    options = read_options(arguments)
    os.umask(0o077)  # answers are about people: they are their owner's alone
    try:
        with terminations_raised():
            return command.run(options)
    except Refused as error:
        command.log(str(error))
        return statuses.REFUSED
    except Stopped as error:
        command.log(str(error))
        return statuses.STOPPED
    except KeyboardInterrupt as interrupted:
        return statuses.TERMINATED if isinstance(interrupted, Terminated) else statuses.INTERRUPTED


def _open_streams() -> None:
    """Closed ones (`>&-`) lead nowhere: else the next file that is opened would get what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


if __name__ == "__main__":
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # said already; else Python's end would try once more, with a status of its own
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if status > 128:  # ended by a signal: no read or request under way is waited for
        os._exit(status)
    sys.exit(status)

"""`python -m deploy.loadtest`: loads a server, and reports what it bore.

Exit status: 0 measured, and the requirements kept; 1 measured, and a requirement not kept, no rate found or
the server gone partway; 2 not measured, with a sentence; 130 interrupted, with a report of what was measured.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    # gRPC's own lines would come between ours; it reads this when it is imported, as it now is.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from deploy.loadtest.command.options import read_options
    from deploy.loadtest.command.session import LoadTestError, run

    given = sys.argv[1:] if arguments is None else arguments
    try:
        options = read_options(given)
    except ValueError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        return run(options, arguments=given)
    except LoadTestError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("loadtest: interrupted before anything was measured", file=sys.stderr)
        return 130
    finally:
        for number, handler in before.items():
            with contextlib.suppress(ValueError, TypeError):
                signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())

"""The process that answers: `python -m deploy.bulk.answering.child FD`, started by `process`.

Over the socket it gets what answers and what is asked, and returns its description; then photos as
(key, bytes), of which it returns (key, outcome) as they are answered; None ends it. Where nothing can be
answered it returns CannotAnswer and ends.
"""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection


def main(descriptor: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: who started this ends it
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from deploy.bulk.answering.base import CannotAnswer

    connection = Connection(descriptor)
    try:
        source, request = connection.recv()
        answering = source.open(request)
        connection.send(answering.describe())
    except CannotAnswer as error:
        connection.send(error)
        return 1
    except (EOFError, OSError):
        return 0
    sending = threading.Lock()

    def answer(key: int, data: bytes) -> None:
        try:
            outcome: object = answering.answer(data)
        except Exception as error:
            outcome = (
                error if isinstance(error, CannotAnswer) else CannotAnswer(f"{type(error).__name__}: {error}")
            )
        try:
            with sending:
                connection.send((key, outcome))
        except OSError:  # nobody waits for it any more
            os._exit(0)

    with ThreadPoolExecutor(source.concurrency) as threads:
        while (item := _received(connection)) is not None:
            threads.submit(answer, *item)
    answering.close()
    return 0


def _received(connection: Connection) -> tuple[int, bytes] | None:
    try:
        item: tuple[int, bytes] | None = connection.recv()
        return item
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

"""The priority of a server that loads beside another, and whether it can be taken back."""

import contextlib
import os
import threading
import time
from pathlib import Path

LOW = 5  # niceness; much more, and on a busy machine the start of a model runs into the timeouts of its own


def can_be_raised() -> bool:
    """Whether this process may raise again what it lowers: RLIMIT_NICE or CAP_SYS_NICE decide."""
    allowed: list[bool] = []

    def attempt() -> None:  # the niceness of a thread is its own, and this one's ends with it
        before = os.getpriority(os.PRIO_PROCESS, 0)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, min(before + 1, 19))
            os.setpriority(os.PRIO_PROCESS, 0, before)
            allowed.append(True)
        except OSError:
            allowed.append(False)

    thread = threading.Thread(target=attempt, name="priority-check")
    thread.start()
    thread.join()
    return allowed[0]


def raise_priority(group: int) -> None:
    """Gives all threads of a process group (and their session's autogroup) this process's priority."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, group, os.getpriority(os.PRIO_PROCESS, os.getpid()))
    autogroup = Path(f"/proc/{group}/autogroup")
    for _ in range(5):
        try:
            if autogroup.exists():
                autogroup.write_text("0")
            return
        except BlockingIOError:  # the kernel takes one change in a tenth of a second
            time.sleep(0.1)
        except OSError:
            return

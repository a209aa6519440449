"""Settings of a process that serves, made before its event loop runs."""

import contextlib
import gc
import resource


def prepare_process() -> None:
    """As many connections as the host allows, and collections of garbage that leave out what was imported."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()

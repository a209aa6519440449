"""What a call takes of memory and of processor time, for promises about both."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_TRIES = 3


def peak_bytes(call: Callable[[], object]) -> int:
    """By how many bytes this process grows, at most, while a call runs; 0 where the kernel does not tell.

    What the call raises passes.
    """
    # Memory that was freed and kept would be used again, and the call's growth not be seen.
    ctypes.CDLL(None).malloc_trim(0)
    try:
        _RESET.write_text("5")  # the high-water mark of resident memory starts anew
    except OSError:
        call()
        return 0
    before = _kilobytes("VmRSS")
    call()
    return (_kilobytes("VmHWM") - before) * 1024


def processor_seconds(call: Callable[[], object], *, enough: float) -> float:
    """Of this thread; the fastest of some tries, as other work disturbs. `enough` ends them."""
    fastest = float("inf")
    for _ in range(_TRIES):
        began = time.thread_time()
        call()
        fastest = min(fastest, time.thread_time() - began)
        if fastest <= enough:
            break
    return fastest


def _kilobytes(field: str) -> int:
    text = _STATUS.read_text()
    start = text.index(f"{field}:") + len(field) + 1
    return int(text[start : text.index("kB", start)])

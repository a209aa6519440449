"""What large requests leave is given back to the system."""

import subprocess
import sys

from tests.helpers.paths import ROOT

# In a process of its own, whose heap nobody else has: 250 MiB in small pieces, of which the last stays.
_PROGRAM = """
from deploy.gateway.front.memory import MemoryTrim, resident_bytes
trim = MemoryTrim()
before = resident_bytes()
pieces = [bytearray(b"x") * 65_000 for _ in range(4_000)]
del pieces[:-1]
left = resident_bytes() - before
trim.look()
print(left >> 20, (resident_bytes() - before) >> 20)
"""


def test_memory_that_large_requests_left_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    left, kept = (int(word) for word in done.stdout.split())
    assert left > 100
    assert kept < 32

"""What a process of the gateway sets before it serves."""

import subprocess
import sys

# Copies of a photo, as a request makes them: page faults of a hundred requests after the first.
_FAULTS = """
import resource

from deploy.gateway.operation.process_settings import prepare_process

def copies():
    return [bytes(bytearray(128_000)) for _ in range(8)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

prepare_process()
copies()
before = faults()
for _ in range(100):
    copies()
print(faults() - before)
"""


def test_copies_of_a_photo_take_no_new_pages_with_each_request() -> None:
    run = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 1_000  # 25,000 where the heap is given back each time

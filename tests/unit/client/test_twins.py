"""The blocking client is the asyncio one without its waiting: one source, two clients."""

import subprocess
import sys

from tests.helpers.paths import ROOT


def test_the_blocking_client_is_what_the_asyncio_one_gives() -> None:
    command = [sys.executable, "client/unasync.py", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr

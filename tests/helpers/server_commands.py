"""Commands that serve, as processes of a test."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.helpers.paths import ROOT


@contextlib.contextmanager
def until_ready(module: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`python -m MODULE ARGUMENTS`, read up to the line that says it is ready; ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("qface: ready"):
                break
        else:
            pytest.fail(f"{module} did not become ready")
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

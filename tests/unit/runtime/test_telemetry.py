"""Libraries that report of their use are switched off before they are loaded."""

import os
import subprocess
import sys

import pytest

from runtime.telemetry import SWITCHES
from tests.helpers.paths import ROOT


@pytest.mark.parametrize("package", ["runtime", "build", "training"])
def test_importing_a_package_of_ours_switches_reports_off(package: str) -> None:
    program = (
        f"import {package}, os, sys\n"
        f"assert {{name: os.environ.get(name) for name in {SWITCHES!r}}} == {SWITCHES!r}\n"
        "try: import openvino_telemetry\n"
        "except ImportError: pass\n"
        "else: raise SystemExit('openvino_telemetry was imported')\n"
        "assert 'onnxruntime' not in sys.modules and 'openvino' not in sys.modules\n"
    )
    variables = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=variables, check=True, timeout=60)

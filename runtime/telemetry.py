"""Switches off what the libraries used here report of their use to their makers.

OpenVINO and NNCF look for a package openvino_telemetry, which writes an id into HOME and calls Google
Analytics at imports and conversions; without it they do nothing. ONNX Runtime (from 1.29 on) keeps a database
in HOME and sends facts about a model and its use to Microsoft, unless a variable is set before it is loaded.
"""

import os
import sys

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, under timm
}


def switch_off() -> None:
    """For this process and its children; call it before any of these libraries is imported."""
    for name, value in SWITCHES.items():
        os.environ[name] = value
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing it now fails

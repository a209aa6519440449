"""A folder as NVIDIA's image has one at /opt/tritonserver, made of the wheel's files."""

from pathlib import Path

from deploy.embedded.installations.wheel import WheelTriton
from tests.helpers.paths import ROOT


def lay_out(folder: Path, *, version: str = "2.51.0") -> Path:
    """bin/, lib/, backends/ and TRITON_VERSION of a server that runs; links, for nothing writes there."""
    wheel = WheelTriton().prepare(None, cache=ROOT / "var")
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "tritonserver").symlink_to(wheel.binary)
    (folder / "lib").symlink_to(wheel.libraries[0])
    (folder / "backends").symlink_to(wheel.backends)
    (folder / "TRITON_VERSION").write_text(f"{version}\n")
    return folder

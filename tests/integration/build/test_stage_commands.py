"""Each stage is a command: its record repeats it, and its fingerprint covers all that it ran."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from build.files import ROOT
from build.stages import compile as compile_stage
from build.stages import export as export_stage
from build.stages import precision as precision_stage
from build.stages import repository
from build.stages.fingerprint import PACKAGES, import_closure
from build.stages.verify import verify
from tests.helpers.builds import SmallBuild

COMMANDS = {
    "build.stages.export": export_stage,
    "build.stages.precision": precision_stage,
    "build.stages.compile": compile_stage,
}
# Runs commands as `python -m` does, each in a process that has none of our modules, and writes which it
# imported. The processes are forks of one that has what takes longest to import. What torch would export
# is a file.
_TRACED = """
import json, os, sys
from importlib import import_module
from pathlib import Path
import onnx, onnxruntime, onnxscript, openvino, timm, torch
for command, words in json.loads(sys.argv[2]).items():
    process = os.fork()
    if not process:
        module = import_module(command)
        if command == "build.stages.export":
            import_module("build.onnx_export")._to_onnx = lambda *_, **__: onnx.load(sys.argv[3])
        status = module.main(words)
        Path(sys.argv[1], command).write_text(json.dumps(sorted(sys.modules)))
        os._exit(status)
    if status := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        sys.exit(f"{command} ended with {status}")
"""


def traced(folder: Path, commands: Mapping[str, Sequence[str]], *, network: Path) -> dict[str, set[str]]:
    """The modules of ours that each command imported."""
    subprocess.run(
        [sys.executable, "-c", _TRACED, str(folder), json.dumps(commands), str(network)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return {
        command: {
            name for name in json.loads((folder / command).read_text()) if name.partition(".")[0] in PACKAGES
        }
        for command in commands
    }


def test_each_stage_is_a_command_of_its_own(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = small_build.checkpoint
    exported, lowered, engine = (tmp_path / name for name in ("onnx", "precision", "engine"))
    words = {
        "build.stages.export": [str(checkpoint), "--directory", str(exported)],
        "build.stages.precision": [
            *(str(exported), "--target", "openvino", "--precision", "fp32", "--output", str(lowered))
        ],
        "build.stages.compile": [
            *(str(lowered), "--output", str(engine), "--checkpoint", str(checkpoint)),
            *("--rounds", "1", "--seconds", "0.01"),
        ],
    }
    traces = tmp_path / "traces"
    traces.mkdir()
    for command, imported in traced(traces, words, network=small_build.exported).items():
        everything = import_closure(command).keys()
        own = import_closure(command, in_use={"build.backends": ["openvino"]}).keys()
        assert imported <= everything
        # The registry imports all backends to know their names; one alone works.
        assert {name for name in imported - own if not name.startswith("build.backends.")} <= {
            name for name in everything - own if name.startswith("build.lowering.")
        }
    assert repository.main(["--engine", str(engine), "--output", str(tmp_path / "var")]) == 0
    verify((tmp_path / "var" / "repository").resolve())
    # Without a checkpoint an engine is built too: no speed is measured beside torch.
    assert compile_stage.main([str(lowered), "--output", str(tmp_path / "alone"), "--rounds", "0"]) == 0
    capsys.readouterr()
    assert compile_stage.main([str(exported), "--output", str(tmp_path / "other")]) == 2
    assert "does not hold what the step precision leaves" in capsys.readouterr().err
    # The recorded commands are those that repeat the stages: nothing is left to do.
    for directory in (exported, lowered, engine):
        recorded = shlex.split(json.loads((directory / "step.json").read_text())["command"])
        assert COMMANDS[recorded[2]].main(recorded[3:]) == 0
        assert "up to date" in capsys.readouterr().out

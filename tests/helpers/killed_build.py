"""Builds that are killed where they enter a function, each in a process of its own.

One process imports torch and the build once, and the others are forked from it. They export nothing anew.
"""

import importlib
import multiprocessing
import time
from pathlib import Path

import build.onnx_export
from build.__main__ import main
from tests.helpers.builds import SmallBuild

_BUILDS = multiprocessing.get_context("forkserver")
_BUILDS.set_forkserver_preload([__name__])


def killed_build(small: SmallBuild, output: Path, sign: Path, *, module: str, function: str) -> None:
    """Builds the small network until a function is entered, and kills it there; `sign` is a new file."""
    process = _BUILDS.Process(target=_build, args=(small, output, sign, module, function))
    process.start()
    try:
        while not sign.exists() and process.is_alive():
            time.sleep(0.02)
    finally:
        process.kill()
        process.join()
    assert sign.exists(), "the build ended before it came to the step"


def _build(small: SmallBuild, output: Path, sign: Path, module: str, function: str) -> None:
    def half(*arguments: object, **named: object) -> None:
        for place in output.rglob("*.unfinished"):
            (place / "half").write_text("half")
        sign.write_text("here")
        time.sleep(120)

    build.onnx_export._to_onnx = small.exported_again
    setattr(importlib.import_module(module), function, half)
    main([str(small.checkpoint), "--output", str(output), "--rounds", "0"])

"""A stage's fingerprint is over the code that it can run: no module less, and none that it never imports."""

from pathlib import Path

import pytest

from build.stages.compile import CompileStage
from build.stages.export import ExportStage
from build.stages.fingerprint import code_fingerprint, import_closure
from build.stages.precision import PrecisionStage
from build.stages.random_weights import UntrainedStage

STAGES = (UntrainedStage, ExportStage, PrecisionStage, CompileStage)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project: an entry point, what it imports in each of the ways, and what it does not."""
    files = {
        "build/__init__.py": "",
        "build/entry.py": """
import json
from typing import TYPE_CHECKING
import numpy as np
import build.plain
from build import sibling
from build.things import value
from . import relative
from .nested.deep import thing
if TYPE_CHECKING:
    from build.types_only import T
else:
    import build.untyped

class Work:
    def run(self):
        if self:
            from runtime.late import f
        import importlib
        importlib.import_module("runtime.constant")
""",
        "build/plain.py": "import build.entry",  # a circle
        "build/sibling.py": "",
        "build/things.py": "value = 1",
        "build/relative.py": "from .registry import members",
        "build/nested/__init__.py": "from .. import parent",
        "build/nested/deep.py": "thing = 1",
        "build/parent.py": "",
        "build/types_only.py": "",
        "build/untyped.py": "",
        "build/report.py": "",
        "build/registry/__init__.py": """
import importlib, pkgutil
def members():
    return [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
""",
        "build/registry/base.py": "",
        "build/registry/one.py": "from build.registry.base import Base; import build.tools_of_one",
        "build/registry/two.py": "import build.tools_of_two",
        "build/registry/package/__init__.py": "",
        "build/tools_of_one.py": "",
        "build/tools_of_two.py": "",
        "runtime/__init__.py": "",
        "runtime/late.py": "from importlib import import_module as _; f = 1\nfrom runtime import kinds",
        "runtime/constant.py": "",
        "runtime/kinds/__init__.py": "from runtime.discovery import modules_of; KINDS = modules_of(__name__)",
        "runtime/kinds/points.py": "",
        "runtime/discovery.py": "",
        "runtime/other.py": "",
    }
    for name, source in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return tmp_path


def test_imports_count_wherever_they_stand_and_others_do_not(tree: Path) -> None:
    assert list(import_closure("build.entry", root=tree)) == [
        "build",
        "build.entry",
        "build.nested",
        "build.nested.deep",
        "build.parent",
        "build.plain",
        "build.registry",
        "build.registry.base",
        "build.registry.one",
        "build.registry.package",
        "build.registry.two",
        "build.relative",
        "build.sibling",
        "build.things",
        "build.tools_of_one",
        "build.tools_of_two",
        "build.untyped",
        "runtime",
        "runtime.constant",
        "runtime.discovery",
        "runtime.kinds",
        "runtime.kinds.points",
        "runtime.late",
    ]


def test_a_stage_that_uses_one_module_of_a_registry_rests_on_no_other(tree: Path) -> None:
    everything = import_closure("build.entry", root=tree).keys()
    one = import_closure("build.entry", in_use={"build.registry": ["one"]}, root=tree).keys()
    assert everything - one == {"build.registry.two", "build.registry.package", "build.tools_of_two"}


def test_a_package_whose_modules_are_imported_by_a_computed_name_counts_whole(tree: Path) -> None:
    (tree / "build" / "entry.py").write_text(
        "import importlib\ndef load(name): return importlib.import_module(f'build.registry.{name}')"
    )
    assert import_closure("build.entry", root=tree).keys() >= {"build.registry.two", "build.registry.package"}


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("build/entry.py", True),
        ("runtime/kinds/points.py", True),
        ("build/nested/__init__.py", True),
        ("build/report.py", False),
        ("build/types_only.py", False),
        ("runtime/other.py", False),
    ],
)
def test_the_fingerprint_changes_with_the_code_that_counts(tree: Path, changed: str, counts: bool) -> None:
    before = code_fingerprint("build.entry", root=tree)
    path = tree / changed
    path.write_text(path.read_text() + "\nchanged = True\n")
    assert (code_fingerprint("build.entry", root=tree) != before) == counts


def test_a_new_module_of_a_registry_counts(tree: Path) -> None:
    before = code_fingerprint("build.entry", root=tree)
    (tree / "runtime" / "kinds" / "gaze.py").write_text("")
    assert code_fingerprint("build.entry", root=tree) != before


def test_an_entry_point_that_does_not_exist_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no module build\.gone"):
        import_closure("build.gone", root=tree)


@pytest.mark.parametrize("stage", STAGES)
def test_what_prints_tables_or_serves_is_in_no_stage(stage: type) -> None:
    closure = import_closure(stage.module).keys()
    assert closure.isdisjoint({"build.report", "build.__main__", "build.pipeline", "build.stages.repository"})


def test_what_the_stages_rest_on_is_in_them() -> None:
    export, precision, compiled = (
        import_closure(stage.module).keys() for stage in (ExportStage, PrecisionStage, CompileStage)
    )
    for closure in (export, precision, compiled):
        assert closure >= {"build.stages.stage", "build.onnx_interface", "runtime.image.align"}
    assert export >= {"build.onnx_export", "training.models.qface.decoder", "training.tasks"}
    assert precision >= {"build.lowering.qdq_quantization", "build.lowering.calibration_faces"}
    assert compiled >= {"build.acceptance.gate", "build.acceptance.speed", "training.evaluation.metrics"}


def test_an_engine_rests_on_its_own_backend_and_on_no_other() -> None:
    of_openvino = import_closure("build.stages.compile", in_use={"build.backends": ["openvino"]}).keys()
    assert of_openvino >= {"build.backends", "build.backends.base", "build.backends.openvino"}
    assert of_openvino.isdisjoint({"build.backends.tensorrt", "build.backends.onnxruntime"})
    of_rtx = import_closure("build.stages.compile", in_use={"build.backends": ["tensorrt_rtx"]}).keys()
    assert "build.backends.tensorrt_tools.plan_backend" in of_rtx - of_openvino


def test_the_stages_after_the_export_need_no_training_code() -> None:
    closure = import_closure("build.stages.precision")
    assert not [name for name in closure if name.startswith("training")]

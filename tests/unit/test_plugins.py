"""Other installed packages add readers, teachers and kinds by entry points."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.plugins import plugins
from tests.helpers.paths import ROOT

READER = """
import dataclasses

from training.data.readers import utkface

READER = dataclasses.replace(utkface.READER, name="shop_faces")
"""
# A kind is found before the catalogue is there: its module imports neither tasks nor readers.
KIND = """
from pathlib import Path

import runtime.kinds.value
import training.kinds.value


class Weighed(training.kinds.value.Value):
    name = "weighed"


class WeighedAnswer(type(runtime.kinds.value.KIND)):
    name = "weighed"


TRAINING_KIND, RUNTIME_KIND = Weighed(), WeighedAnswer()


class Clerk:
    title, tasks = "A clerk", ("age",)

    def __init__(self, model: Path) -> None:
        self.model = model
"""
ENTRIES = """
[qface.readers]
shop = shop_reader:READER

[qface.training_kinds]
weighed = shop_plugin:TRAINING_KIND

[qface.runtime_kinds]
weighed = shop_plugin:RUNTIME_KIND

[qface.teachers]
clerk = shop_plugin:Clerk
"""
USE = """
import pathlib
from runtime.kinds import kinds as served
from training.data.readers import reader_of
from training.kinds import kinds
from training.tasks import Task
from training.teachers import open_teacher

assert reader_of("shop_faces").title.startswith("UTKFace")
assert "weighed" in kinds() and "weighed" in served()
Task(name="mass", kind="weighed", labels=("kg",), unit="kg", queries=1, loss="smooth_l1", metric="bias")
assert open_teacher("clerk", model=pathlib.Path(".")).title == "A clerk"
"""


def installed(folder: Path, *, entries: str = ENTRIES) -> Path:
    """A folder that a package with these entry points was installed into."""
    (folder / "shop_plugin.py").write_text(KIND)
    (folder / "shop_reader.py").write_text(READER)
    about = folder / "shop_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-plugin\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entries)
    return folder


def test_a_package_adds_a_reader_a_kind_and_a_teacher(tmp_path: Path) -> None:
    """In a process of its own, for what was found once is kept."""
    folders = [str(installed(tmp_path)), str(ROOT), str(ROOT / "client")]
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {folders!r}\n{USE}"], check=True, cwd=tmp_path
    )


def test_a_plugin_that_can_not_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, entries="[qface.readers]\nshop = shop_plugin:NOTHING\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match="the plugin shop of the package shop-plugin can't be loaded"):
        list(plugins("qface.readers"))

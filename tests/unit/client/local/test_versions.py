"""A local client's libraries are those of the server; where they are not, the log names them."""

import importlib.metadata
import json
import logging
import tomllib
from pathlib import Path

import cv2
import pytest
from packaging.requirements import Requirement

from qface_client.local.versions import warn_of_others
from tests.helpers.paths import ROOT
from tests.helpers.pinned import pins

OPENCV = "opencv-python-headless"
COMPUTING = (OPENCV, "openvino", "simplejpeg")


def required() -> dict[str, list[str]]:
    """What ./runtime and the client's extra `local` require."""
    runtime = tomllib.loads((ROOT / "runtime/pyproject.toml").read_text())["project"]["dependencies"]
    client = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]
    return {"runtime": runtime, "client": client["optional-dependencies"]["local"]}


@pytest.mark.parametrize("package", ["runtime", "client"])
def test_what_computes_is_required_as_it_is_served(package: str) -> None:
    """Update runtime/pyproject.toml and client/pyproject.toml where requirements/serve.txt has changed."""
    requirements = {found.name: found for found in map(Requirement, required()[package])}
    served = pins(ROOT / "requirements/serve.txt")
    for name in COMPUTING:
        only = [str(specifier) for specifier in requirements[name].specifier]
        if name == OPENCV:
            assert only == [f"=={served[name]}"]
        else:  # another patch of the same release
            assert len(only) == 1
            assert only[0].startswith("~=")
            assert only[0].removeprefix("~=").split(".")[:2] == served[name].split(".")[:2]
        assert requirements[name].specifier.contains(served[name])


def recorded(folder: Path, **versions: str) -> Path:
    (folder / "manifest.json").write_text(
        json.dumps({"versions": {name.replace("_", "-"): version for name, version in versions.items()}})
    )
    return folder


def test_libraries_of_another_release_than_the_repositorys_are_named_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jpeg = importlib.metadata.version("simplejpeg")
    versions = {"opencv_python_headless": "3.1.4.15", "openvino": "2001.2.3", "simplejpeg": jpeg}
    with caplog.at_level(logging.WARNING, "qface_client"):
        warn_of_others(recorded(tmp_path, **versions))
    (record,) = caplog.records
    assert record.name == "qface_client"
    text = record.getMessage()
    assert f"{OPENCV} {cv2.__version__} (served: 3.1.4.15)" in text
    assert f"openvino {importlib.metadata.version('openvino')} (served: 2001.2.3)" in text
    assert f'pip install "{OPENCV}==3.1.4.15" "openvino==2001.2.3"' in text
    assert "simplejpeg" not in text


def test_the_same_release_is_silent_and_so_is_a_repository_that_records_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    year, release, _ = importlib.metadata.version("openvino").split(".")
    warn_of_others(recorded(tmp_path, openvino=f"{year}.{release}.99"))
    for text in ("", "[]", '{"versions": []}', '{"versions": {"numpy": "0.1"}}'):
        (tmp_path / "manifest.json").write_text(text)
        warn_of_others(tmp_path)
    warn_of_others(tmp_path / "network.onnx")
    assert not caplog.records

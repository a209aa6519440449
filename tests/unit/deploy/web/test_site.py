"""The page's files in memory: what becomes one of them, and what a bundle must be to be served."""

import gzip
import json
import os
from pathlib import Path

import pytest

from deploy.web import site as module
from deploy.web.browser_only import LiveSite
from deploy.web.bundle.contents import MANIFEST
from deploy.web.policy import MEDIA_TYPES
from deploy.web.site import PAGE, Site
from tests.helpers.small_bundles import WASM, write_bundle


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "sources").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "main.js").write_text("let x = 1;\n" * 100)
    (folder / "sources" / "server.js").write_text("export {};")
    return folder


def test_every_file_of_the_page_has_a_type_that_is_served() -> None:
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if path.suffix not in MEDIA_TYPES] == []
    assert [path for path in files if path.is_symlink()] == []


def test_links_hidden_files_and_other_types_are_none_of_it(page: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.js").write_text("secret")
    (page / "link.js").symlink_to(tmp_path / "secret.js")
    (page / "folder").symlink_to(tmp_path, target_is_directory=True)
    (page / ".hidden.js").write_text("hidden")
    (page / "notes.md").write_text("notes")
    os.mkfifo(page / "pipe.js")
    found = Site.read(page, bundle=tmp_path / "none")
    assert sorted(found.files) == ["/", "/web/main.js", "/web/sources/server.js"]
    assert gzip.decompress(found.files["/web/main.js"].packed or b"") == found.files["/web/main.js"].content
    assert found.files["/web/sources/server.js"].packed is None, "its gzip is larger"


def test_a_folder_without_an_index_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no index\.html"):
        Site.read(tmp_path, bundle=tmp_path)


def test_a_bundle_that_is_not_as_its_manifest_has_it_is_not_served(page: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    assert Site.read(page, bundle=bundle).files["/web/bundle/ort/runtime.wasm"].content == WASM
    runtime, manifest = bundle / "ort" / "runtime.wasm", bundle / MANIFEST
    whole = manifest.read_text()

    def served(reason: str) -> bool:
        found = Site.read(page, bundle=bundle)
        is_served = any(path.startswith("/web/bundle/") for path in found.files)
        assert is_served or reason in found.without_bundle
        assert "/" in found.files, "the page is served in any case"
        return is_served

    runtime.write_bytes(WASM[:-1] + b"x")
    assert not served("runtime.wasm is not what the bundle's manifest has")
    runtime.unlink()
    assert not served("runtime.wasm is not what the bundle's manifest has")
    runtime.write_bytes(WASM)
    packed = bundle / "ort" / "runtime.wasm.gz"
    packed.write_bytes(gzip.compress(b"another"))
    assert not served("runtime.wasm.gz is not what the bundle's manifest has")
    for text in (
        "",
        "{",
        "[]",
        '{"files": []}',
        '{"files": {"x": 1}}',
        '{"files": {"x": {"bytes": 1}}}',
        "\xff",
    ):
        manifest.write_text(text)
        assert not served("make web-bundle")
    for name in ("../secret.js", "/etc/passwd", "ort/../../x", ".hidden", "a\\b", ""):
        manifest.write_text(json.dumps({"files": {name: {"bytes": 0, "sha256": ""}}}))
        assert not served("names files that can't be")
    manifest.write_text(whole)
    manifest.unlink()
    assert not served("make web-bundle")


def test_another_bundle_that_takes_its_place_is_read_whole(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "bundle"
    link.symlink_to(write_bundle(tmp_path / "bundle-1").name)
    second = write_bundle(tmp_path / "bundle-2", {"network.onnx": b"another"})
    read = module.read_bundle.__globals__["_read"]

    def swapped(path: Path, entry: object) -> bytes:
        if "bundle-1" in path.parts[-2:] or path.parent.parent.name == "bundle-1":
            link.unlink()
            link.symlink_to(second.name)
            path.unlink(missing_ok=True)  # its maker removes the one before
        return bytes(read(path, entry))

    monkeypatch.setitem(module.read_bundle.__globals__, "_read", swapped)
    found = Site.read(page, bundle=link)
    assert found.files["/web/bundle/network.onnx"].content == b"another"


def test_who_works_on_the_page_sees_a_changed_file(page: Path, tmp_path: Path) -> None:
    live = LiveSite(page=page, bundle=tmp_path / "bundle")
    before = live()
    assert live() is before, "nothing is read again"
    (page / "new.js").write_text("new")
    assert live().files["/web/new.js"].content == b"new"
    assert live().without_bundle
    write_bundle(tmp_path / "bundle")
    assert not live().without_bundle
    (page / "index.html").unlink()
    assert "/" in live().files, "while it is written, what was there is served"

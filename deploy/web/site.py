"""Site: every file that the page is made of, in memory, by its path in a URL.

What is not in it is not served, whatever a path looks like: no path of a request is ever one of the disk.
"""

import dataclasses
import functools
import gzip
import hashlib
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.web.bundle.contents import MANIFEST, BundleMissing, read_bundle
from deploy.web.policy import MEDIA_TYPES

PAGE = Path(__file__).resolve().parent / "page"
INDEX = "index.html"
BELOW = "/web/"
BUNDLE_BELOW = "/web/bundle/"
_WORTH = 0.9  # of its bytes: what gzip does not bring below is sent as it is


@dataclasses.dataclass(frozen=True, kw_only=True)
class SiteFile:
    """One file: its bytes, those of its gzip where that is worth it, and its media type."""

    media_type: str
    content: bytes = dataclasses.field(repr=False)
    packed: bytes | None = dataclasses.field(default=None, repr=False)

    @functools.cached_property
    def tag(self) -> str:
        """Of an ETag: another one, another content."""
        return hashlib.sha256(self.content).hexdigest()[:32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """All files, as they were at one moment.

    files           by the path of their URL: "/", "/web/main.js", "/web/bundle/manifest.json"
    without_bundle  why there is no network for the browser, in a sentence; "" where there is one
    """

    files: Mapping[str, SiteFile]
    without_bundle: str = ""

    @classmethod
    def read(cls, page: Path = PAGE, *, bundle: Path) -> "Site":
        """Reads both folders. OSError where the page's can't be read; a bundle may be missing."""
        files = {}
        for name, content in sorted(_files_below(page)):
            path = "/" if name == INDEX else f"{BELOW}{name}"
            files[path] = _site_file(name, content)
        if "/" not in files:
            raise FileNotFoundError(f"{page} has no {INDEX}: it is no page")
        try:
            found = read_bundle(bundle)
        except BundleMissing as missing:
            return cls(files=files, without_bundle=str(missing))
        for name, each in found.items():
            files[f"{BUNDLE_BELOW}{name}"] = SiteFile(
                media_type=MEDIA_TYPES[Path(name).suffix], content=each.content, packed=each.packed
            )
        assert f"{BUNDLE_BELOW}{MANIFEST}" in files
        return cls(files=files)


def _files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Regular files whose media type is known. What is a symbolic link is none of the page's."""
    for path in folder.iterdir():
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from ((f"{path.name}/{name}", content) for name, content in _files_below(path))
        elif stat.S_ISREG(mode) and path.suffix in MEDIA_TYPES and not path.name.startswith("."):
            yield path.name, path.read_bytes()


def _site_file(name: str, content: bytes) -> SiteFile:
    packed = gzip.compress(content, mtime=0)
    return SiteFile(
        media_type=MEDIA_TYPES[Path(name).suffix],
        content=content,
        packed=packed if len(packed) < _WORTH * len(content) else None,
    )

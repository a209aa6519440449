"""All other protocols that fsspec knows: gs://, abfs://, https://, with the packages that it names."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.bulk.errors import Refused
from deploy.bulk.photo import Cause, Photo
from deploy.bulk.store.base import MAGIC, Listed, NotRead, check_size, gone, is_hidden, root_of
from qface_client._photos.folders import is_picture

# What file systems call the thing that changes with the content.
_VERSIONS = ("etag", "ETag", "md5Hash", "content_md5", "generation", "mtime", "LastModified", "last_modified")


class OtherStore:
    """Photos by protocol://path. A listing is held in memory a folder at a time."""

    def __init__(self, protocol: str, options: Mapping[str, Any]) -> None:
        import fsspec

        self._protocol = protocol
        try:
            self._files = fsspec.filesystem(protocol, **options)
        except (ValueError, ImportError, TypeError) as error:
            raise Refused(
                f"addresses of {protocol}:// can't be used ({error}): install what fsspec names for it"
            ) from error

    def list(self, source: str) -> Iterator[Listed]:
        path = self._files._strip_protocol(source)
        try:
            if MAGIC.search(path):
                yield from self._matching(path)
            elif self._files.isfile(path):
                yield self._listed(self._files.info(path))
            else:
                yield from self._below(path)
        except FileNotFoundError:
            raise Refused(f"{source} does not exist: check the address") from None
        except Refused:
            raise
        except Exception as error:  # of whatever library speaks the protocol
            raise Refused(
                f"{source} can't be listed ({type(error).__name__}: {error}): check address and credentials"
            ) from error

    def look_up(self, address: str) -> Listed:
        try:
            return self._listed(self._files.info(address))
        except Exception:  # what is wrong is found when it is read
            return Listed(address=address)

    def read(self, photo: Photo) -> bytes:
        try:
            data: bytes = self._files.cat_file(photo.address)
        except FileNotFoundError:
            raise gone() from None
        except PermissionError as error:
            raise NotRead(Cause.DENIED, f"access to it is denied ({error})", by_store=True) from None
        except Exception as error:  # of whatever library speaks the protocol
            raise NotRead(
                Cause.UNREADABLE,
                f"it can't be read ({type(error).__name__}: {error})",
                by_store=True,
                may_pass=True,
            ) from None
        check_size(photo, len(data))
        return data

    def why_unreachable(self, root: str) -> str | None:
        try:
            self._files.info(root)
        except Exception as error:
            return f"{root} can't be reached ({type(error).__name__}: {error})"
        return None

    def _below(self, path: str) -> Iterator[Listed]:
        for folder, folders, files in self._files.walk(path, detail=True, on_error="raise"):
            for name in [name for name in folders if name.startswith(".")]:
                del folders[name]
            for name in sorted(files):
                if is_picture(name) and not is_hidden(posixpath.relpath(posixpath.join(folder, name), path)):
                    yield self._listed(files[name])

    def _matching(self, pattern: str) -> Iterator[Listed]:
        suffix = posixpath.splitext(pattern)[1]
        every = bool(suffix) and not MAGIC.search(suffix)
        root = root_of(pattern)
        for _, info in sorted(self._files.glob(pattern, detail=True).items()):
            shown = not is_hidden(info["name"][len(root) :])
            if info["type"] == "file" and shown and (every or is_picture(info["name"])):
                yield self._listed(info)

    def _listed(self, info: Mapping[str, Any]) -> Listed:
        version = next((f"{name}:{info[name]}" for name in _VERSIONS if info.get(name) is not None), None)
        size = info.get("size")
        return Listed(
            address=self._files.unstrip_protocol(info["name"]),
            size=None if size is None else int(size),
            version=version,
        )

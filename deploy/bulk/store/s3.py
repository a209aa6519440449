"""Objects of S3, and of what speaks its protocol: listed a page at a time, and read with their ETag."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.bulk.errors import Refused
from deploy.bulk.photo import Cause, Photo
from deploy.bulk.store.base import MAGIC, Listed, NotRead, changed, check_size, gone, is_hidden, root_of
from qface_client._photos.folders import is_picture

_PAGE = 1000  # keys, the most that S3 gives at a time
_SECONDS = {"connect_timeout": 10, "read_timeout": 60}


class S3Store:
    """Photos by s3://bucket/key; the ETag is their version."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        try:
            import s3fs
        except ImportError as error:
            raise Refused(f"addresses of S3 need s3fs ({error}): `make .venv-bulk` installs it") from error
        try:
            config = {**_SECONDS, **options.get("config_kwargs", {})}
            config.setdefault("retries", {"max_attempts": 1})  # tries are counted by who reads
            own = {"config_kwargs": config, "skip_instance_cache": True}
            self._files = s3fs.S3FileSystem(**{**options, **own})
            self._files.retries = 1
            self._files.connect()  # which shows what boto has against its options
        except Exception as error:
            if not isinstance(error, (TypeError, ValueError)) and not _of_library(error):
                raise
            raise Refused(
                f"S3 can't be used ({_words(error)}): check --storage, and the settings in ~/.aws and the "
                "environment"
            ) from error

    def list(self, source: str) -> Iterator[Listed]:
        bucket, key = _split(source)
        try:
            if MAGIC.search(key):
                yield from self._matching(bucket, key)
            else:
                yield from self._below(bucket, key)
        except FileNotFoundError:
            raise Refused(f"{source} can't be listed: there is no bucket {bucket}") from None
        except PermissionError as error:
            raise Refused(
                f"{source} can't be listed, as access is denied ({_words(error)}): check the credentials, "
                "and that they may list the bucket"
            ) from None
        except OSError as error:
            raise Refused(
                f"{source} can't be listed ({_words(error)}): check address and connection"
            ) from error
        except Exception as error:
            if not _of_library(error):
                raise
            raise Refused(f"{source} can't be listed ({_words(error)}): check the credentials") from error

    def look_up(self, address: str) -> Listed:
        bucket, key = _split(address)
        if not bucket or not key:
            raise Refused(f"{address} names no object: an address is s3://bucket/key")
        try:
            head = self._files.call_s3("head_object", Bucket=bucket, Key=key)
        except Exception as error:
            if not isinstance(error, OSError) and not _of_library(error):
                raise
            return Listed(address=_address(bucket, key))  # what is wrong is found when it is read
        return Listed(address=_address(bucket, key), size=head["ContentLength"], version=_version(head))

    def read(self, photo: Photo) -> bytes:
        import fsspec.asyn

        bucket, key = _split(photo.address)
        try:
            reply = self._files.call_s3("get_object", Bucket=bucket, Key=key)
            body = reply["Body"]
            try:
                # What is too large or another one is not fetched.
                check_size(photo, int(reply["ContentLength"]))
                if photo.version is not None and photo.version != _version(reply):
                    raise changed("its ETag is another one")
                data: bytes = fsspec.asyn.sync(self._files.loop, body.read)
            finally:
                body.close()
        except NotRead:
            raise
        except FileNotFoundError:
            raise gone() from None
        except PermissionError as error:
            raise NotRead(Cause.DENIED, f"access to it is denied ({_words(error)})", by_store=True) from None
        except Exception as error:  # connections break in the words of several libraries
            raise NotRead(
                Cause.UNREADABLE, f"it can't be read ({_words(error)})", by_store=True, may_pass=True
            ) from None
        check_size(photo, len(data))
        return data

    def why_unreachable(self, root: str) -> str | None:
        bucket, prefix = _split(root)
        try:
            self._files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
        except Exception as error:
            return f"s3://{bucket} can't be listed ({_words(error)})"
        return None

    def _below(self, bucket: str, key: str) -> Iterator[Listed]:
        """The object of this key, or all below it as a folder."""
        if key and not key.endswith("/"):
            first = next(self._pages(bucket, key, size=1), None)
            if first is not None and first["Key"] == key:
                yield _listed(bucket, first)
                return
            key += "/"
        for item in self._pages(bucket, key):
            if is_picture(item["Key"]) and not is_hidden(item["Key"][len(key) :]):
                yield _listed(bucket, item)

    def _matching(self, bucket: str, pattern: str) -> Iterator[Listed]:
        from fsspec.utils import glob_translate

        whole = re.compile(glob_translate(pattern))
        prefix = pattern[: MAGIC.search(pattern).start()]  # type: ignore[union-attr]
        root = root_of(pattern)
        suffix = pattern.rpartition("/")[2].rpartition(".")[2]
        every = "." in pattern.rpartition("/")[2] and not MAGIC.search(suffix)
        for item in self._pages(bucket, prefix):
            shown = not is_hidden(item["Key"][len(root) :])
            if shown and whole.match(item["Key"]) and (every or is_picture(item["Key"])):
                yield _listed(bucket, item)

    def _pages(self, bucket: str, prefix: str, *, size: int = _PAGE) -> Iterator[Mapping[str, Any]]:
        """The objects of a prefix, in the order of their keys' bytes; the first ones, of a small `size`."""
        token: dict[str, str] = {}
        while True:
            page = self._files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=size, **token)
            yield from page.get("Contents", ())
            if not page.get("IsTruncated") or size < _PAGE:
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}


def _split(address: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = address.partition("://")[2].partition("/")
    return bucket, key


def _address(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def _listed(bucket: str, item: Mapping[str, Any]) -> Listed:
    return Listed(address=_address(bucket, item["Key"]), size=int(item["Size"]), version=_version(item))


def _version(item: Mapping[str, Any]) -> str | None:
    etag = item.get("ETag")
    return None if etag is None else f"etag:{str(etag).strip(chr(34))}"


def _of_library(error: Exception) -> bool:
    """Whether it is one of boto's own, as of missing credentials."""
    return type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp")


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text.partition("] ")[2] if text.startswith("[Errno") else text or type(error).__name__

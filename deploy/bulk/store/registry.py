"""The store of an address, by its protocol."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from deploy.bulk.store.base import Store

_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:::|://)")
LOCAL = "file"


def protocol_of(address: str) -> str:
    """The protocol of an address: "s3" of "s3://bucket/key"; a path is a local file's."""
    found = _PROTOCOL.match(address)
    return found[1].lower() if found else LOCAL


def open_store(protocol: str, options: Mapping[str, Any]) -> Store:
    """The store of a protocol; `options` are fsspec's. Refused for a protocol that can't be used."""
    return _OWN.get(protocol, _other)(protocol, options)


def _local(protocol: str, options: Mapping[str, Any]) -> Store:
    from deploy.bulk.store.local import LocalStore

    return LocalStore()


def _s3(protocol: str, options: Mapping[str, Any]) -> Store:
    from deploy.bulk.store.s3 import S3Store

    return S3Store(options)


def _other(protocol: str, options: Mapping[str, Any]) -> Store:
    from deploy.bulk.store.other import OtherStore

    return OtherStore(protocol, options)


_OWN: Mapping[str, Callable[[str, Mapping[str, Any]], Store]] = {
    LOCAL: _local,
    "local": _local,
    "s3": _s3,
    "s3a": _s3,
}

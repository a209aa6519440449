"""Where photos lie: a module a protocol, and one for all that fsspec knows beside them."""

from deploy.bulk.store.base import Listed, NotRead, Store
from deploy.bulk.store.registry import open_store, protocol_of

__all__ = ["Listed", "NotRead", "Store", "open_store", "protocol_of"]

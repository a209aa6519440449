"""Many photos of an iterable: their results as they complete, a bounded number of them in hand."""

from .asynchronous import stream_async
from .blocking import stream
from .photo_result import PhotoResult, check_many

__all__ = ["PhotoResult", "check_many", "stream", "stream_async"]

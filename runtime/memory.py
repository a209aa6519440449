"""Errors that come of memory that ran out: nobody's mistake, and another try may succeed."""

import cv2

# What libraries in C++ name it in a RuntimeError of their own: OpenVINO and ONNX Runtime do.
_WORDS = ("bad_alloc", "bad allocation", "Failed to allocate memory", "Cannot allocate memory")


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception of Python, NumPy, OpenCV or an engine comes of memory that ran out."""
    if isinstance(error, cv2.error):
        return getattr(error, "code", None) == cv2.Error.StsNoMem  # OpenCV's own mistakes have no code
    if isinstance(error, RuntimeError):
        return any(word in str(error) for word in _WORDS)
    return isinstance(error, MemoryError)

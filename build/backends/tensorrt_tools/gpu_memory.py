"""A GPU's memory and a stream, by the driver's library, which is there where a GPU is.

Not run on a GPU yet.
"""

import ctypes
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class GpuError(RuntimeError):
    """A call of the driver's failed; the message is the driver's."""


class GpuStream:
    """A stream of the first visible GPU, and arrays in its memory, until its block ends."""

    def __init__(self, cuda: Any) -> None:
        """`cuda` is libcuda, initialised. GpuError where it finds no GPU, or no memory for a context."""
        if cuda is None:
            raise GpuError("the driver finds no GPU")
        self._cuda = cuda
        self._buffers: list[ctypes.c_uint64] = []
        device, context, self._stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        # The one that TensorRT's runtime uses too.
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", ctypes.byref(self._stream), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pointer in self._buffers:  # whatever fails now failed before
            self._cuda.cuMemFree_v2(pointer)
        self._cuda.cuStreamDestroy_v2(self._stream)

    @property
    def handle(self) -> int:
        """As TensorRT takes it."""
        return self._stream.value or 0

    def upload(self, array: NDArray[Any]) -> int:
        """A copy of a C-contiguous array in the GPU's memory; its address."""
        address = self.allocate(array.nbytes)
        self._call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_size_t(array.nbytes),
            self._stream,
        )
        return address

    def allocate(self, size: int) -> int:
        """So many bytes of the GPU's memory; their address."""
        pointer = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(size))
        self._buffers.append(pointer)
        return pointer.value

    def download(self, address: int, *, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array from the GPU's memory, once all work of the stream is done."""
        array = np.empty(shape, dtype)
        self._call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_uint64(address),
            ctypes.c_size_t(array.nbytes),
            self._stream,
        )
        self._call("cuStreamSynchronize", self._stream)
        return array

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorString(status, ctypes.byref(text))
            raise GpuError((text.value or b"").decode(errors="replace") or f"{name} failed with {status}")

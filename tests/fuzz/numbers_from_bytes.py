"""Numbers spelled by bytes, so that a fuzzer's changes to them are changes to numbers."""

import struct


class Numbers:
    """Reads numbers from bytes one by one; zeros once they have ended."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """0 to 255."""
        return self._take("<B")

    def short(self) -> int:
        """0 to 65,535."""
        return self._take("<H")

    def coordinate(self) -> float:
        """A float of any kind: mostly a place in or near a picture, else whatever a double can hold."""
        kind = self.byte()
        if kind < 96:
            return self.short() / 16
        if kind < 160:
            return float(self.short()) - 32768
        if kind < 192:
            return float(struct.unpack("<f", self._bytes(4))[0])
        if kind < 224:
            return float(struct.unpack("<d", self._bytes(8))[0])
        special = (float("nan"), float("inf"), -float("inf"), 5e-324, 1.4e-45, -0.0, 1.7e308, -3.4e38)
        return special[kind % len(special)]

    def _take(self, form: str) -> int:
        return int(struct.unpack(form, self._bytes(struct.calcsize(form)))[0])

    def _bytes(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count].ljust(count, b"\0")
        self._at += count
        return taken

"""ServerTiming: where the time of one request went, in the words of the Server-Timing header (W3C)."""

import dataclasses

HEADER = "Server-Timing"
METADATA = HEADER.lower()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerTiming:
    """Seconds of a request that was answered."""

    total: float  # from its last byte's arrival until its answer was handed over
    queue: float  # of them waiting for admission
    triton: float  # of them with a Triton, all attempts together

    def to_text(self, **further: float) -> str:
        """ "total;dur=12.3, ..." in milliseconds, to a hundredth; `further`: other parts, in seconds."""
        parts = {"total": self.total, "queue": self.queue, "triton": self.triton, **further}
        return ", ".join([f"{name};dur={max(0.0, seconds) * 1e3:.2f}" for name, seconds in parts.items()])

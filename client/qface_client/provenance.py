"""Where an answer comes from."""

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["Provenance"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What made an answer: "" and no timings where the server does not state it."""

    model: str = ""  # the served model that answered the request, by the server's name of it
    version: str = ""  # of the model, as the server counts it
    contract: str = ""  # the hash of the contract by which tasks were answered; "": no task was
    # Milliseconds as the server measured the request ("total", "queue", ...), all faces of it together.
    timings: Mapping[str, float] = dataclasses.field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `model`, `version`, `contract`, `timings`; milliseconds with three digits."""
        return {
            "model": self.model,
            "version": self.version,
            "contract": self.contract,
            "timings": {name: round(float(spent), 3) for name, spent in self.timings.items()},
        }

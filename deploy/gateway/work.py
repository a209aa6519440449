"""What travels between the front and the authority: an admitted piece of work, its cost, and how it ended."""

import dataclasses
import enum


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a request will take, known before anything is decoded."""

    bytes: int  # of the whole request
    rows: int = 1  # faces in the batch; 1 for a photo
    pixels: int = 0  # of the encoded pictures, all rows together; 0 where none is encoded
    scan_pixels: int = (
        0  # pixels times the passes that a decoder makes over them (progressive JPEG: its scans)
    )
    steps: int = 0  # of its parameters: each makes the work several times as long (runtime.parameters)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """One inference that asks for admission."""

    model: str  # a served model's name, checked: safe as a metric's label
    cost: Cost
    client: str = ""  # the name of the API key or of the certificate; "" without identity
    per_second: float | None = None  # requests a second that this client may send; None: no such limit
    seconds_left: float | None = None  # until the client's deadline; None: it named none
    priority: int = 0  # Triton's: 1 is the highest; 0: none was named
    digest: str = ""  # of its content, where that is among the authority's `suspects`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ticket:
    """Leave to send one request to one backend; held until Triton has answered, whatever the client does."""

    number: int
    backend: int  # the generation of the Triton that gets it
    address: str  # what to connect to, "unix:..."
    queued_seconds: float  # spent waiting for admission


class Ending(enum.Enum):
    """How a request ended, the label `outcome` of the metrics."""

    ANSWERED = "answered"
    FAILED = "failed"  # Triton answered with an error of the request's own
    REFUSED = "refused"  # by the gateway, before or after Triton
    ABANDONED = "abandoned"  # its client left or its deadline passed; what Triton answers is dropped

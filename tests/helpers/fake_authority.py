"""An authority that admits everything to one address and remembers its calls, for tests of the front."""

import asyncio
import dataclasses
import itertools

import grpc
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.answer_sums import AnswerBlock
from deploy.gateway.refusals import Refusal, of_model, unavailable
from deploy.gateway.work import Ending, Ticket, Work


@dataclasses.dataclass
class Finished:
    """What `finish` was called with."""

    ticket: Ticket
    work: Work
    ending: Ending
    code: grpc.StatusCode
    faces: int


class FakeAuthority:
    """Set `models`, `sick` and `refusal` to what a test needs.

    next_addresses   where requests go that failed: while there are any, a failure counts as a Triton's death
    """

    def __init__(self, models: ServedModels | None, address: str | None) -> None:
        self.models = models
        self.where = address
        self.sick: dict[str | None, str] = {}  # by model, None for the server: why it is not ready
        self.refusal: Refusal | None = None  # of every admission
        self.next_addresses: list[str] = []
        self.admitted: list[Work] = []
        self.finished: list[Finished] = []
        self.blocks: list[AnswerBlock] = []
        self.turned_away: list[tuple[str, str]] = []
        self.below_quality: list[tuple[str, int]] = []
        self.digests: list[str] = []
        self.suspected: list[str] = []
        self.queued_seconds = 0.0  # of every ticket
        self.admission = asyncio.Event()
        self.admission.set()
        self._numbers = itertools.count(1)
        self._held: set[int] = set()

    def served(self) -> ServedModels | None:
        return self.models

    def address(self) -> str | None:
        return self.where

    def health(self, model: str | None = None) -> tuple[bool, str]:
        if self.models is None:
            return False, "no Triton is ready yet"
        return model not in self.sick, self.sick.get(model, "")

    def suspects(self) -> list[str]:
        return self.suspected

    async def admit(self, work: Work) -> Ticket:
        await self.admission.wait()
        if self.refusal is not None:
            raise self.refusal
        assert self.where is not None
        self.admitted.append(work)
        ticket = Ticket(
            number=next(self._numbers), backend=1, address=self.where, queued_seconds=self.queued_seconds
        )
        self._held.add(ticket.number)
        return ticket

    async def failed(
        self, ticket: Ticket, code: grpc.StatusCode, details: str, *, digest: str, resend: bool = True
    ) -> Ticket:
        self.digests.append(digest)
        if not self.next_addresses:
            raise of_model(code, details)
        if not resend:
            raise unavailable("the client has left", reason="client_left", retry_after=1.0)
        return dataclasses.replace(ticket, backend=ticket.backend + 1, address=self.next_addresses.pop(0))

    def finish(
        self,
        ticket: Ticket,
        work: Work,
        ending: Ending,
        *,
        code: grpc.StatusCode,
        seconds: float,
        faces: int,
    ) -> None:
        self._held.remove(ticket.number)  # raises for one that was given back before
        assert seconds >= 0
        self.finished.append(Finished(ticket, work, ending, code, faces))

    def refused(self, model: str, reason: str) -> None:
        self.turned_away.append((model, reason))

    def left_out(self, model: str, faces: int) -> None:
        self.below_quality.append((model, faces))

    def answered(self, block: AnswerBlock) -> None:
        self.blocks.append(block)


def served_models(*configs: "v2.ModelConfigResponse", generation: int = 1) -> ServedModels:
    """What a Triton with these models serves; version 1 of each."""
    metadata = {}
    for response in configs:
        name = response.config.name
        metadata[name] = v2.ModelMetadataResponse(name=name, versions=["1"], platform="python")
    return ServedModels.of(
        generation=generation,
        server=v2.ServerMetadataResponse(
            name="triton", version="2.51.0", extensions=["statistics", "trace", "system_shared_memory"]
        ),
        configs={response.config.name: response for response in configs},
        metadata=metadata,
    )


def model(name: str, **fields: object) -> "v2.ModelConfigResponse":
    """A ModelConfigResponse; `fields` are those of ModelConfig."""
    return v2.ModelConfigResponse(config={"name": name, **fields})

"""What the main process and a further front send each other: JSON lists, one a line, the kind first.

From the front:
    admit, id, work                         asks for a ticket
    failed, id, number, code, details, digest, resend   a ticket's call failed: asks for another
    cancel, id                              the client has left
    finish, number, ending, code, seconds, faces
    refused, model, reason
    left_out, model, faces                  that an answer does not have, by their quality
    answered, block                         sums of answers
    listening, port                         it takes connections
    refusing                                `refuse` is done
    pong, in_flight, lost                   it is alive; lines lost of the access log

From the main process:
    start, {...}                            what the front is to do
    state, {...}                            what is served, where, and how well
    granted, id, ticket                     answers admit and failed
    denied, id, refusal                     the other answer to them
    refuse, refusal                         new requests get this from now on
    reload                                  read the keys again, open the access log anew
    ping                                    is it alive
    stop, grace                             end within so many seconds
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import grpc

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.answer_sums import AnswerBlock, WatchedTensor
from deploy.gateway.refusals import Refusal
from deploy.gateway.work import Cost, Ticket, Work

Message: TypeAlias = list[Any]

ADMIT, CANCEL, FAILED, FINISH, REFUSED = "admit", "cancel", "failed", "finish", "refused"
ANSWERED, LEFT_OUT = "answered", "left_out"
LISTENING, PONG, REFUSING = "listening", "pong", "refusing"
START, STATE, GRANTED, DENIED = "start", "state", "granted", "denied"
REFUSE, RELOAD, PING, STOP = "refuse", "reload", "ping", "stop"

_END = b"\n"


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + _END


class Decoder:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole by now; ValueError for what is none."""
        *lines, self._rest = (self._rest + data).split(_END)
        return [json.loads(line) for line in lines]


def work_to_json(work: Work) -> dict[str, Any]:
    return vars(work) | {"cost": vars(work.cost)}


def work_from_json(data: Mapping[str, Any]) -> Work:
    return Work(**{**data, "cost": Cost(**data["cost"])})


def ticket_to_json(ticket: Ticket) -> dict[str, Any]:
    return vars(ticket)


def ticket_from_json(data: Mapping[str, Any]) -> Ticket:
    return Ticket(**data)


def refusal_to_json(refusal: Refusal) -> list[Any]:
    return [refusal.code.name, refusal.sentence, refusal.reason, refusal.retry_after]


def refusal_from_json(data: list[Any]) -> Refusal:
    code, sentence, reason, retry_after = data
    return Refusal(grpc.StatusCode[code], sentence, reason=reason, retry_after=retry_after)


def block_to_json(block: AnswerBlock) -> dict[str, Any]:
    return vars(block) | {"tensors": [vars(tensor) for tensor in block.tensors]}


def block_from_json(data: Mapping[str, Any]) -> AnswerBlock:
    tensors = [WatchedTensor(**{**each, "labels": tuple(each["labels"])}) for each in data["tensors"]]
    sums = {name: tuple(data[name]) for name in ("positive", "negative", "squares")}
    return AnswerBlock(**{**data, **sums, "tensors": tuple(tensors)})


def served_to_json(served: ServedModels | None) -> dict[str, Any] | None:
    if served is None:
        return None
    return {
        "generation": served.generation,
        "server_metadata": _text(served.server_metadata),
        "configs": {name: _text(message) for name, message in served.configs.items()},
        "metadata": {name: _text(message) for name, message in served.metadata.items()},
    }


def served_from_json(data: Mapping[str, Any] | None) -> ServedModels | None:
    if data is None:
        return None
    return ServedModels(
        generation=data["generation"],
        server_metadata=_bytes(data["server_metadata"]),
        configs={name: _bytes(text) for name, text in data["configs"].items()},
        metadata={name: _bytes(text) for name, text in data["metadata"].items()},
    )


def _text(message: bytes) -> str:
    return base64.b64encode(message).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)

"""A front in another process has the same authority as one beside it, and leaves nothing behind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from deploy.gateway.operation.workers.authority_server import AuthorityServer
from deploy.gateway.operation.workers.messages import Decoder, Message, encode
from deploy.gateway.operation.workers.remote_authority import RemoteAuthority
from deploy.gateway.refusals import Refusal
from deploy.gateway.work import Cost, Ending, Ticket, Work
from tests.helpers.fake_authority import FakeAuthority, model, served_models

WORK = Work(
    model="echo",
    cost=Cost(bytes=7, rows=2, pixels=30, scan_pixels=60),
    client="camera",
    per_second=3.5,
    seconds_left=1.25,
    priority=1,
)


class Link:
    """Both ends of a connection; what is sent is on its way until the next turns of the loop."""

    def __init__(self, main: FakeAuthority) -> None:
        self.main = main
        self.cut_off: list[int] = []
        self.server = AuthorityServer(
            main,
            send=lambda message: self._carry(message, lambda got: self.front.received(got)),
            cut_off=self.cut_off.append,
        )
        self.front = RemoteAuthority(
            lambda message: self._carry(message, lambda got: self.server.received(got))
        )
        self.server.push()

    @staticmethod
    def _carry(message: Message, received: Callable[[Message], bool]) -> None:
        (carried,) = Decoder().feed(encode(message))
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: loop.call_soon(received, carried))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def fake(generation: int = 1) -> FakeAuthority:
    return FakeAuthority(served_models(model("echo"), model("other"), generation=generation), "unix:/there")


def linked(test: Callable[[Link], Awaitable[None]]) -> None:
    async def run() -> None:
        link = Link(fake())
        await settle()
        await test(link)

    asyncio.run(run())


def finish(front: RemoteAuthority, ticket: Ticket, ending: Ending = Ending.ANSWERED) -> None:
    front.finish(ticket, WORK, ending, code=grpc.StatusCode.OK, seconds=0.5, faces=2)


def test_what_is_served_is_known_in_the_front() -> None:
    async def test(link: Link) -> None:
        assert link.front.served() == link.main.served()
        assert link.front.address() == "unix:/there"
        assert link.front.health() == (True, "")
        assert link.front.health("echo") == (True, "")
        assert not link.front.health("missing")[0]

    linked(test)


def test_before_anything_is_known_the_server_is_starting() -> None:
    front = RemoteAuthority(lambda message: None)
    assert front.served() is None
    assert front.address() is None
    assert front.health() == (False, "the server is starting")


def test_changes_are_passed_on() -> None:
    async def test(link: Link) -> None:
        link.main.sick["echo"] = "its canary was not answered"
        link.server.push()
        await settle()
        assert link.front.health("echo") == (False, "its canary was not answered")
        assert link.front.health("other") == (True, "")
        link.main.models = served_models(model("new"), generation=2)
        link.main.where = "unix:/elsewhere"
        link.server.push()
        await settle()
        served = link.front.served()
        assert served is not None
        assert (served.generation, list(served.signatures)) == (2, ["new"])
        assert link.front.address() == "unix:/elsewhere"
        link.main.models = link.main.where = None
        link.server.push()
        await settle()
        assert link.front.served() is None
        assert link.front.health() == (False, "no Triton is ready yet")

    linked(test)


def test_nothing_is_sent_while_nothing_changes() -> None:
    sent: list[Message] = []
    server = AuthorityServer(fake(), send=sent.append, cut_off=lambda generation: None)
    for _ in range(3):
        server.push()
    assert len(sent) == 1


def test_work_and_its_end_arrive_whole() -> None:
    async def test(link: Link) -> None:
        ticket = await link.front.admit(WORK)
        assert link.main.admitted == [WORK]
        assert (ticket.backend, ticket.address) == (1, "unix:/there")
        assert link.server.in_flight == 1
        finish(link.front, ticket, Ending.ABANDONED)
        link.front.refused("other", "invalid")
        link.front.left_out("photo", 3)
        await settle()
        (finished,) = link.main.finished
        assert (finished.ticket, finished.work) == (ticket, WORK)
        assert (finished.ending, finished.code, finished.faces) == (Ending.ABANDONED, grpc.StatusCode.OK, 2)
        assert link.main.turned_away == [("other", "invalid")]
        assert link.main.below_quality == [("photo", 3)]
        assert link.server.in_flight == 0

    linked(test)


def test_a_refusal_arrives_as_it_is() -> None:
    refusal = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much", reason="queue", retry_after=0.3)

    async def test(link: Link) -> None:
        link.main.refusal = refusal
        with pytest.raises(Refusal, match="too much") as raised:
            await link.front.admit(WORK)
        assert vars(raised.value) == vars(refusal)
        assert link.server.in_flight == 0

    linked(test)


def test_a_ticket_whose_backend_died_is_exchanged() -> None:
    async def test(link: Link) -> None:
        first = await link.front.admit(WORK)
        link.main.next_addresses = ["unix:/next"]
        second = await link.front.failed(first, grpc.StatusCode.UNAVAILABLE, "closed", digest="ab")
        assert (second.backend, second.address) == (2, "unix:/next")
        assert link.main.digests == ["ab"]
        with pytest.raises(Refusal, match="bad shape") as raised:
            await link.front.failed(second, grpc.StatusCode.INVALID_ARGUMENT, "bad shape", digest="ab")
        assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
        finish(link.front, second, Ending.FAILED)
        await settle()
        assert [finished.ticket for finished in link.main.finished] == [second]
        assert link.server.in_flight == 0

    linked(test)


def test_a_blamed_request_is_known_before_its_client_can_send_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(link: Link) -> None:
        ticket = await link.front.admit(WORK)
        monkeypatch.setattr(link.main, "suspects", lambda: ("ab",))
        with pytest.raises(Refusal):
            await link.front.failed(ticket, grpc.StatusCode.UNAVAILABLE, "closed", digest="ab")
        assert "ab" in link.front.suspects()

    linked(test)


def test_a_client_that_leaves_while_it_waits_gives_up_its_place() -> None:
    async def test(link: Link) -> None:
        link.main.admission.clear()
        waiting = asyncio.create_task(link.front.admit(WORK))
        await settle()
        waiting.cancel()
        await settle()
        link.main.admission.set()
        await settle()
        assert waiting.cancelled()
        assert not link.main.admitted

    linked(test)


@pytest.mark.parametrize("turns", range(12))
def test_a_client_that_leaves_at_any_moment_leaves_no_ticket_behind(turns: int) -> None:
    async def test(link: Link) -> None:
        waiting = asyncio.create_task(link.front.admit(WORK))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await settle()
        if not waiting.cancelled():
            finish(link.front, waiting.result())
            await settle()
        assert link.server.in_flight == 0
        assert len(link.main.finished) == len(link.main.admitted)

    linked(test)


def test_what_a_dead_front_held_is_given_back_once_and_its_triton_is_named() -> None:
    async def test(link: Link) -> None:
        held = [await link.front.admit(WORK) for _ in range(2)]
        done = await link.front.admit(WORK)
        finish(link.front, done)
        await settle()
        link.main.admission.clear()
        waiting = asyncio.create_task(link.front.admit(WORK))
        await settle()
        await link.server.lost()
        link.main.admission.set()
        await settle()
        assert [each.ticket for each in link.main.finished] == [done, *held]
        assert {each.ending for each in link.main.finished[1:]} == {Ending.ABANDONED}
        assert len(link.main.admitted) == 3, "what waited is not admitted for nobody"
        assert link.cut_off == [1]
        waiting.cancel()

    linked(test)


def test_a_front_that_dies_idle_harms_no_triton() -> None:
    async def test(link: Link) -> None:
        finish(link.front, await link.front.admit(WORK))
        await settle()
        await link.server.lost()
        assert link.cut_off == []

    linked(test)


def test_a_stream_is_cut_into_messages_wherever_it_breaks() -> None:
    messages: list[list[Any]] = [["a", 1], ["line\nbreak", None, {"é": "\udc80"}], ["b"]]
    stream = b"".join(map(encode, messages))
    for size in range(1, len(stream)):
        decoder = Decoder()
        got = [m for at in range(0, len(stream), size) for m in decoder.feed(stream[at : at + size])]
        assert got == messages

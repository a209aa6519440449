"""Questions to the REST door, good and bad, with what it makes of each while it is quiet."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.benchmark.load.outcomes import RETRYABLE
from deploy.benchmark.load.rest import RestClient
from deploy.benchmark.load.sample_requests import TIMEOUT
from deploy.benchmark.soak import pictures
from deploy.measuring.pictures.portrait import PORTRAIT

_TASKS = "/v1/tasks"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestQuestion:
    """A photo with a query, and the JSON or the refusal (named as gRPC does) that it gets."""

    name: str
    photo: bytes
    query: Mapping[str, str]
    form: bool
    value: object
    code: str


def rest_questions(address: str, *, metadata: Sequence[tuple[str, str]] = ()) -> list[RestQuestion]:
    """All of them, asked once each; AssertionError where a good one is not answered, or a bad one is."""
    client = RestClient(address, metadata=metadata)
    try:
        reply, contract = client.ask("GET", _TASKS, deadline=TIMEOUT)
        assert reply.code == "OK", reply
        assert isinstance(contract, dict), contract
        return [_asked(client, *each) for each in _all(contract)]
    finally:
        client.close()


def _all(contract: dict[str, Any]) -> Iterator[tuple[str, bytes, dict[str, str], bool, bool]]:
    """Name, photo, query, whether as a form, and whether it is good."""
    tasks = [task["name"] for task in contract["tasks"]]
    queries: list[dict[str, str]] = [
        {},
        {"tasks": ",".join(tasks[:2])},
        {"min_score": "0.7"},
        {"max_faces": "2"},
    ]
    for number, photo in enumerate(pictures.photos()):
        query = queries[number % len(queries)]
        yield f"REST: {photo.name}, {query or 'all'}", photo.data, query, number % 3 == 0, True
    for photo in pictures.no_pictures():
        yield f"REST: {photo.name}", photo.data, {}, False, False
    portrait = PORTRAIT.read_bytes()
    for query in ({"tasks": "nothing"}, {"min_score": "much"}, {"nothing": "1"}):
        yield f"REST: {query}", portrait, query, False, False


def _asked(
    client: RestClient, name: str, photo: bytes, query: dict[str, str], form: bool, good: bool
) -> RestQuestion:
    reply, value = client.analyze(photo, query=query, form=form, deadline=TIMEOUT)
    if good:
        assert reply.code == "OK", (name, reply)
    else:
        assert reply.code not in ("OK", "INTERNAL", "", *RETRYABLE), (name, reply)
    return RestQuestion(name=name, photo=photo, query=query, form=form, value=value, code=reply.code)

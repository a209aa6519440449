"""POST /v1/analyze: a photo becomes the request that gRPC would have sent, and its answer becomes JSON."""

import json
import re
from typing import Any

import aiohttp
import numpy as np
import pytest

from deploy.gateway.refusals import Refusal, unavailable
from qface_client import FaceClient
from tests.helpers.fake_v2_server import classes, contract_of
from tests.helpers.rest_fronts import CONTRACT, PHOTO, RunningRest, photos_of, with_rest

EXCHANGED = contract_of(classes("size", ["large", "small"]), CONTRACT["tasks"][1])


def test_the_answer_is_the_json_of_our_client() -> None:
    async def test(running: RunningRest) -> None:
        answer = await running.send()
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        with FaceClient(running.authority.where) as client:
            assert answer.json == client.analyze(PHOTO).to_json()
        assert bytes(running.triton.inputs["image"]) == PHOTO
        assert [each.faces for each in running.authority.finished] == [1]

    with_rest(test)


def test_an_answer_states_where_its_time_went_the_making_of_its_json_included() -> None:
    async def test(running: RunningRest) -> None:
        running.authority.queued_seconds = 0.25
        stated = (await running.send()).headers["Server-Timing"]
        timing = {name: float(value) for name, value in re.findall(r"(\w+);dur=([\d.]+)", stated)}
        assert list(timing) == ["total", "queue", "triton", "json"]
        assert timing["queue"] == 250
        assert timing["total"] >= timing["triton"] + timing["json"] - 0.02  # each is rounded
        assert "Server-Timing" not in (await running.send(data=b"no picture")).headers

    with_rest(test)


def test_a_form_is_the_same_photo() -> None:
    async def test(running: RunningRest) -> None:
        plain = await running.send()
        form = aiohttp.FormData()
        form.add_field("anything", PHOTO, filename="photo.jpg", content_type="image/jpeg")
        assert (await running.send(data=form)).json == plain.json
        assert bytes(running.triton.inputs["image"]) == PHOTO

    with_rest(test)


def test_only_the_tasks_that_are_named_are_asked_for() -> None:
    async def test(running: RunningRest) -> None:
        answer = await running.send(path="/v1/analyze?tasks=colour")
        assert answer.json["faces"][0].keys() == {"box", "score", "colour"}
        assert not [name for name in running.triton.asked if name.startswith("size")]

    with_rest(test)


def test_parameters_go_to_the_model_as_the_types_that_it_describes() -> None:
    async def test(running: RunningRest) -> None:
        assert (await running.send(path="/v1/analyze?min_score=1&max_faces=3")).status == 200
        assert running.triton.parameters == {"min_score": 1.0, "max_faces": 3}
        assert isinstance(running.triton.parameters["min_score"], float)

    with_rest(test)


WRONG_QUERIES = {
    "tasks=shape": ("shape", "size, colour"),
    "tasks=": ("''",),
    "tasks=size,size": ("twice",),
    "tasks=size&tasks=colour": ("twice",),
    "min_score=2": ("0.1 to 1",),
    "min_score=nan": ("number",),
    "min_score=1_0": ("number",),
    "max_faces=0": ("1 to 320",),
    "max_faces=1.5": ("integer",),
    "colour=red": ("tasks, model, min_score, max_faces",),
}


def test_a_query_that_can_not_be_is_refused_before_the_body() -> None:
    async def test(running: RunningRest) -> None:
        for query, named in WRONG_QUERIES.items():
            head = f"POST /v1/analyze?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
            answer = await running.raw(head.encode(), pause=0)
            assert answer.startswith(b"HTTP/1.1 400 ")
            problem = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert problem["reason"] == "parameter"
            assert all(words in problem["detail"] for words in named), problem
        assert running.triton.infers == 0

    with_rest(test)


def test_another_network_is_picked_by_its_name() -> None:
    networks, further = {"first": "", "other": "other_"}, {"other_": contract_of(classes("size", ["a", "b"]))}

    async def test(running: RunningRest) -> None:
        running.triton.networks, running.triton.further = networks, further
        answer = await running.send(path="/v1/analyze?model=other")
        assert answer.json["faces"][0]["size"]["label"] == "a"
        missing = await running.send(path="/v1/analyze?model=third")
        assert missing.status == 404
        assert "first, other" in missing.json["detail"]

    with_rest(test, models=photos_of(CONTRACT, networks=networks, further=further))


def test_an_answer_is_named_by_the_contract_that_it_carries() -> None:
    """Triton has taken over with exchanged labels, and the door has not heard of it yet."""

    async def test(running: RunningRest) -> None:
        assert (await running.send()).json["faces"][0]["size"]["label"] == "small"
        running.triton.contract = EXCHANGED
        first = await running.send()
        assert first.status == 503, "nothing is named by a contract that is not the answer's"
        assert first.headers["Retry-After"] == "1"
        running.authority.models = photos_of(EXCHANGED, generation=2)
        assert (await running.send()).json["faces"][0]["size"]["label"] == "large"
        running.triton.contract = dict(CONTRACT)  # one that was on its way when the other took over
        old = await running.send()
        assert old.json["faces"][0]["size"]["label"] == "small"

    with_rest(test)


def test_a_swap_under_the_request_makes_it_go_once_more() -> None:
    async def test(running: RunningRest) -> None:
        other = contract_of(classes("size", ["small", "large"]))
        running.triton.contract = other

        def take_over(number: int, context: object) -> None:
            running.authority.models = photos_of(other, generation=2)

        running.triton.before_infer = take_over
        answer = await running.send()
        assert answer.status == 200
        assert answer.json["faces"][0].keys() == {"box", "score", "size"}
        assert running.triton.infers == 2

    with_rest(test)


def test_a_clients_words_do_not_make_a_request_go_once_more() -> None:
    async def test(running: RunningRest) -> None:
        for path, status in (("?inference+output=1", 400), ("?model=inference+output", 404)):
            assert (await running.send(path=f"/v1/analyze{path}")).status == status
        assert len(running.authority.turned_away) == 2

    with_rest(test)


def test_a_request_has_an_id_of_its_own_or_the_sent_one() -> None:
    async def test(running: RunningRest) -> None:
        assert (await running.send(headers={"X-Request-Id": "order-7"})).headers["X-Request-Id"] == "order-7"
        first, second = await running.send(), await running.send()
        assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
        refused = await running.send(data=b"no picture", headers={"X-Request-Id": "order-8"})
        assert (refused.status, refused.headers["X-Request-Id"]) == (422, "order-8")
        assert (await running.send(headers={"X-Request-Id": "x" * 129})).status == 400
        elsewhere = await running.send("GET", "/nowhere", headers={"X-Request-Id": "order-9"})
        assert (elsewhere.status, elsewhere.headers["X-Request-Id"]) == (404, "order-9")

    with_rest(test)


def test_a_timeout_is_the_requests_own_and_ends_in_504() -> None:
    async def test(running: RunningRest) -> None:
        assert (await running.send(headers={"X-Request-Timeout": "60"})).status == 200
        assert 50e6 < running.triton.parameters["timeout"] <= 60e6
        running.authority.admission.clear()
        late = await running.send(headers={"X-Request-Timeout": "0.05"})
        assert (late.status, late.json["reason"]) == (504, "timeout")
        for wrong in ("0", "-1", "soon", "3601", "1e400"):
            assert (await running.send(headers={"X-Request-Timeout": wrong})).status == 400

    with_rest(test)


@pytest.mark.parametrize(
    ("refusal", "status", "retry"),
    [
        (unavailable("repairing", reason="repairing", retry_after=0.2), 503, "1"),
        (unavailable("repairing", reason="repairing", retry_after=2.5), 503, "3"),
    ],
)
def test_a_refusal_of_the_authority_keeps_its_reason(refusal: Refusal, status: int, retry: str) -> None:
    async def test(running: RunningRest) -> None:
        running.authority.refusal = refusal
        answer = await running.send()
        assert answer.status == answer.json["status"] == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == retry
        assert answer.json["reason"] == refusal.reason

    with_rest(test)


def test_nothing_is_served_yet() -> None:
    async def test(running: RunningRest) -> None:
        running.authority.models = None
        for method, path in (("POST", "/v1/analyze"), ("GET", "/v1/tasks"), ("GET", "/v1/health/ready")):
            answer = await running.send(method, path)
            assert (answer.status, answer.json["reason"]) == (503, "not_ready")
        assert (await running.send("GET", "/v1/health/live")).status == 200

    with_rest(test)


def test_an_answer_that_can_not_be_read_is_the_models_error() -> None:
    async def test(running: RunningRest) -> None:
        def without_sense(tensors: dict[str, Any]) -> None:
            tensors["boxes"] = np.full_like(tensors["boxes"], np.nan)

        running.triton.change_answer = without_sense
        answer = await running.send()
        assert (answer.status, answer.json["reason"]) == (500, "model")
        running.triton.change_answer = lambda tensors: tensors.update(scores=tensors["boxes"])
        answer = await running.send()
        assert (answer.status, answer.json["reason"]) == (500, "model")
        assert "shape" in answer.json["detail"]
        assert running.authority.turned_away == [("photo_analysis", "model")] * 2

    with_rest(test)


def test_many_faces_are_read_beside_the_event_loop_and_are_the_same() -> None:
    async def test(running: RunningRest) -> None:
        running.triton.faces = 2000
        answer = await running.send()
        assert (answer.json["faces_found"], len(answer.json["faces"])) == (2000, 2000)

    with_rest(test)

"""The paths, the methods and the errors of the REST door, as HTTP has them."""

import json

import jsonschema_rs
import pytest

from deploy.gateway.rest.problems import STATUSES
from qface_client.contract import parse_contract
from qface_client.results import Analysis
from tests.helpers.rest_fronts import CONTRACT, PARAMETERS, RunningRest, photos_of, with_rest


def test_another_path_and_another_method_are_problems() -> None:
    async def test(running: RunningRest) -> None:
        nowhere = await running.send("GET", "/v2/models")
        assert (nowhere.status, nowhere.json["reason"]) == (404, "path")
        wrong = await running.send("GET", "/v1/analyze")
        assert (wrong.status, wrong.headers["Allow"]) == (405, "OPTIONS, POST")
        assert (await running.send("DELETE", "/v1/tasks")).headers["Allow"] == "GET, HEAD, OPTIONS"
        assert running.authority.turned_away == [("", "path"), ("", "method"), ("", "method")]
        encoded = await running.raw(b"GET /v1%2Ftasks HTTP/1.1\r\nHost: x\r\n\r\n")
        assert encoded.startswith(b"HTTP/1.1 404 "), "a proxy's rule for the path would not see it"
        for answer in (nowhere, wrong):
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json.keys() == {"type", "title", "status", "detail", "reason"}
            assert answer.json["status"] == answer.status

    with_rest(test)


def test_options_and_head_are_as_http_has_them() -> None:
    async def test(running: RunningRest) -> None:
        options = await running.send("OPTIONS", "/v1/analyze", headers={"Origin": "https://other.example"})
        assert (options.status, options.headers["Allow"]) == (204, "OPTIONS, POST")
        assert not [name for name in options.headers if name.lower().startswith("access-control")]
        got, head = [await running.send(method, "/v1/tasks") for method in ("GET", "HEAD")]
        assert head.body == b""
        assert head.headers["Content-Length"] == str(len(got.body))

    with_rest(test)


def test_tasks_is_the_contract_and_what_a_request_may_name() -> None:
    async def test(running: RunningRest) -> None:
        found = (await running.send("GET", "/v1/tasks")).json
        assert found["contract"] == CONTRACT["hash"]
        assert [task["name"] for task in found["tasks"]] == ["size", "colour"]
        assert found["models"] == ["first"]
        assert found["notice"] == "Faces are analysed by a network."
        assert found["precision"] == "bf16"
        assert found["request_parameters"] == {name: each.to_json() for name, each in PARAMETERS.items()}

    with_rest(test, models=photos_of(CONTRACT, notice="Faces are analysed by a network.", precision="bf16"))


def test_health_is_the_authoritys_until_the_door_closes() -> None:
    async def test(running: RunningRest) -> None:
        assert (await running.send("GET", "/v1/health/ready")).json == {"ready": True}
        running.authority.sick[None] = "a Triton is replaced"
        sick = await running.send("GET", "/v1/health/ready")
        assert (sick.status, sick.json["detail"]) == (503, "a Triton is replaced")
        running.authority.sick.clear()
        from deploy.gateway.refusals import unavailable

        await running.front.refuse_new(unavailable("it stops", reason="stopping", retry_after=2.0))
        assert (await running.send("GET", "/v1/health/ready")).status == 503
        refused = await running.send()
        assert (refused.status, refused.json["reason"], refused.headers["Retry-After"]) == (
            503,
            "stopping",
            "2",
        )
        assert refused.headers["Connection"] == "close"

    with_rest(test)


def test_the_specification_names_what_is_served_and_every_status() -> None:
    async def test(running: RunningRest) -> None:
        specified = (await running.send("GET", "/openapi.json")).json
        analyze = specified["paths"]["/v1/analyze"]["post"]
        named = {each["name"] for each in analyze["parameters"]}
        assert named == {"tasks", "model", *PARAMETERS, "X-Request-Id", "X-Request-Timeout"}
        tasks = next(each["schema"] for each in analyze["parameters"] if each["name"] == "tasks")
        assert tasks["items"]["enum"] == ["size", "colour"]
        assert {int(status) for status in analyze["responses"]} == {200, *STATUSES} - {405}
        face = specified["components"]["schemas"]["Analysis"]["properties"]["faces"]["items"]
        assert face["properties"]["colour"]["properties"]["label"]["enum"] == ["red", "green", "blue"]
        assert "securitySchemes" not in specified["components"]

    with_rest(test)


def test_answers_are_as_the_specification_says() -> None:
    async def test(running: RunningRest) -> None:
        schemas = (await running.send("GET", "/openapi.json")).json["components"]["schemas"]
        for schema, answer in (
            ("Analysis", await running.send()),
            ("Analysis", await running.send(path="/v1/analyze?tasks=size")),
            ("Problem", await running.send(data=b"x")),
            ("Tasks", await running.send("GET", "/v1/tasks")),
            ("Live", await running.send("GET", "/v1/health/live")),
            ("Ready", await running.send("GET", "/v1/health/ready")),
        ):
            jsonschema_rs.validate(schemas[schema], answer.json)
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schemas["Analysis"], {"faces": []})

    with_rest(test)


def test_every_kind_of_answer_is_as_its_own_schema_says() -> None:
    from qface_client.kinds import KINDS
    from tests.helpers.fake_v2_server import contract_of

    entries = [
        {"name": kind, "kind": kind, "labels": ["a", "b", "c"], "unit": "unit", "threshold": 0.5}
        for kind in KINDS
    ]
    contract = parse_contract(json.dumps(contract_of(*entries)))
    schema = Analysis.json_schema(contract)
    face = schema["properties"]["faces"]["items"]
    assert all(face["properties"][kind] for kind in KINDS)
    jsonschema_rs.validator_for(schema)


def test_the_page_for_people_loads_nothing_from_anywhere() -> None:
    async def test(running: RunningRest) -> None:
        page = await running.send("GET", "/docs")
        assert page.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        text = page.body.decode()
        assert "<script" not in text
        assert "src=" not in text
        for words in ("size", "colour", "min_score", 'id="422"', "curl "):
            assert words in text
        for host in ('"><script>', "$(reboot)", "b\xfccher"):
            evil = await running.send("GET", "/docs", headers={"Host": host})
            assert evil.status == 200
            assert b"http://HOST/v1/tasks" in evil.body
        raw = await running.raw(b"GET /docs HTTP/1.1\r\nHost: \xff\r\n\r\n")
        assert raw.startswith(b"HTTP/1.1 200 ")

    with_rest(test)

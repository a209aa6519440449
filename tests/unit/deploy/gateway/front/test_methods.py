"""The table of methods has every method of the protocol, and what is in it happens."""

from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.answers import Answers
from deploy.gateway.front.methods import METHODS, SERVICE, Handling
from deploy.gateway.options import Identity
from tests.helpers.fake_authority import FakeAuthority
from tests.helpers.fronts import RunningFront, error_of, with_front

PROTOCOL = v2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
REFUSED = sorted(name for name, method in METHODS.items() if method.handling is Handling.REFUSED)


def test_every_method_of_the_protocol_is_in_the_table_and_no_other() -> None:
    assert set(METHODS) == {method.name for method in PROTOCOL.methods}
    assert PROTOCOL.full_name == SERVICE


def test_every_method_that_the_gateway_answers_has_an_answer() -> None:
    answers = Answers(FakeAuthority(None, None), is_open=lambda: True)
    answered = {name for name, method in METHODS.items() if method.handling is Handling.ANSWERED}
    assert set(answers.methods) == answered


def test_only_what_probes_a_server_is_open_to_all() -> None:
    probes = {"ServerLive", "ServerReady", "ModelReady"}
    assert {name for name, method in METHODS.items() if method.open_to_all} == probes


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_method_gets_its_sentence_and_reaches_no_triton(name: str) -> None:
    async def test(running: RunningFront) -> None:
        method = PROTOCOL.methods_by_name[name]
        call = getattr(running.service, name)
        if method.client_streaming:
            error = await error_of(call(iter([v2.ModelInferRequest()])).read())
        else:
            error = await error_of(call(getattr(v2, method.input_type.name)()))
        assert error.code() is METHODS[name].code
        assert error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)
        assert error.details() == METHODS[name].sentence
        assert "\n" not in METHODS[name].sentence
        assert running.authority.turned_away == [("", "method")]

    with_front(test)


def test_an_unknown_method_is_unimplemented() -> None:
    async def test(running: RunningFront) -> None:
        error = await error_of(running.channel.unary_unary(f"/{SERVICE}/ModelDestroy")(b""))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    with_front(test)


def test_what_the_gateway_knows_is_answered_without_a_triton() -> None:
    async def test(running: RunningFront) -> None:
        service = running.service
        assert (await service.ServerLive(v2.ServerLiveRequest())).live
        assert (await service.ServerReady(v2.ServerReadyRequest())).ready
        assert (await service.ModelReady(v2.ModelReadyRequest(name="crops", version="1"))).ready
        for name, version in (("crops", "2"), ("nowhere", "")):
            assert not (await service.ModelReady(v2.ModelReadyRequest(name=name, version=version))).ready
        config = (await service.ModelConfig(v2.ModelConfigRequest(name="crops"))).config
        assert (config.name, config.max_batch_size) == ("crops", 4)
        assert list((await service.ModelMetadata(v2.ModelMetadataRequest(name="crops"))).versions) == ["1"]
        index = await service.RepositoryIndex(v2.RepositoryIndexRequest())
        assert [(each.name, each.version, each.state) for each in index.models] == [
            ("crops", "1", "READY"),
            ("photos", "1", "READY"),
        ]

    with_front(test)


def test_the_servers_metadata_names_only_extensions_that_are_open() -> None:
    async def test(running: RunningFront) -> None:
        metadata = await running.service.ServerMetadata(v2.ServerMetadataRequest())
        assert (metadata.name, list(metadata.extensions)) == ("triton", ["statistics"])

    with_front(test)


@pytest.mark.parametrize("method", ["ModelConfig", "ModelMetadata"])
def test_a_model_that_is_not_served_is_not_found_in_tritons_words(method: str) -> None:
    async def test(running: RunningFront) -> None:
        request = getattr(v2, f"{method}Request")
        for name, version, which in (("nowhere", "", "'nowhere'"), ("crops", "7", "'crops' version 7")):
            error = await error_of(getattr(running.service, method)(request(name=name, version=version)))
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert error.details() == f"Request for unknown model: {which} is not found"

    with_front(test)


def test_a_sick_model_is_not_ready_and_the_index_has_the_reason() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.sick["crops"] = "its process died"
        assert not (await running.service.ModelReady(v2.ModelReadyRequest(name="crops"))).ready
        assert (await running.service.ModelReady(v2.ModelReadyRequest(name="photos"))).ready
        sick = (await running.service.RepositoryIndex(v2.RepositoryIndexRequest())).models[0]
        assert (sick.state, sick.reason) == ("UNAVAILABLE", "its process died")
        ready = (await running.service.RepositoryIndex(v2.RepositoryIndexRequest(ready=True))).models
        assert [each.name for each in ready] == ["photos"]

    with_front(test)


def test_before_the_first_triton_is_ready_the_server_lives_and_the_rest_is_unavailable() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.where = None
        assert (await running.service.ServerLive(v2.ServerLiveRequest())).live
        assert not (await running.service.ServerReady(v2.ServerReadyRequest())).ready
        for method in ("ServerMetadata", "ModelConfig", "RepositoryIndex", "ModelStatistics", "ModelInfer"):
            error = await error_of(getattr(running.service, method)(getattr(v2, f"{method}Request")()))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert error.details() == "no Triton is ready yet"
            assert "grpc-retry-pushback-ms" in dict(error.trailing_metadata())

    with_front(test, models=None)


def test_statistics_are_the_active_tritons() -> None:
    async def test(running: RunningFront) -> None:
        await running.service.ModelStatistics(v2.ModelStatisticsRequest(name="crops"))
        error = await error_of(running.channel.unary_unary(f"/{SERVICE}/ModelStatistics")(bytes(100_000)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert running.triton.other_calls == ["crops"]

    with_front(test)


def test_statistics_of_what_is_not_served_are_refused_before_a_triton_reads_the_request() -> None:
    async def test(running: RunningFront) -> None:
        for name, version in (("no_such_model", ""), ("crops", "9" * 1000), ("", "1")):
            asked = v2.ModelStatisticsRequest(name=name, version=version)
            error = await error_of(running.service.ModelStatistics(asked))
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert len(error.details()) < 300
        error = await error_of(running.channel.unary_unary(f"/{SERVICE}/ModelStatistics")(b"\xff" * 99))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not running.triton.other_calls

    with_front(test)


def test_what_is_no_message_of_the_method_is_refused() -> None:
    async def test(running: RunningFront) -> None:
        for data in (b"\xff\xff", bytes(100_000)):
            error = await error_of(running.channel.unary_unary(f"/{SERVICE}/ModelConfig")(data))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT

    with_front(test)


def test_without_a_key_only_probes_are_answered(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("")
    keys.chmod(0o600)

    async def test(running: RunningFront) -> None:
        assert (await running.service.ServerLive(v2.ServerLiveRequest())).live
        assert (await running.service.ServerReady(v2.ServerReadyRequest())).ready
        closed = [name for name, each in METHODS.items() if each.handling is not Handling.REFUSED]
        for name in closed:
            if METHODS[name].open_to_all:
                continue
            error = await error_of(getattr(running.service, name)(getattr(v2, f"{name}Request")()))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED, name
        assert not running.triton.other_calls
        assert not running.triton.requests

    with_front(test, identity=Identity(keys=keys))

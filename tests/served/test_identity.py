"""Keys over TLS, from our client to the real server: each key gets its tasks, and nobody else anything."""

import http.client
import io
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.gateway.identity.keys_command import main as keys_command
from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient, NotAuthenticated, NotPermitted, Tls
from tests.helpers import requests as asking
from tests.helpers.certificates import Authority
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import FEW_PROCESSES

AUTHORITY = Authority()
PORTRAIT = asking.ASTRONAUT.read_bytes()


class Service:
    """A gateway with keys and TLS."""

    def __init__(
        self, server: GatewayServer, *, authority: Path, keys: dict[str, str], log: io.StringIO
    ) -> None:
        self.server = server
        self.authority = authority
        self.keys = keys
        self.log = log

    def client(self, key: str | None) -> FaceClient:
        return FaceClient(
            self.server.grpc_address,
            api_key=key,
            tls=Tls(root_certificates=self.authority),
            options={"grpc.ssl_target_name_override": "localhost"},
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("identity")
    weights = standin.write(folder / "standin.onnx", standin.contract_of("expression", "age", "landmarks"))
    repository = assemble(ServingPlan(weights=weights, host_settings=FEW_PROCESSES), output=folder / "var")
    certificate, private_key = AUTHORITY.issue(folder, "server")
    path = folder / "keys.toml"
    keys = {}
    for name, words in (("everything", ()), ("ages", ("--tasks", "age"))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", shown := io.StringIO())
            assert keys_command(["add", name, "--file", str(path), *words]) == 0
        keys[name] = shown.getvalue().strip()
    arguments = (
        *("--keys", str(path), "--certificate", str(certificate), "--private-key", str(private_key)),
        *("--access-log", str(folder / "access.jsonl"), *PATIENT),
    )
    log = io.StringIO()
    with GatewayServer(repository, rest_port=0, log=log, arguments=arguments) as server:
        yield Service(server, authority=AUTHORITY.write(folder / "ca.pem"), keys=keys, log=log)
    written = log.getvalue() + (folder / "access.jsonl").read_text()
    assert '"client": "ages"' in written.replace('":"', '": "')
    assert not [name for name, key in keys.items() if key in written], "a key is in a log"


def test_a_key_without_restriction_gets_everything(service: Service) -> None:
    with service.client(service.keys["everything"]) as client:
        (face,) = client.analyze(PORTRAIT)
        assert {"expression", "age", "landmarks"} <= set(face.to_json())


def test_a_restricted_key_gets_its_tasks_in_every_way(service: Service) -> None:
    with service.client(service.keys["ages"]) as client:
        (face,) = client.analyze(PORTRAIT, tasks=["age"])
        assert "age" in face.to_json()
        assert len(client.detect(PORTRAIT)) == 1
        assert client.analyze_face(PORTRAIT, tasks=["age"], box=face.box).age
        assert client.analyze_crop(asking.astronaut()[60:188, 160:288], tasks=["age"]).age


def test_a_restricted_key_gets_no_others(service: Service) -> None:
    with service.client(service.keys["ages"]) as client:
        for tasks in (None, ["expression"], ["age", "landmarks"]):
            with pytest.raises(NotPermitted, match="'ages' may ask for age"):
                client.analyze(PORTRAIT, tasks=tasks)


def post(service: Service, key: str | None, tasks: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the portrait sent over REST."""
    trusting = ssl.create_default_context(cafile=service.authority)
    trusting.check_hostname = False  # the address is no name
    headers = {"Content-Type": "image/jpeg"} | ({} if key is None else {"X-API-Key": key})
    url = f"https://{service.server.rest_address}/v1/analyze?tasks={tasks}"
    try:
        request = urllib.request.Request(url, PORTRAIT, headers)
        with urllib.request.urlopen(request, timeout=60, context=trusting) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_over_rest_the_same_keys_open_the_same_tasks_and_tls_is_the_same(service: Service) -> None:
    status, answer = post(service, service.keys["ages"], "age")
    assert (status, "age" in answer["faces"][0]) == (200, True)
    status, problem = post(service, service.keys["ages"], "expression")
    assert (status, problem["reason"]) == (403, "permission")
    for key, reason in ((None, "no_key"), ("qface_guessed", "unknown_key")):
        status, problem = post(service, key, "age")
        assert (status, problem["reason"]) == (401, reason)
    with pytest.raises((ConnectionError, http.client.HTTPException, urllib.error.URLError)):  # without TLS
        urllib.request.urlopen(f"http://{service.server.rest_address}/v1/tasks", timeout=30)


def test_without_a_key_in_force_nothing_is_answered(service: Service) -> None:
    for key in (None, "qface_guessed"):
        with service.client(key) as client, pytest.raises(NotAuthenticated):
            client.analyze(PORTRAIT)


def test_the_engine_is_closed_to_a_restricted_key(service: Service) -> None:
    with triton.InferenceServerClient(
        service.server.grpc_address,
        ssl=True,
        root_certificates=str(service.authority),
        channel_args=[("grpc.ssl_target_name_override", "localhost")],
    ) as plain:
        assert plain.is_server_ready(), "health needs no key"
        headers = {"authorization": f"Bearer {service.keys['ages']}"}
        (pixels,) = plain.get_model_config("face_engine", headers=headers).config.input
        size = pixels.dims[0]
        tensor = triton.InferInput("pixels", [1, size, size, 3], "UINT8")
        tensor._raw_content = bytes(size * size * 3)
        with pytest.raises(InferenceServerException, match=r"PERMISSION_DENIED.*a step inside others"):
            plain.infer("face_engine", [tensor], headers=headers)

"""The real Envoy, the real nginx and the client itself before two real gateways, of which one is killed."""

import contextlib
import dataclasses
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from deploy.benchmark.several_services import balancers
from deploy.benchmark.several_services.balancers import TEMPLATES, Doors, rendered
from deploy.benchmark.several_services.places import Place
from deploy.benchmark.several_services.service import Service, write_keys
from deploy.gateway.identity.keys import new_key
from qface_client import FaceClient, QFaceError, Tls
from tests.helpers import mean_repository
from tests.helpers.bystanders import eventually
from tests.helpers.certificates import Authority
from tests.helpers.fake_v2_server import FakeServer, classes, closed_port, contract_of, refuse, running
from tests.helpers.gateways import PATIENT
from tests.helpers.tools import require_tool

LEVELS = range(10, 250, 30)  # what all pixels of a crop are, and so the answer
KEY = new_key()
PHOTO = np.zeros((80, 100, 3), np.uint8)
GATEWAYS = [
    Doors(host="10.0.0.5", grpc_port=8001, rest_port=8000),
    Doors(host="10.0.0.6", grpc_port=9001, rest_port=9000),
]


def free_doors() -> Doors:
    return Doors(host="127.0.0.1", grpc_port=closed_port(), rest_port=closed_port())


@dataclasses.dataclass(frozen=True)
class Stage:
    services: Sequence[Service]
    ways: dict[str, str]  # the address of each way of balancing
    rest: dict[str, str]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    for name in ("envoy", "nginx"):
        require_tool(name)
    folder = tmp_path_factory.mktemp("balancing")
    for each in (folder, *folder.parents[:2]):  # nginx's workers are another user
        each.chmod(0o755)
    repository = mean_repository.write(folder / "repository")
    keys = write_keys(folder / "keys.toml", {"test": KEY})
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "gateways.log").open("w"))
        services = [
            Service(
                repository,
                Place(doors=free_doors(), http_port=closed_port()),
                log=log,
                arguments=("--keys", str(keys), *PATIENT),
            )
            for _ in range(2)
        ]
        for service in services:
            stack.callback(service.stop)
            service.start()
        for service in services:
            service.wait_until_ready()
        gateways = [service.place.doors for service in services]
        first, second = free_doors(), free_doors()
        stack.enter_context(balancers.envoy(folder, gateways, doors=first, admin_port=closed_port()))
        stack.enter_context(balancers.nginx(folder, gateways, doors=second))
        yield Stage(
            services,
            ways={
                "client": ",".join(doors.grpc for doors in gateways),
                "envoy": first.grpc,
                "nginx": second.grpc,
            },
            rest={"envoy": first.rest, "nginx": second.rest},
        )


class Caller(threading.Thread):
    """A client that asks until it is stopped; it keeps what was not answered rightly."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._over = threading.Event()
        self.answered = 0
        self.failed: list[str] = []

    def run(self) -> None:
        with FaceClient(self._url, api_key=KEY) as client:
            while not self._over.is_set():
                for level in LEVELS:
                    self._ask(client, level)

    def _ask(self, client: FaceClient, level: int) -> None:
        try:
            found = brightness(client, level)
        except QFaceError as error:
            self.failed.append(str(error))
            return
        if found == level:
            self.answered += 1
        else:
            self.failed.append(f"{found} in place of {level}")

    def finish(self) -> None:
        self._over.set()
        self.join(timeout=120)
        assert not self.is_alive()


def answered(service: Service) -> int:
    return service.answered()["test"]


def brightness(client: FaceClient, level: int) -> float:
    face = client.analyze_crop(np.full((8, 8, 3), level, np.uint8))
    return float(face.answers[mean_repository.TASK].value)


@pytest.mark.parametrize("way", ["client", "envoy", "nginx"])
def test_one_connection_of_a_client_reaches_all_gateways(stage: Stage, way: str) -> None:
    before = [answered(service) for service in stage.services]

    def reached() -> bool:
        for level in LEVELS:
            assert brightness(client, level) == level
        return all(answered(each) > count for each, count in zip(stage.services, before, strict=True))

    with FaceClient(stage.ways[way], api_key=KEY) as client:
        assert eventually(reached)


@pytest.mark.parametrize("way", ["envoy", "nginx"])
def test_rest_goes_through(stage: Stage, way: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{stage.rest[way]}/v1/health/ready", timeout=30) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("way", ["envoy", "nginx"])
def test_a_balancer_has_no_health_of_one_gateway_to_watch(stage: Stage, way: str) -> None:
    with grpc.insecure_channel(stage.ways[way], options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=30).status == 1
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=30))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_client_balances_over_several_balancers(stage: Stage) -> None:
    with FaceClient(f"{stage.ways['envoy']},{stage.ways['nginx']}", api_key=KEY) as client:
        assert [brightness(client, level) for level in LEVELS] == list(LEVELS)


def test_envoy_has_another_gateway_answer_what_one_refuses_that_is_idle_and_seems_well(
    tmp_path: Path,
) -> None:
    require_tool("envoy")
    fakes = [FakeServer(contract_of(classes("mood", ["glad", "sad"]))) for _ in range(2)]
    fakes[0].before_infer = refuse(10**6, grpc.StatusCode.UNAVAILABLE, "server is stopping")
    fakes[1].before_infer = lambda number, context: time.sleep(0.05)  # so it always has more under way
    doors = free_doors()
    with contextlib.ExitStack() as stack:
        ports = [
            int(stack.enter_context(running(fake, health=HealthServicer())).rpartition(":")[2])
            for fake in fakes
        ]
        gateways = [Doors(host="127.0.0.1", grpc_port=port, rest_port=closed_port()) for port in ports]
        stack.enter_context(balancers.envoy(tmp_path, gateways, doors=doors, admin_port=closed_port()))
        client = stack.enter_context(FaceClient(doors.grpc))
        assert client.analyze(PHOTO)  # once Envoy has found them well
        once = stack.enter_context(FaceClient(doors.grpc, retries=False))
        pool = stack.enter_context(ThreadPoolExecutor(6))
        answers = list(pool.map(lambda _: once.analyze(PHOTO)[0].mood.label, range(60)))
    assert answers == ["glad"] * 60
    assert fakes[0].infers > 10  # it was asked, and refused


def test_no_answer_is_lost_when_a_whole_service_is_killed(stage: Stage) -> None:
    callers = {way: Caller(url) for way, url in stage.ways.items()}
    for caller in callers.values():
        caller.start()
    assert eventually(lambda: all(caller.answered > 20 for caller in callers.values()))
    stage.services[0].kill()
    after = {way: caller.answered for way, caller in callers.items()}
    time.sleep(1)  # further requests, some of them to the one that is dead
    assert eventually(lambda: all(caller.answered > after[way] + 20 for way, caller in callers.items()))
    for caller in callers.values():
        caller.finish()
    assert not {way: caller.failed for way, caller in callers.items() if caller.failed}


@contextlib.contextmanager
def nginx_alone(folder: Path, gateway: Doors, *, body: str) -> Iterator[str]:
    """The address of an nginx before one gateway, with another bound of bodies."""
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    doors = free_doors()
    with balancers.nginx(folder, [gateway], doors=doors, exchanged={"client_max_body_size 160m": body}):
        yield doors.grpc


def error_of(url: str, message: bytes) -> grpc.RpcError:
    """What becomes of a message that is sent once."""
    with grpc.insecure_channel(url, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            call(message, timeout=30)
    return caught.value


def test_without_a_gateway_nginx_answers_in_the_words_of_grpc(tmp_path: Path) -> None:
    require_tool("nginx")
    with nginx_alone(tmp_path, free_doors(), body="client_max_body_size 1m") as url:
        error = error_of(url, b"")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "100"


def test_what_is_too_large_for_nginx_is_no_matter_of_another_try(stage: Stage, tmp_path: Path) -> None:
    gateway = stage.services[1].place.doors
    with nginx_alone(tmp_path, gateway, body="client_max_body_size 1k") as url:
        error = error_of(url, bytes(1_000_000))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "larger than the balancer takes" in error.details()


@pytest.mark.parametrize("way", ["envoy", "nginx"])
def test_both_encrypt_the_way_to_them_where_the_file_has_the_lines(
    stage: Stage, way: str, tmp_path: Path
) -> None:
    authority, doors = Authority(), free_doors()
    chain, key = authority.issue(tmp_path, "tls")
    exchanged = {
        "#TLS ": "",
        "/etc/faces/tls.crt": str(chain),
        "/etc/faces/tls.key": str(key),
        f"listen {doors.grpc} http2": f"listen {doors.grpc} ssl http2",
        f"listen {doors.rest};": f"listen {doors.rest} ssl;",
    }
    gateways = [stage.services[1].place.doors]  # the first may be dead by now
    tls = Tls(root_certificates=authority.write(tmp_path / "ca.pem"))
    with contextlib.ExitStack() as stack:
        if way == "envoy":
            port = closed_port()
            stack.enter_context(
                balancers.envoy(tmp_path, gateways, doors=doors, admin_port=port, exchanged=exchanged)
            )
        else:
            stack.enter_context(balancers.nginx(tmp_path, gateways, doors=doors, exchanged=exchanged))
        client = stack.enter_context(FaceClient(doors.grpc, api_key=KEY, tls=tls))
        assert brightness(client, 40) == 40
        trusting = ssl.create_default_context(cafile=str(tls.root_certificates))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
        )
        with opener.open(f"https://{doors.rest}/v1/health/ready", timeout=30) as answer:
            assert answer.status == 200


def test_both_files_are_valid_for_several_gateways(tmp_path: Path) -> None:
    envoy, _ = require_tool("envoy"), require_tool("nginx")
    file = tmp_path / "envoy.yaml"
    for text in (
        (TEMPLATES / "envoy.yaml").read_text(),  # as it stands: its name is looked up later
        rendered((TEMPLATES / "envoy.yaml").read_text(), GATEWAYS, doors=free_doors()),
    ):
        file.write_text(text)
        subprocess.run([envoy, "--mode", "validate", "-c", file], check=True, capture_output=True)
    command = balancers.nginx_command(tmp_path, GATEWAYS, doors=free_doors())
    checked = subprocess.run([*command, "-t"], check=True, capture_output=True, text=True)
    assert "warn" not in checked.stderr


@pytest.mark.parametrize("name", ["envoy.yaml", "nginx.conf"])
def test_each_gateway_has_a_line_for_each_of_its_doors(name: str) -> None:
    doors = Doors(host="127.0.0.2", grpc_port=7001, rest_port=7000)
    text = rendered((TEMPLATES / name).read_text(), GATEWAYS, doors=doors, admin_port=7002)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in lines if "faces.example" in line]
    for gateway in GATEWAYS:
        for port in (gateway.grpc_port, gateway.rest_port):
            assert len([line for line in lines if gateway.host in line and str(port) in line]) == 1
    for port in (7001, 7000):
        assert len([line for line in lines if doors.host in line and str(port) in line]) == 1

"""A REST door with a fake Triton behind it, for tests of what passes between an HTTP client and a Triton."""

import asyncio
import contextlib
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.identity import Identities
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.options import GatewayOptions, Identity, Limits
from deploy.gateway.rest.front import RestFront
from deploy.gateway.tracing.request_trace import Traces
from runtime.parameters import Parameter, to_text
from tests.helpers import fake_v2_server
from tests.helpers.fake_authority import FakeAuthority, model, served_models
from tests.helpers.requests import ASTRONAUT

UINT8, INT32, FP32, STRING = 2, 8, 11, 13  # of model_config_pb2.DataType
PHOTO = ASTRONAUT.read_bytes()
SIZES = fake_v2_server.classes("size", ["small", "large"])
COLOURS = fake_v2_server.classes("colour", ["red", "green", "blue"])
CONTRACT = fake_v2_server.contract_of(SIZES, COLOURS)
PARAMETERS = {
    "min_score": Parameter(type="number", minimum=0.1, maximum=1.0, default=0.5, description="a share"),
    "max_faces": Parameter(type="integer", minimum=1, maximum=320, default=320),
}


def photos_of(
    contract: Mapping[str, Any],
    *,
    generation: int = 1,
    networks: Mapping[str, str] | None = None,
    further: Mapping[str, Mapping[str, Any]] | None = None,
    notice: str = "",
    precision: str = "",
) -> ServedModels:
    """What a Triton serves whose photo model has this contract, and further ones by their prefix."""
    parameters = {
        "models": json.dumps(networks or {"first": ""}),
        "request_parameters": to_text(PARAMETERS),
        **({"notice": notice} if notice else {}),
    }
    every = {"": contract, **(further or {})}
    engine = model("face_engine", input=[], output=[])
    engine.config.parameters["precision"].string_value = precision
    return served_models(
        *([engine] if precision else []),
        *(_photo_model(f"{prefix}photo_analysis", each, parameters) for prefix, each in every.items()),
        generation=generation,
    )


def _photo_model(name: str, contract: Mapping[str, Any], parameters: Mapping[str, str]) -> Any:
    outputs = [
        {"name": "boxes", "data_type": FP32, "dims": [-1, 4]},
        {"name": "scores", "data_type": FP32, "dims": [-1]},
        {"name": "landmarks", "data_type": FP32, "dims": [-1, 5, 2]},
        {"name": "photo_size", "data_type": INT32, "dims": [2]},
        {"name": "faces_found", "data_type": INT32, "dims": [1]},
        {"name": "smallest_face", "data_type": FP32, "dims": [1]},
        {"name": "contract", "data_type": STRING, "dims": [1]},
    ]
    for task in contract["tasks"]:
        size = len(task["labels"])
        outputs.append({"name": f"{task['name']}_probabilities", "data_type": FP32, "dims": [-1, size]})
        outputs.append({"name": f"{task['name']}_label", "data_type": STRING, "dims": [-1, 1]})
    made = model(name, input=[{"name": "image", "data_type": UINT8, "dims": [-1]}], output=outputs)
    for key, value in {**parameters, "contract": json.dumps(contract)}.items():
        made.config.parameters[key].string_value = value
    return made


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RunningRest:
    """A REST door, its fake authority and Triton, and a client."""

    def __init__(
        self,
        *,
        front: RestFront,
        authority: FakeAuthority,
        triton: fake_v2_server.FakeServer,
        session: aiohttp.ClientSession,
        port: int,
        scheme: str,
    ) -> None:
        self.front, self.authority, self.triton = front, authority, triton
        self.session, self.port = session, port
        self.url = f"{scheme}://127.0.0.1:{port}"

    async def send(
        self, method: str = "POST", path: str = "/v1/analyze", data: Any = None, **options: Any
    ) -> Answer:
        """`data` None with POST: the photo."""
        body = PHOTO if data is None and method == "POST" else data
        async with self.session.request(method, self.url + path, data=body, **options) as got:
            return Answer(got.status, got.headers, await got.read())

    async def raw(self, *pieces: bytes, pause: float = 0.05) -> bytes:
        """The answer to bytes that are sent piece by piece; nothing where the connection ends without one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                await asyncio.sleep(pause)
            return await asyncio.wait_for(_answer(reader), timeout=20)
        finally:
            writer.close()

    async def settled(self) -> None:
        """Returns once nothing is with Triton."""
        while self.front.in_flight:
            await asyncio.sleep(0.005)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return head + await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


@contextlib.asynccontextmanager
async def running_rest(
    *,
    contract: Mapping[str, Any] = CONTRACT,
    models: ServedModels | None = None,
    limits: Limits | None = None,
    identity: Identity | None = None,
    access_log: AccessLog | None = None,
    traces: Traces | None = None,
    tls: ssl.SSLContext | None = None,
    web: bool = False,
    log: Callable[[str], None] = lambda sentence: None,
) -> AsyncIterator[RunningRest]:
    """A REST door on a free port of loopback; `tls`: the client's."""
    identity = identity or Identity()
    options = GatewayOptions(repository=Path(), limits=limits or Limits(), identity=identity, web=web)
    triton = fake_v2_server.FakeServer(dict(contract))
    with fake_v2_server.running(triton) as behind:
        authority = FakeAuthority(models or photos_of(contract), behind)
        front = RestFront(
            authority,
            options=options,
            identities=Identities(identity),
            access_log=access_log,
            traces=traces,
            log=log,
        )
        port = await front.start(0)
        connector = aiohttp.TCPConnector(ssl=tls if tls is not None else True)
        try:
            async with aiohttp.ClientSession(connector=connector) as session:
                yield RunningRest(
                    front=front,
                    authority=authority,
                    triton=triton,
                    session=session,
                    port=port,
                    scheme="http" if tls is None else "https",
                )
        finally:
            await front.stop()


def with_rest(test: Callable[[RunningRest], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Runs `test` with a REST door."""

    async def once() -> None:
        async with running_rest(**options) as running:
            await asyncio.wait_for(test(running), timeout=60)

    asyncio.run(once())

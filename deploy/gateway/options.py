"""GatewayOptions: all settings of a gateway, typed, with a line each. The command line is made of it."""

import dataclasses
import urllib.parse
from pathlib import Path
from typing import Literal

from build.options import option

MAX_PORT = 65535


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What is taken in. What is beyond is refused at once, with the limit in the sentence."""

    request_bytes: int = option(
        help="of one request (the default: 50 megapixels of raw pixels)", default=160 * 1024 * 1024
    )
    waiting_bytes: int = option(
        help="of all requests that wait or are with Triton", default=512 * 1024 * 1024
    )
    megapixels: float = option(help="of one encoded picture", default=50.0)
    scan_megapixels: float = option(
        help="of one picture: megapixels times a decoder's passes over them", default=300.0
    )
    in_flight: int = option(
        help="requests with Triton; below that the gateway finds the right number by itself", default=1024
    )
    queue_seconds: float = option(help="the longest that work waits before it goes to Triton", default=0.8)
    triton_seconds: float = option(help="what a request's time in Triton is steered to", default=0.4)
    connections: int = option(help="concurrent calls of all clients, in each front process", default=4096)

    def __post_init__(self) -> None:
        _check_positive(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repair:
    """When a Triton is given up, and how it is replaced."""

    standby: Literal["auto", "always", "never"] = option(
        help="a second Triton kept ready: auto (where memory allows), always, never", default="auto"
    )
    probe_seconds: float = option(help="between looks at the processes' states", default=0.25)
    canary_seconds: float = option(
        help="between canary requests to a model that real requests have not shown to answer", default=5.0
    )
    canary_timeout: float = option(help="after which a canary counts as not answered", default=30.0)
    blame_seconds: float = option(
        help="for which a request that was on two Tritons that died is refused", default=600.0
    )

    def __post_init__(self) -> None:
        _check_positive(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """Who may call, and how the connection is protected."""

    keys: Path | None = option(help="file of hashed API keys", default=None)
    certificate: Path | None = option(help="PEM chain of this server; with --private-key: TLS", default=None)
    private_key: Path | None = option(help="PEM of the certificate's key", default=None)
    client_authorities: Path | None = option(
        help="PEM of the authorities that sign clients' certificates: mutual TLS", default=None
    )
    insecure: bool = option(help="listen beyond loopback without keys or mutual TLS", default=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tracing:
    """Where the traces of requests go."""

    otlp_endpoint: str | None = option(
        help="URL of a collector that takes OTLP over HTTP, as http://collector:4318: traces (default: none)",
        default=None,
    )
    trace_ratio: float = option(
        help="share of the requests that are traced, 0 to 1, of those whose client does not decide it",
        default=0.01,
    )

    def __post_init__(self) -> None:
        if not 0 <= self.trace_ratio <= 1:
            raise ValueError(f"--trace-ratio is a share of 0 to 1, not {self.trace_ratio:g}")
        if self.otlp_endpoint is None:
            return
        url = urllib.parse.urlsplit(self.otlp_endpoint)
        if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query:
            raise ValueError(
                f"--otlp-endpoint is a URL as http://collector:4318, not {self.otlp_endpoint!r}: name a "
                "collector that takes OTLP over HTTP, without a password or a query"
            )
        try:
            url.port  # noqa: B018
        except ValueError:
            raise ValueError(f"--otlp-endpoint has a port that can't be: {self.otlp_endpoint!r}") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """One gateway: what it serves, where it listens, and its rules. ValueError for what can't be."""

    repository: Path = option(help="an assembled repository")
    host: str = option(help="address to listen on", default="127.0.0.1")
    grpc_port: int = option(help="0: any free one", default=8001)
    http_port: int = option(help="metrics and health pages; 0: any free one", default=8002)
    rest_port: int = option(help="REST: photos over HTTP, answers in JSON; 0: any free one", default=8000)
    no_rest: bool = option(help="no REST port", default=False)
    web: bool = option(help="the page for people, at / of the REST port", default=False)
    processes: int = option(help="fronts behind the gRPC port", default=1)
    shared_memory: bool = option(
        help="gRPC clients of the same user on this machine may leave a request in their memory",
        default=False,
    )
    triton: Path | None = option(
        help="folder of an installed Triton, as /opt/tritonserver (default: the wheel nvidia-pytriton)",
        default=None,
    )
    python: Path | None = option(
        help="the Python that carries the models (default: .venv-serve's)", default=None
    )
    cache: Path | None = option(help="folder for a runnable copy of the server (default: var)", default=None)
    log: Path | None = option(help="file for Triton's log (default: standard error)", default=None)
    access_log: Path | None = option(
        help="file for a JSON line a request; - is standard output", default=None
    )
    ready_file: Path | None = option(help="exists while requests are welcome, for probes", default=None)
    control: Path | None = option(
        help="unix socket for status, swap, rollback, reload (default: a private one of the repository's)",
        default=None,
    )
    start_timeout: float = option(help="seconds for a Triton to become ready", default=180.0)
    drain_seconds: float = option(
        help="for accepted work to be answered after SIGTERM; a second signal cuts it short", default=30.0
    )
    grace_seconds: float = option(help="from Triton's SIGTERM to its SIGKILL", default=20.0)
    triton_arguments: tuple[str, ...] = ()  # further options for tritonserver
    limits: Limits = dataclasses.field(default_factory=Limits)
    repair: Repair = dataclasses.field(default_factory=Repair)
    identity: Identity = dataclasses.field(default_factory=Identity)
    tracing: Tracing = dataclasses.field(default_factory=Tracing)

    def __post_init__(self) -> None:
        for name in ("grpc_port", "http_port", "rest_port"):
            port = getattr(self, name)
            if not 0 <= port <= MAX_PORT:
                raise ValueError(f"{_flag(name)} is a port, a number from 0 to {MAX_PORT}, not {port}")
        if self.processes < 1:
            raise ValueError(f"--processes is at least 1, not {self.processes}")
        if self.web and self.no_rest:
            raise ValueError(
                "--web is served at the REST port, and --no-rest has none: leave one of them out"
            )
        for name in ("start_timeout", "drain_seconds", "grace_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{_flag(name)} is 0 or more seconds, not {getattr(self, name):g}")


def _check_positive(settings: object) -> None:
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if isinstance(value, int | float) and value <= 0:
            raise ValueError(f"{_flag(field.name)} is above 0, not {value:g}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"

"""GatewayOptions: all settings of a gateway, typed, with a line each. The command line is made of it."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What is taken in. What is beyond is refused at once, with the limit in the sentence."""

    request_bytes: int = 160 * 1024 * 1024  # of one request (50 megapixels of raw pixels)
    waiting_bytes: int = 512 * 1024 * 1024  # of all requests that wait or are with Triton
    megapixels: float = 50.0  # of one encoded picture
    scan_megapixels: float = 250.0  # of one picture: megapixels times a decoder's passes over them
    in_flight: int = 1024  # requests with Triton; below that the gateway finds the right number by itself
    queue_seconds: float = 0.5  # the longest that work waits before it goes to Triton
    triton_seconds: float = 0.4  # what a request's time in Triton is steered to
    connections: int = 4096  # concurrent calls of all clients


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repair:
    """When a Triton is given up, and how it is replaced."""

    standby: str = "auto"  # a second Triton kept ready: auto (where memory allows), always, never
    probe_seconds: float = 0.25  # between looks at the processes' states
    canary_seconds: float = (
        5.0  # between canary requests to a model that real requests have not shown to answer
    )
    canary_timeout: float = 30.0  # after which a canary counts as not answered
    blame_seconds: float = 600.0  # for which a request that was on two Tritons that died is refused


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """Who may call, and how the connection is protected."""

    keys: Path | None = None  # file of hashed API keys
    certificate: Path | None = None  # PEM chain of this server; with `private_key`: TLS
    private_key: Path | None = None
    client_authorities: Path | None = (
        None  # PEM of the authorities that sign clients' certificates: mutual TLS
    )
    insecure: bool = False  # listen beyond loopback without keys or mutual TLS


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """One gateway: what it serves, where it listens, and its rules."""

    repository: Path
    host: str = "127.0.0.1"
    grpc_port: int = 8001  # 0: any free one
    http_port: int = 8002  # metrics and health pages; 0: any free one
    processes: int = 1  # fronts behind the gRPC port
    python: Path | None = None  # the Python with the server (None: .venv-serve's)
    cache: Path | None = None  # folder for a runnable copy of the server (None: var)
    log: Path | None = None  # file for Triton's log (None: standard error)
    access_log: Path | None = None  # a JSON line a request
    ready_file: Path | None = None  # exists while requests are welcome, for probes
    start_timeout: float = 180.0  # seconds for a Triton to become ready
    drain_seconds: float = 30.0  # for accepted work to be answered after SIGTERM
    grace_seconds: float = 20.0  # from Triton's SIGTERM to its SIGKILL
    triton_arguments: tuple[str, ...] = ()  # further options for tritonserver
    limits: Limits = dataclasses.field(default_factory=Limits)
    repair: Repair = dataclasses.field(default_factory=Repair)
    identity: Identity = dataclasses.field(default_factory=Identity)

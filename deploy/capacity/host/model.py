"""The model: how many answers a second a host's cores, its processes and its GPUs allow, and which is least.

Of a mix of requests, with w_i the share of kind i, f_i the faces of its answer, c_is the core-ms of step s:

    F = sum_i w_i f_i               faces of a request
    C_s = sum_i w_i c_is            core-ms of step s a request;   C = sum_s C_s
    cores       1000 N u / C        N cores, of which the work reaches the share u
    step s      1000 n_s t_s / H_s  n_s processes of t_s threads, of which a request holds one for H_s ms
    gateway     1000 / (C_g / p + a (1 - 1/p))      p front processes; the main one is one of them, and takes
                                                    a = 0.15 core-ms for each request of the others
    GPUs        G / (F / E + P / D)  G GPUs of E faces a second; P pictures a request, of which a GPU decodes
                                     and warps D a second where it does (else P / D = 0)

Requests a second are the least of these. H_s is C_s, but a photo's process also waits for the engine, at
most two full batches (2 B / E).
Decoding and the engine share the GPU, as if nothing of it had hardware of its own: never too good.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from build.serving.host_settings import HostSettings
from deploy.capacity.host.requests import RequestCost

GATEWAY, PHOTO, PREPROCESS = "gateway", "photo_analysis", "face_preprocess"
CORES, GPUS = "cores", "GPUs"
# Core-ms of the main process for each request of a further front: docs/gateway.md, measured there.
AUTHORITY_CORE_MS = 0.15
# Of the cores' time; the rest is lost to waiting. `deploy.capacity.validate` prints what 16 clients reach.
BUSY = 0.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpus:
    """What the GPUs can do. None of these figures has a default: they are measured on the GPU."""

    faces_per_second: float  # of the engine on one GPU, at full batches
    count: int = 1
    decoded_per_second: float | None = (
        None  # pictures decoded and warped on one GPU; None: by the host's cores
    )

    def __post_init__(self) -> None:
        rates = (self.faces_per_second, 1.0 if self.decoded_per_second is None else self.decoded_per_second)
        if self.count < 1 or not all(0 < rate < math.inf for rate in rates):
            raise ValueError("a GPU's faces and pictures a second are above 0, and there is 1 GPU or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a host can answer of a mix, a second."""

    cores: int
    requests: float
    faces: float
    gpu_faces: float  # that the GPUs could answer if they were fed, beside what they decode
    limit: str  # which bound is the least: a step, "cores" or "GPUs"
    bounds: Mapping[str, float]  # requests a second that each allows, the least first
    core_ms: Mapping[str, float]  # of each step a request of the mix, the largest first
    cores_for_gpus: float  # that would feed the GPUs, with as many processes as they then need

    @property
    def gpu_share(self) -> float:
        """Of what the GPUs can answer."""
        return self.faces / self.gpu_faces


def capacity(
    mix: Sequence[tuple[float, RequestCost]],
    host: HostSettings,
    gpus: Gpus,
    *,
    gateway_processes: int = 1,
    busy: float = BUSY,
) -> Capacity:
    """What a host of GPUs answers of a mix of (share, kind); shares need not add to 1.

    Raises ValueError for a mix without a request, and for `busy` or processes out of range.
    """
    if not mix or any(share <= 0 for share, _ in mix):
        raise ValueError("the mix has no request: give each kind a share above 0, as face=1")
    if not 0 < busy <= 1 or gateway_processes < 1:
        raise ValueError("busy is a share of the cores (0 to 1), and there is 1 gateway process or more")
    whole = sum(share for share, _ in mix)
    faces = sum(share * cost.faces for share, cost in mix) / whole
    core_ms: dict[str, float] = {}
    for share, cost in mix:
        for step, each in cost.steps.items():
            core_ms[step] = core_ms.get(step, 0.0) + share / whole * each
    pictures = sum(share for share, cost in mix if PREPROCESS in cost.steps) / whole
    decode = 0.0 if gpus.decoded_per_second is None else pictures / gpus.decoded_per_second
    bounds = {
        GPUS: gpus.count / (faces / gpus.faces_per_second + decode),
        CORES: 1e3 * host.cores * busy / sum(core_ms.values()),
        **_process_bounds(core_ms, host, gpus, mix, gateway_processes=gateway_processes),
    }
    limit = min(bounds, key=lambda name: bounds[name])
    return Capacity(
        cores=host.cores,
        requests=bounds[limit],
        faces=bounds[limit] * faces,
        gpu_faces=bounds[GPUS] * faces,
        limit=limit,
        bounds=dict(sorted(bounds.items(), key=lambda item: item[1])),
        core_ms=dict(sorted(core_ms.items(), key=lambda item: -item[1])),
        cores_for_gpus=bounds[GPUS] * sum(core_ms.values()) / (1e3 * busy),
    )


def _process_bounds(
    core_ms: Mapping[str, float],
    host: HostSettings,
    gpus: Gpus,
    mix: Sequence[tuple[float, RequestCost]],
    *,
    gateway_processes: int,
) -> dict[str, float]:
    """Requests a second that each step's processes allow."""
    held = dict(core_ms)
    if PHOTO in held:
        photos = sum(share for share, cost in mix if PHOTO in cost.steps) / sum(share for share, _ in mix)
        batches = 2e3 * host.max_batch / gpus.faces_per_second
        held[PHOTO] += photos * batches
    if GATEWAY in held:
        others = 1 - 1 / gateway_processes
        held[GATEWAY] = held[GATEWAY] / gateway_processes + AUTHORITY_CORE_MS * others
    threads = {step: _threads(step, host) for step in held}
    return {
        step: 1e3 * count / held[step] for step, count in threads.items() if count is not None and held[step]
    }


def _threads(step: str, host: HostSettings) -> int | None:
    """How many requests a step computes at a time; None where only the cores bound it."""
    if step == GATEWAY:
        return 1
    settings = getattr(host, step, host.task_postprocess if step.endswith("_postprocess") else None)
    return None if settings is None else int(settings.instances)

"""Which rows there are: what is sent, by how many clients, which way."""

import dataclasses
from collections.abc import Sequence

from deploy.benchmark.answer_cost.results import LOADED, SERVED
from deploy.measuring.pictures.photos import PHOTOS

GATEWAY, DIRECT = "gateway", "direct"

CROP, FACE, ONE_TASK, PHOTO = "crop", "face in a photo", "face in a photo, one task", "photo of one face"
MANY, FEW = 16, 4  # clients; fewer of photos that take long
LOAD = 0.8  # of the capacity
IN_PROCESS = f"{PHOTO}, in process, one thread"
MEDIAPIPE = f"{PHOTO}, MediaPipe's face landmarker in process"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sends: a photo, a photo with a face's place, or a crop (.npy).

    tasks: None for all that are served.
    """

    file: str
    faces: int = 1  # of its answer
    crop: bool = False
    box: tuple[float, ...] | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    tasks: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedRow:
    """A request, and how it is sent; `load` is a share of the capacity, None: as fast as it is answered."""

    request: str  # its name
    clients: int
    way: str = GATEWAY
    load: float | None = None

    @property
    def name(self) -> str:
        if self.load is not None:
            return f"{self.request}, at {self.load:.0%} of capacity"
        clients = "one client" if self.clients == 1 else f"{self.clients} clients"
        return f"{self.request}, {clients}, {self.way}"

    @property
    def group(self) -> str:
        return SERVED if self.load is None else LOADED


@dataclasses.dataclass(frozen=True, kw_only=True)
class BareSetting:
    """How the engine runs by itself."""

    threads: int
    streams: int
    batch: int = 8

    @property
    def name(self) -> str:
        return f"bare engine, batch {self.batch}, threads {self.threads}, streams {self.streams}"


def bare_settings(cores: int) -> tuple[BareSetting, ...]:
    """One thread; all cores together; a stream a core."""
    pairs = dict.fromkeys([(1, 1), (cores, 1), (cores, cores)])
    return tuple(BareSetting(threads=threads, streams=streams) for threads, streams in pairs)


def served_rows() -> list[ServedRow]:
    """All rows that are asked of the server."""
    return [
        *(
            ServedRow(request=request, clients=clients, way=way)
            for request in (CROP, FACE, PHOTO)
            for clients in (1, MANY)
            for way in (GATEWAY, DIRECT)
        ),
        ServedRow(request=ONE_TASK, clients=MANY),
        *(ServedRow(request=photo.name, clients=FEW) for photo in PHOTOS),
        *(ServedRow(request=request, clients=MANY, load=LOAD) for request in (FACE, PHOTO)),
    ]


def chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """Those names that hold one of the words of `only` (none: all); ValueError for a word that none holds."""
    for words in only:
        if not any(words in name for name in names):
            raise ValueError(f"--only {words!r} is in no row's name: the rows are {'; '.join(names)}")
    return [name for name in names if not only or any(words in name for words in only)]

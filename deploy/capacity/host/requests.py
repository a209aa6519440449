"""What a request costs, step by step, from a kept run of `deploy.benchmark.answer_cost`."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from deploy.benchmark.answer_cost.results import Row, Run
from deploy.benchmark.answer_cost.rows import CROP, FACE, FEW, GATEWAY, MANY, PHOTO, ServedRow
from deploy.measuring.pictures.photos import PHOTOS

ENGINE, CLIENT = "face_engine", "client"
NOISE = 0.05  # core-ms a request: what a process that has no part in it may seem to take
KINDS = {"crop": CROP, "face": FACE, "photo": PHOTO}  # of a mix, and the requests of the benchmark


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequestCost:
    """One kind of request: the faces of its answer, and the core-ms that each step takes for it.

    steps: of every process but the clients and the engine.
    engine: of the engine where it runs on the CPU.
    """

    name: str
    faces: float
    steps: Mapping[str, float]
    engine: float
    client: float

    def with_costs(self, replaced: Mapping[str, float]) -> "RequestCost":
        """The same with other core-ms of those of its steps that are named."""
        steps = {step: replaced.get(step, cost) for step, cost in self.steps.items()}
        return dataclasses.replace(self, steps=steps)


def crowd_rows() -> dict[int, str]:
    """The benchmark's rows of photos of one size, by the number of their faces."""
    size = next((photo.width, photo.height) for photo in PHOTOS if photo.faces > 1)
    rows = {
        photo.faces: ServedRow(request=photo.name, clients=FEW).name
        for photo in PHOTOS
        if (photo.width, photo.height) == size
    }
    return dict(sorted(rows.items()))


def request_cost(run: Run, kind: str, *, faces: int | None = None, way: str = GATEWAY) -> RequestCost:
    """A kind's cost: the medians of its row with many clients, whose batches are full.

    kind: a key of `KINDS`. faces: of a 1080p photo; costs between those that were measured are
    interpolated, beyond the last two they go on as between them. None: of the benchmark's
    request of this kind, which has one face in 512 pixels. Raises ValueError for another kind, for a number
    of faces of what is no photo, and where the run lacks a row.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind of request {kind!r}: choose from {', '.join(KINDS)}")
    if faces is None:
        return _cost(_row(run, ServedRow(request=KINDS[kind], clients=MANY, way=way).name), kind)
    if faces < 1 or KINDS[kind] != PHOTO:
        raise ValueError(
            f"{kind}:{faces} can't be: only a photo has a number of faces, 1 or more, as photo:8"
        )
    known = [_cost(_row(run, name), name) for name in crowd_rows().values()]
    crowd = _at(faces, known, name=f"photo:{faces}")
    if way == GATEWAY:
        return crowd
    past = {step: cost for step, cost in crowd.steps.items() if step != GATEWAY}
    return dataclasses.replace(crowd, steps=past)


def _row(run: Run, name: str) -> Row:
    for row in run.rows:
        if row.name == name:
            return row
    raise ValueError(
        f"the run has no row {name!r}: measure it with `python -m deploy.benchmark.answer_cost --json FILE`"
    )


def _cost(row: Row, name: str) -> RequestCost:
    parts = {part: statistics.median(values) for part, values in row.parts.items()}
    return cost_of(name, faces=row.faces, parts=parts)


def cost_of(name: str, *, faces: int, parts: Mapping[str, float]) -> RequestCost:
    """The cost of a request whose processes took these core-ms, the clients' and the engine's among them."""
    return RequestCost(
        name=name,
        faces=faces,
        engine=parts.get(ENGINE, 0.0),
        client=parts.get(CLIENT, 0.0),
        steps={step: cost for step, cost in parts.items() if cost >= NOISE and step not in (ENGINE, CLIENT)},
    )


def _at(faces: int, known: Sequence[RequestCost], *, name: str) -> RequestCost:
    following = next((i for i, cost in enumerate(known) if cost.faces >= faces), len(known) - 1)
    one, other = known[max(0, following - 1)], known[max(1, following)]
    share = (faces - one.faces) / (other.faces - one.faces)

    def between(first: float, second: float) -> float:
        return max(0.0, first + share * (second - first))

    return RequestCost(
        name=name,
        faces=faces,
        steps={
            step: between(one.steps.get(step, 0.0), other.steps.get(step, 0.0))
            for step in {**one.steps, **other.steps}
        },
        engine=between(one.engine, other.engine),
        client=between(one.client, other.client),
    )

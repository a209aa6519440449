"""What is measured of the pipeline: crops and answers beside the CPU's, batches with a bad file, the cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.acceptance.parity import differences, tolerances
from build.backends import default_backend
from build.config import WEIGHTS
from deploy.measuring.processor_time import core_ms
from runtime.contract import Contract
from runtime.engines import load_engine
from runtime.image.decode import decode_image
from runtime.kinds.base import Tensors
from tests.dali.pictures import Case, damaged, without_tables
from tests.dali.pipeline import CpuPipeline, Step
from tests.helpers.fake_backend import Response, TritonError

LARGEST_MEAN = 1.0  # of 255: what a crop may differ by
_ROUNDS = 20


@dataclass(frozen=True, kw_only=True)
class CropRow:
    """One picture. `share`: of bf16's tolerance, used up by the task whose answer moved most; `rounded`: what
    bf16 itself uses up of it on the step's own crop."""

    case: Case
    size: tuple[int, int]
    by_dali: bool
    mean: float
    most: int
    same_map: bool
    task: str
    share: float
    rounded: float

    @property
    def passed(self) -> bool:
        """Whether crop and answers are close enough, the maps equal, and the right decoder was at work."""
        near = self.mean <= (LARGEST_MEAN if self.by_dali else 0)
        alike = self.share <= 1 or not self.case.shows_face
        return near and alike and self.same_map and self.by_dali == self.case.for_dali


@dataclass(frozen=True, kw_only=True)
class BatchRow:
    """Requests that came together: how many got the right answer, and what was expected."""

    name: str
    requests: int
    right: int
    refused: int
    expected: tuple[int, int]  # right, refused
    batches: tuple[int, ...]  # rows of the pipeline's runs
    failed_runs: int
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether every request came to what it should."""
        return (self.right, self.refused) == self.expected


class Network:
    """The shipped network in fp32 and in bf16, and how far its answers may move in bf16."""

    def __init__(self, contract: Contract) -> None:
        cpu: Any = default_backend("cpu")
        settings = {"runtime": cpu.runtime, "file": WEIGHTS.name, "threads": "1", "streams": "1"}
        self._full, self._half = (
            load_engine(WEIGHTS.parent, {**settings, "precision": precision})
            for precision in ("fp32", "bf16")
        )
        self._contract = contract
        self._allowed = tolerances(contract, precision="bf16")

    def moved(self, expected: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[str, float]:
        """The task whose answers to two crops [S, S, 3] lie furthest apart, as a share of its tolerance."""
        return self._furthest(*(self._full.infer({"pixels": crop[None]}) for crop in (expected, other)))

    def rounded(self, crop: NDArray[np.uint8]) -> float:
        """How far bf16 itself moves the answers to a crop, as a share of the tolerance."""
        return self._furthest(*(engine.infer({"pixels": crop[None]}) for engine in (self._full, self._half)))[
            1
        ]

    def _furthest(self, one: Tensors, other: Tensors) -> tuple[str, float]:
        apart = differences(self._contract, one, other, in_units=True)
        shares = {name: value / self._allowed[name] for name, value in apart.items()}
        return max(shares.items(), key=lambda item: item[1])


def crop_rows(
    cases: Sequence[Case], alone: Step, helped: Step, warp: CpuPipeline, network: Network
) -> Iterator[CropRow]:
    """Each picture alone through both steps."""
    for case in cases:
        runs = len(warp.batches)
        (wanted,), (answered,) = alone.answer([case]), helped.answer([case])
        expected, crop = (_pixels(response) for response in (wanted, answered))
        apart = np.abs(expected.astype(int) - crop)
        task, share = network.moved(expected, crop)
        height, width = decode_image(case.data).shape[:2]
        yield CropRow(
            case=case,
            size=(width, height),
            by_dali=len(warp.batches) > runs,
            mean=float(apart.mean()),
            most=int(apart.max()),
            same_map=_same(wanted, answered, "crop_to_photo") and _same(wanted, answered, "photo_size"),
            task=task,
            share=share,
            rounded=network.rounded(expected),
        )


def batch_rows(cases: Sequence[Case], alone: Step, helped: Step, warp: CpuPipeline) -> list[BatchRow]:
    """Eight requests at once: all well, one cut short, one damaged inside, of several kinds."""
    jpegs = [case for case in cases if case.for_dali][:8]
    others = [case for case in cases if not case.for_dali][:4]
    short = Case(name="cut short", data=jpegs[3].data[:4000], for_dali=True)
    broken = Case(name="damaged", data=damaged(), for_dali=True)
    undecodable = Case(name="without tables", data=without_tables(), for_dali=True)
    mixed = [case for pair in zip(jpegs[:4], others, strict=True) for case in pair]
    batches: Mapping[str, tuple[list[Case], tuple[int, int]]] = {
        "eight JPEGs": (jpegs, (8, 0)),
        "one of them cut short": ([*jpegs[:3], short, *jpegs[4:]], (7, 1)),
        "one of them damaged within its compressed data": ([*jpegs[:3], broken, *jpegs[4:]], (8, 0)),
        "one of them without its quantisation tables": ([*jpegs[:3], undecodable, *jpegs[4:]], (7, 1)),
        "four JPEGs and four of other kinds": (mixed, (8, 0)),
        "the same, and one cut short": ([*mixed[:2], short, *mixed[3:]], (7, 1)),
    }
    rows = []
    for name, (members, expected) in batches.items():
        runs, failures = len(warp.batches), len(warp.failures)
        responses = helped.answer(members)
        errors = [response.error() for response in responses if response.has_error()]
        rows.append(
            BatchRow(
                name=name,
                requests=len(members),
                right=sum(
                    _right(case, response, alone) for case, response in zip(members, responses, strict=True)
                ),
                refused=sum(error.code() == TritonError.INVALID_ARG for error in errors if error),
                expected=expected,
                batches=tuple(warp.batches[runs:]),
                failed_runs=len(warp.failures) - failures,
                message=next((error.message() for error in errors if error), ""),
            )
        )
    return rows


def costs(cases: Sequence[Case], alone: Step) -> Iterator[tuple[str, float, float]]:
    """Of a JPEG of each size: core-ms of the step by itself, and of what stays on the CPU beside a GPU."""
    module = __import__("runtime.serving.preprocess", fromlist=["_look_at"])
    for case in cases:
        if not case.name.endswith(", landmarks"):
            continue
        image = np.frombuffer(case.data, np.uint8)

        def look(image: NDArray[np.uint8] = image, case: Case = case) -> None:
            module._look_at(image, box=case.box, landmarks=case.landmarks, size=112)

        calls = {"answer": lambda case=case: alone.answer([case]), "look": look}
        yield case.name.partition(",")[0], *core_ms(calls, rounds=_ROUNDS).values()


def _right(case: Case, response: Response, alone: Step) -> bool:
    """Whether a request got the crop that the step gives it by itself."""
    if response.has_error():
        return False
    (wanted,) = alone.answer([case])
    apart = np.abs(_pixels(wanted).astype(int) - _pixels(response)).mean()
    return bool(apart <= LARGEST_MEAN) and _same(wanted, response, "crop_to_photo")


def _pixels(response: Response) -> NDArray[np.uint8]:
    assert not response.has_error(), response.error()
    crop: NDArray[np.uint8] = response.tensors["pixels"].as_numpy()[0]
    return crop


def _same(one: Response, other: Response, name: str) -> bool:
    return bool((one.tensors[name].as_numpy() == other.tensors[name].as_numpy()).all())

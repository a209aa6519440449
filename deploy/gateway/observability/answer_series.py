"""AnswerSeries: the sums of answers as Prometheus reads them, beside those on the reference faces."""

import dataclasses
import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from tritonclient.grpc import service_pb2 as v2

from build.acceptance.answer_reference import PARAMETER
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.answer_sums import AnswerBlock, Watched, WatchedTensor, watched_tensors

_CONTRACT = "contract"
_LABELS = ("contract", "task", "label")
_LOG = logging.getLogger(__name__)

_NOTHING = (0.0, 0.0, 0.0)

Place = tuple[str, str, str]  # contract, task, label


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Described:
    """What the configurations of served models say of their answers."""

    served: ServedModels | None = None
    tensors: Collection[WatchedTensor] = ()
    reference: Mapping[Place, tuple[float, float]] = dataclasses.field(default_factory=dict)


class AnswerSeries(Collector):
    """Adds up blocks; shows those of contracts that are served, from 0 on. For one event loop.

    served  what is served now; None while nothing is
    """

    def __init__(self, served: Callable[[], ServedModels | None]) -> None:
        self._served = served
        self._faces: dict[tuple[str, str], int] = {}  # by contract and task
        self._sums: dict[Place, list[float]] = {}  # above 0, below 0, squares
        self._not_finite = 0
        self._described = _Described()

    def add(self, block: AnswerBlock) -> None:
        """Counts a block of answers."""
        self._not_finite += block.not_finite
        places = []
        for tensor in block.tensors:
            task = (tensor.contract, tensor.task)
            self._faces[task] = self._faces.get(task, 0) + block.faces
            places += [(*task, label) for label in tensor.labels]
        for place, *numbers in zip(places, block.positive, block.negative, block.squares, strict=True):
            sums = self._sums.setdefault(place, [0.0, 0.0, 0.0])
            for index, number in enumerate(numbers):
                sums[index] += number

    def collect(self) -> Iterable[Metric]:
        served = self._served()
        if served is not self._described.served:
            self._described = _Described() if served is None else _describe(served)
        faces = CounterMetricFamily(
            "qface_answer_faces", "Faces whose answers were added up: a sample.", labels=_LABELS[:2]
        )
        sums = CounterMetricFamily(
            "qface_answer_sum",
            "Sum of what answers are above 0, and of what below.",
            labels=(*_LABELS, "sign"),
        )
        squares = CounterMetricFamily("qface_answer_squares", "Sum of answers' squares.", labels=_LABELS)
        for tensor in self._described.tensors:
            task = (tensor.contract, tensor.task)
            faces.add_metric(task, self._faces.get(task, 0))
            for label in tensor.labels:
                place = (*task, label)
                positive, negative, squared = self._sums.get(place, _NOTHING)
                sums.add_metric((*place, "positive"), positive)
                sums.add_metric((*place, "negative"), negative)
                squares.add_metric(place, squared)
        yield from (faces, sums, squares)
        yield CounterMetricFamily(
            "qface_answer_not_finite",
            "Faces with an answer that is not a number, which are in no sum.",
            value=self._not_finite,
        )
        for index, (name, what) in enumerate((("mean", "Mean"), ("deviation", "Standard deviation"))):
            gauge = GaugeMetricFamily(
                f"qface_answer_reference_{name}", f"{what} of answers on the reference faces.", labels=_LABELS
            )
            for place, numbers in self._described.reference.items():
                gauge.add_metric(place, numbers[index])
            yield gauge

    def describe(self) -> Iterable[Metric]:
        return []


def _describe(served: ServedModels) -> _Described:
    watched: dict[WatchedTensor, None] = {}
    reference: dict[Place, tuple[float, float]] = {}
    for name, message in served.configs.items():
        parameters = v2.ModelConfigResponse.FromString(message).config.parameters
        if _CONTRACT not in parameters:
            continue
        tensors = watched_tensors(parameters[_CONTRACT].string_value)
        watched |= dict.fromkeys(tensors.values())
        if PARAMETER in parameters:
            reference |= _reference(name, parameters[PARAMETER].string_value, tensors)
    return _Described(served=served, tensors=tuple(watched), reference=reference)


def _reference(model: str, text: str, tensors: Watched) -> Mapping[Place, tuple[float, float]]:
    """A model's reference, for what is watched of it; none where it can't be read, which is logged."""
    try:
        tasks = json.loads(text)
        return {
            (tensor.contract, tensor.task, label): (float(mean), float(deviation))
            for tensor in tensors.values()
            for label, (mean, deviation) in tasks.get(tensor.task, {}).items()
            if label in tensor.labels
        }
    except (ValueError, TypeError, AttributeError) as error:
        _LOG.error("the reference of answers of %s can't be read: %s", model, error)
        return {}

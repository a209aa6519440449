"""What a V2 server counted of its models between two looks."""

import dataclasses
from collections.abc import Mapping

from tritonclient.grpc import service_pb2 as v2

from deploy.loadtest.results import Step

_MS = 1e-6  # of a nanosecond


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batches:
    """Executions with one size of a batch, and their computing time together, in nanoseconds."""

    executions: int = 0
    infer: int = 0

    def plus(self, other: "Batches", *, sign: int) -> "Batches":
        return Batches(
            executions=self.executions + sign * other.executions, infer=self.infer + sign * other.infer
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counters:
    """One model's, of all its versions; durations are sums over requests, in nanoseconds.

    requests    that were answered; failed: that were not
    whole       from a request's arrival to its answer, within the server
    copy_in, infer, copy_out    Triton's compute_input, compute_infer, compute_output
    rows        pictures, crops ...: a request has as many as its batch is long
    executions  how often the model computed, for several requests at a time
    """

    requests: int = 0
    failed: int = 0
    rows: int = 0
    executions: int = 0
    whole: int = 0
    queue: int = 0
    copy_in: int = 0
    infer: int = 0
    copy_out: int = 0
    batches: Mapping[int, Batches] = dataclasses.field(default_factory=dict)

    def __add__(self, other: "Counters") -> "Counters":
        return self._with(other, sign=1)

    def __sub__(self, other: "Counters") -> "Counters":
        return self._with(other, sign=-1)

    @property
    def went_back(self) -> bool:
        """Whether this, as a difference, is of counters that began anew in between."""
        return any(getattr(self, name) < 0 for name in _NUMBERS) or any(
            each.executions < 0 for each in self.batches.values()
        )

    def mean(self, duration: str) -> float:
        """Milliseconds of a request; 0 where there was none."""
        return _MS * int(getattr(self, duration)) / self.requests if self.requests else 0.0

    def _with(self, other: "Counters", *, sign: int) -> "Counters":
        none = Batches()
        batches = {
            size: self.batches.get(size, none).plus(other.batches.get(size, none), sign=sign)
            for size in sorted({*self.batches, *other.batches})
        }
        numbers = {name: getattr(self, name) + sign * getattr(other, name) for name in _NUMBERS}
        return Counters(**numbers, batches=batches)


_NUMBERS = tuple(field.name for field in dataclasses.fields(Counters) if field.name != "batches")


def counters_of(statistics: v2.ModelStatisticsResponse) -> dict[str, Counters]:
    """By model, all versions together."""
    found: dict[str, Counters] = {}
    for each in statistics.model_stats:
        sums = each.inference_stats
        found[each.name] = found.get(each.name, Counters()) + Counters(
            requests=sums.success.count,
            failed=sums.fail.count,
            rows=each.inference_count,
            executions=each.execution_count,
            whole=sums.success.ns,
            queue=sums.queue.ns,
            copy_in=sums.compute_input.ns,
            infer=sums.compute_infer.ns,
            copy_out=sums.compute_output.ns,
            batches={
                batch.batch_size: Batches(executions=batch.compute_infer.count, infer=batch.compute_infer.ns)
                for batch in each.batch_stats
            },
        )
    return found


def difference(before: Mapping[str, Counters], after: Mapping[str, Counters]) -> dict[str, Counters]:
    """What was counted in between, of the models that did something.

    ValueError with a sentence where counters went back: the server, or its models, were replaced.
    """
    spent = {name: counters - before.get(name, Counters()) for name, counters in after.items()}
    went_back = sorted(name for name, each in spent.items() if each.went_back)
    went_back += sorted(name for name, each in before.items() if name not in after and each.requests)
    if went_back:
        raise ValueError(
            f"the counters of {', '.join(went_back)} began anew while it was measured: the server, or its "
            "models, were replaced"
        )
    return {name: each for name, each in spent.items() if each.requests or each.failed}


def step_of(model: str, spent: Counters) -> Step:
    """A model's row of the report."""
    return Step(
        model=model,
        requests=spent.requests,
        batch=spent.rows / spent.executions if spent.executions else 0.0,
        **{name: spent.mean(name) for name in ("queue", "copy_in", "infer", "copy_out")},
        failed=spent.failed,
        infer_by_batch={
            str(size): (each.executions, _MS * each.infer / each.executions)
            for size, each in spent.batches.items()
            if each.executions
        },
    )

"""What a server counted between two looks, and counters that began anew in between."""

import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.loadtest.server.statistics import Counters, counters_of, difference, step_of


def statistics_of(*, requests: int, infer_ms: float, sizes: dict[int, int], version: str = "1") -> Counters:
    """A model's counters, by way of the message that a server sends."""
    took = int(1e6 * infer_ms)
    sums = v2.InferStatistics(
        success={"count": requests, "ns": 2 * took * requests},
        queue={"count": requests, "ns": took // 2 * requests},
        compute_infer={"count": requests, "ns": took * requests},
    )
    model = v2.ModelStatistics(
        name="engine",
        version=version,
        inference_count=requests,
        execution_count=sum(sizes.values()),
        inference_stats=sums,
        batch_stats=[
            v2.InferBatchStatistics(batch_size=size, compute_infer={"count": count, "ns": took * count})
            for size, count in sizes.items()
        ],
    )
    return counters_of(v2.ModelStatisticsResponse(model_stats=[model]))["engine"]


def test_a_step_has_the_means_of_what_was_counted_in_between() -> None:
    before = statistics_of(requests=10, infer_ms=1, sizes={1: 10})
    after = before + statistics_of(requests=12, infer_ms=4, sizes={1: 2, 5: 2})
    step = step_of("engine", difference({"engine": before}, {"engine": after})["engine"])
    assert (step.model, step.requests, step.batch) == ("engine", 12, 3)
    assert (step.queue, step.infer) == pytest.approx((2, 4))
    assert step.infer_by_batch == {"1": (2, pytest.approx(4)), "5": (2, pytest.approx(4))}


def test_all_versions_of_a_model_are_counted_together() -> None:
    sums = v2.InferStatistics(success={"count": 3, "ns": 30})
    both = v2.ModelStatisticsResponse(
        model_stats=[
            v2.ModelStatistics(name="engine", version=version, inference_stats=sums) for version in "12"
        ]
    )
    assert counters_of(both)["engine"].requests == 6


def test_a_model_that_did_nothing_is_left_out() -> None:
    counted = {"engine": statistics_of(requests=10, infer_ms=1, sizes={1: 10}), "idle": Counters(requests=4)}
    assert list(difference({"idle": counted["idle"]}, counted)) == ["engine"]


def test_counters_that_went_back_are_no_difference() -> None:
    before = {"engine": Counters(requests=10, infer=100), "other": Counters(requests=1)}
    after = {"engine": Counters(requests=12, infer=20), "other": Counters(requests=9)}
    with pytest.raises(ValueError, match="the counters of engine began anew"):
        difference(before, after)


def test_a_model_that_is_gone_is_no_difference() -> None:
    with pytest.raises(ValueError, match="the counters of engine began anew"):
        difference({"engine": Counters(requests=10)}, {})

"""Triton's series over several Tritons."""

import pytest

from deploy.gateway.observability.triton_metrics import TritonSeries, parse

# As the server writes them: its counters' names end in no _total.
PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{{model="age",version="1"}} {age}
nv_inference_request_success{{model="race",version="1"}} {race}
# HELP nv_inference_request_summary_us Summary of requests
# TYPE nv_inference_request_summary_us summary
nv_inference_request_summary_us_count{{model="age",version="1"}} {age}
nv_inference_request_summary_us_sum{{model="age",version="1"}} 2500
nv_inference_request_summary_us{{model="age",version="1",quantile="0.5"}} {median}
# HELP nv_inference_first_response_histogram_ms Duration
# TYPE nv_inference_first_response_histogram_ms histogram
nv_inference_first_response_histogram_ms_bucket{{model="age",version="1",le="100"}} {age}
nv_inference_first_response_histogram_ms_bucket{{model="age",version="1",le="+Inf"}} {age}
nv_inference_first_response_histogram_ms_count{{model="age",version="1"}} {age}
nv_inference_first_response_histogram_ms_sum{{model="age",version="1"}} 4
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization {utilization}
"""


def page(*, age: int = 1, race: int = 1, median: int = 40, utilization: float = 0.25) -> str:
    return PAGE.format(age=age, race=race, median=median, utilization=utilization)


def lines(series: TritonSeries, *, active: int | None = 1) -> list[str]:
    return series.render(active=active).splitlines()


def test_one_triton_is_passed_on_as_it_is() -> None:
    series = TritonSeries()
    series.update(1, page())
    assert series.render(active=1) == page()


def test_a_counter_with_the_conventional_ending_keeps_it() -> None:
    text = "# HELP nv_x_total x\n# TYPE nv_x_total counter\nnv_x_total 3\n"
    series = TritonSeries()
    series.update(1, text)
    assert series.render(active=1) == text


def test_counters_go_on_from_the_triton_before() -> None:
    series = TritonSeries()
    series.update(1, page(age=10, race=4))
    series.retire(1)
    series.update(2, page(age=1, race=0))
    written = lines(series, active=2)
    assert 'nv_inference_request_success{model="age",version="1"} 11' in written
    assert 'nv_inference_request_success{model="race",version="1"} 4' in written
    assert 'nv_inference_request_summary_us_count{model="age",version="1"} 11' in written
    assert 'nv_inference_request_summary_us_sum{model="age",version="1"} 5000' in written
    assert 'nv_inference_first_response_histogram_ms_bucket{model="age",version="1",le="+Inf"} 11' in written


def test_gauges_and_quantiles_are_the_active_ones() -> None:
    series = TritonSeries()
    series.update(1, page(median=40, utilization=0.25))
    series.update(2, page(median=70, utilization=0.75))
    written = lines(series, active=2)
    assert "nv_cpu_utilization 0.75" in written
    assert 'nv_inference_request_summary_us{model="age",version="1",quantile="0.5"} 70' in written
    assert not any(line.startswith("nv_cpu_utilization") for line in lines(series, active=None))


def test_no_counter_falls_over_many_repairs_and_swaps() -> None:
    series = TritonSeries()
    before = 0
    for generation in range(1, 6):
        for count in (0, 3, 5):
            series.update(generation, page(age=count))
            now = int(parse(series.render(active=generation))["nv_inference_request_success"].samples[
                "nv_inference_request_success", (("model", "age"), ("version", "1"))
            ])  # fmt: skip
            assert now >= before
            before = now
        series.retire(generation)
    assert before == 25
    assert 'nv_inference_request_success{model="age",version="1"} 25' in lines(series, active=None)


def test_a_late_page_of_one_that_is_gone_is_not_added_twice() -> None:
    series = TritonSeries()
    series.update(1, page(age=10))
    series.retire(1)
    series.update(1, page(age=10))
    series.retire(1)
    assert 'nv_inference_request_success{model="age",version="1"} 10' in lines(series, active=None)


def test_a_model_that_a_new_repository_lacks_keeps_its_count() -> None:
    series = TritonSeries()
    series.update(1, page(race=4))
    series.retire(1)
    series.update(2, "".join(line for line in page().splitlines(keepends=True) if "race" not in line))
    assert 'nv_inference_request_success{model="race",version="1"} 4' in lines(series, active=2)


@pytest.mark.parametrize("broken", [page()[:300], "nv_x{ 3", "\x00\x01"])
def test_a_page_that_cannot_be_read_leaves_the_one_before(broken: str) -> None:
    series = TritonSeries()
    series.update(1, page(age=10))
    series.render(active=1)
    series.update(1, broken)
    assert series.render(active=1).startswith("# HELP nv_inference_request_success")
    series.retire(1)
    assert lines(series, active=None)


def test_labels_with_quotes_and_backslashes_survive() -> None:
    text = '# HELP nv_x x\n# TYPE nv_x counter\nnv_x{path="a\\\\b\\"c"} 1.5\n'
    series = TritonSeries()
    series.update(1, text)
    assert series.render(active=1) == text

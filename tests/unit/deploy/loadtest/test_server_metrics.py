"""What is read of a gateway's page of metrics."""

import pytest

from deploy.loadtest.server.metrics import Page, Sums, page_of

PAGE = """# TYPE qface_gateway_request_seconds histogram
qface_gateway_request_seconds_bucket{model="photo",outcome="answered",le="+Inf"} 4.0
qface_gateway_request_seconds_count{model="photo",outcome="answered"} 4.0
qface_gateway_request_seconds_sum{model="photo",outcome="answered"} 2.0
qface_gateway_request_seconds_count{model="photo",outcome="failed"} 1.0
qface_gateway_request_seconds_sum{model="photo",outcome="failed"} 9.0
# TYPE qface_gateway_queue_seconds histogram
qface_gateway_queue_seconds_bucket{model="photo",le="+Inf"} 5.0
qface_gateway_queue_seconds_count{model="photo"} 5.0
qface_gateway_queue_seconds_sum{model="photo"} 1.0
# TYPE qface_gateway_refused counter
qface_gateway_refused_total{model="photo",reason="overload"} 3.0
qface_gateway_refused_total{model="",reason="overload"} 2.0
qface_gateway_refused_total{model="photo",reason="rate"} 1.0
# TYPE qface_gateway_in_flight_limit gauge
qface_gateway_in_flight_limit 12.0
# TYPE qface_gateway_backend_generation gauge
qface_gateway_backend_generation 2.0
# TYPE nv_inference_count counter
nv_inference_count{model="photo",version="1"} 7.0
"""


def page(text: str = PAGE) -> Page:
    found = page_of(text)
    assert found is not None
    return found


def test_a_page_gives_times_by_model_and_refusals_by_reason() -> None:
    read = page()
    assert read.answered["photo"].mean_ms == pytest.approx(500)
    assert read.queue["photo"].mean_ms == pytest.approx(200)
    assert read.refused == {"overload": 5, "rate": 1}
    assert (read.in_flight_limit, read.generation) == (12, 2)


def test_a_difference_has_what_was_counted_since() -> None:
    later = page(
        PAGE.replace('reason="rate"} 1.0', 'reason="rate"} 4.0')
        .replace(
            'seconds_count{model="photo",outcome="answered"} 4.0',
            'seconds_count{model="photo",outcome="answered"} 6.0',
        )
        .replace("limit 12.0", "limit 9.0")
    )
    since = later - page()
    assert since.refused == {"rate": 3}
    assert since.answered["photo"] == Sums(seconds=0, count=2)
    assert since.in_flight_limit == 9
    assert not since.went_back
    assert (page() - later).went_back


def test_a_page_of_another_program_is_none() -> None:
    assert page_of('# TYPE nv_inference_count counter\nnv_inference_count{model="photo"} 7.0\n') is None


def test_what_is_no_page_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        page_of("<html>not here</html>")

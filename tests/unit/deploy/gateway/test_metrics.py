"""What the gateway counts and shows to Prometheus."""

import asyncio

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability import metrics as module
from deploy.gateway.observability.metrics import OTHERS, Metrics
from deploy.gateway.work import Cost, Ending, Ticket, Work

SUCCESSES = 'nv_inference_request_success{{model="m",version="1"}} {count}\n'
PAGE = "# HELP nv_inference_request_success n\n# TYPE nv_inference_request_success counter\n" + SUCCESSES


class Admission:
    waiting, waiting_bytes, in_flight, limit, oldest_wait = 3, 4096, 5, 8.5, 0.25


class Backend:
    def __init__(self, generation: int, page: str = "") -> None:
        self.generation = generation
        self.served = ServedModels(
            generation=generation, server_metadata=b"", configs={"m": b"", "n": b""}, metadata={}
        )
        self.page = page
        self.failure: Exception | None = None
        self.delay = 0.0

    async def scrape(self) -> str:
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        return self.page


class Pool:
    standby_ready = False

    def __init__(self, active: Backend | None = None, ill: tuple[str | None, ...] = ()) -> None:
        self.active = active
        self.ill = ill

    def health(self, model: str | None = None) -> tuple[bool, str]:
        return (False, "ill") if model in self.ill else (True, "")


def finish(
    metrics: Metrics,
    *,
    model: str = "m",
    client: str = "",
    ending: Ending = Ending.ANSWERED,
    code: grpc.StatusCode = grpc.StatusCode.OK,
    seconds: float = 0.2,
    queued: float = 0.02,
    faces: int = 1,
) -> None:
    metrics.finished(
        work=Work(model=model, cost=Cost(bytes=100), client=client),
        ticket=Ticket(number=1, backend=1, address="unix:none", queued_seconds=queued),
        ending=ending,
        code=code,
        seconds=seconds,
        faces=faces,
    )


def samples(metrics: Metrics) -> dict[str, float]:
    """The page as {'name{label="value",...}': value}."""
    text = asyncio.run(metrics.render()).decode()
    return {
        sample.name
        + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_answer_is_counted_with_its_time_and_faces() -> None:
    metrics = Metrics()
    finish(metrics, seconds=0.2, queued=0.02, faces=3)
    page = samples(metrics)
    assert page["qface_gateway_requests_total code=OK model=m outcome=answered"] == 1
    assert page["qface_gateway_admitted_total model=m"] == 1
    assert page["qface_gateway_faces_total model=m"] == 3
    assert page["qface_gateway_request_seconds_bucket le=0.1 model=m outcome=answered"] == 0
    assert page["qface_gateway_request_seconds_bucket le=0.25 model=m outcome=answered"] == 1
    assert page["qface_gateway_request_seconds_sum model=m outcome=answered"] == pytest.approx(0.2)
    assert page["qface_gateway_queue_seconds_bucket le=0.01 model=m"] == 0
    assert page["qface_gateway_queue_seconds_bucket le=0.025 model=m"] == 1


def test_faces_that_answers_leave_out_are_counted_by_their_model() -> None:
    metrics = Metrics()
    metrics.left_out("m", 2)
    metrics.left_out("m", 1)
    assert samples(metrics)["qface_gateway_faces_below_quality_total model=m"] == 3


def test_an_abandoned_request_counts_no_faces() -> None:
    metrics = Metrics()
    finish(metrics, ending=Ending.ABANDONED, code=grpc.StatusCode.CANCELLED, faces=2)
    page = samples(metrics)
    assert page["qface_gateway_requests_total code=CANCELLED model=m outcome=abandoned"] == 1
    assert page["qface_gateway_abandoned_total model=m"] == 1
    assert page["qface_gateway_faces_total model=m"] == 0


def test_refusals_are_counted_by_reason_and_are_no_admitted_requests() -> None:
    metrics = Metrics()
    metrics.refused("m", "queue_age")
    metrics.refused("", "unknown_model")
    page = samples(metrics)
    assert page["qface_gateway_refused_total model=m reason=queue_age"] == 1
    assert page["qface_gateway_refused_total model= reason=unknown_model"] == 1
    assert "qface_gateway_admitted_total model=m" not in page


def test_clients_are_counted_by_name_where_they_have_one() -> None:
    metrics = Metrics()
    finish(metrics)
    assert not any(name.startswith("qface_gateway_client_requests_total") for name in samples(metrics))
    finish(metrics, client="shop")
    assert samples(metrics)["qface_gateway_client_requests_total client=shop outcome=answered"] == 1


def test_clients_names_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CLIENTS", 2)
    metrics = Metrics()
    for client in ("a", "b", "c", "d", "a"):
        finish(metrics, client=client)
    page = samples(metrics)
    assert page["qface_gateway_client_requests_total client=a outcome=answered"] == 2
    assert page[f"qface_gateway_client_requests_total client={OTHERS} outcome=answered"] == 2
    assert "qface_gateway_client_requests_total client=c outcome=answered" not in page


def test_what_happens_to_the_tritons_is_counted() -> None:
    metrics = Metrics(restarts=2)
    for event in ("sick", "repaired", "swap_failed"):
        metrics.event(event)
    page = samples(metrics)
    assert page["qface_gateway_events_total event=sick"] == 1
    assert page["qface_gateway_events_total event=repaired"] == 1
    assert page["qface_gateway_repairs_total result=repaired"] == 1
    assert page["qface_gateway_repairs_total result=failed"] == 0
    assert page["qface_gateway_swaps_total result=failed"] == 1
    assert page["qface_gateway_swaps_total result=swapped"] == 0
    assert page["qface_gateway_restarts_total"] == 2


def test_gauges_are_read_at_the_scrape() -> None:
    metrics = Metrics()
    assert "qface_gateway_ready" not in samples(metrics)
    pool = Pool(Backend(7), ill=("n",))
    metrics.watch(Admission(), pool)
    page = samples(metrics)
    assert page["qface_gateway_in_flight"] == 5
    assert page["qface_gateway_waiting"] == 3
    assert page["qface_gateway_oldest_wait_seconds"] == 0.25
    assert page["qface_gateway_in_flight_limit"] == 8.5
    assert page["qface_gateway_backend_generation"] == 7
    assert page["qface_gateway_ready"] == 1
    assert page["qface_gateway_model_ready model=m"] == 1
    assert page["qface_gateway_model_ready model=n"] == 0
    pool.active, pool.ill = None, (None,)
    page = samples(metrics)
    assert page["qface_gateway_ready"] == 0
    assert "qface_gateway_backend_generation" not in page


def test_every_series_of_a_counter_ends_in_total_and_has_a_help_text() -> None:
    metrics = Metrics()
    metrics.watch(Admission(), Pool(Backend(1)))
    finish(metrics, client="shop")
    for family in text_string_to_metric_families(asyncio.run(metrics.render()).decode()):
        assert family.documentation, family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name


def test_tritons_series_stand_on_the_page() -> None:
    metrics = Metrics()
    metrics.watch(Admission(), Pool(Backend(1, PAGE.format(count=4))))
    assert SUCCESSES.format(count=4) in asyncio.run(metrics.render()).decode()


def test_tritons_series_go_on_after_a_repair() -> None:
    metrics = Metrics()
    first, second = Backend(1, PAGE.format(count=4)), Backend(2, PAGE.format(count=1))
    pool = Pool(first)
    metrics.watch(Admission(), pool)
    asyncio.run(metrics.scrape())
    first.failure, pool.active = ConnectionRefusedError("gone"), second
    for _ in range(2):
        assert SUCCESSES.format(count=5) in asyncio.run(metrics.render()).decode()


def test_a_triton_that_drains_is_still_read() -> None:
    metrics = Metrics()
    first, second = Backend(1, PAGE.format(count=4)), Backend(2, PAGE.format(count=1))
    pool = Pool(first)
    metrics.watch(Admission(), pool)
    asyncio.run(metrics.scrape())
    pool.active, first.page = second, PAGE.format(count=6)
    assert SUCCESSES.format(count=7) in asyncio.run(metrics.render()).decode()


@pytest.mark.parametrize("failure", [ConnectionRefusedError("gone"), ValueError("half a page"), EOFError()])
def test_a_triton_that_gives_no_series_leaves_the_page_whole(failure: Exception) -> None:
    metrics = Metrics()
    backend = Backend(1, PAGE.format(count=4))
    metrics.watch(Admission(), Pool(backend))
    asyncio.run(metrics.scrape())
    backend.failure = failure
    page = asyncio.run(metrics.render()).decode()
    assert "qface_gateway_in_flight 5" in page
    assert SUCCESSES.format(count=4) in page


def test_a_frozen_triton_does_not_hold_up_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCRAPE_SECONDS", 0.05)
    metrics = Metrics()
    backend = Backend(1)
    backend.delay = 3600.0
    metrics.watch(Admission(), Pool(backend))
    assert "qface_gateway_in_flight 5" in asyncio.run(metrics.render()).decode()


def test_the_reading_of_triton_s_series_goes_on_after_any_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOLLOW_SECONDS", 0.01)
    metrics = Metrics()
    backend = Backend(1, PAGE.format(count=4))
    pool = Pool()
    metrics.watch(Admission(), pool)
    del pool.active  # nobody expects this
    sentences: list[str] = []

    async def one_life() -> None:
        follower = asyncio.create_task(metrics.follow(sentences.append))
        await asyncio.sleep(0.1)
        pool.active = backend
        await asyncio.sleep(0.1)
        follower.cancel()
        backend.failure = ConnectionRefusedError("gone")

    asyncio.run(one_life())
    assert SUCCESSES.format(count=4) in asyncio.run(metrics.render()).decode()
    assert len(sentences) == 1
    assert "AttributeError" in sentences[0]


def test_the_last_series_of_a_triton_that_dies_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOLLOW_SECONDS", 0.01)
    metrics = Metrics()
    backend = Backend(1, PAGE.format(count=4))
    metrics.watch(Admission(), Pool(backend))

    async def one_life() -> bytes:
        follower = asyncio.create_task(metrics.follow())
        await asyncio.sleep(0.1)
        backend.failure = ConnectionRefusedError("gone")
        await asyncio.sleep(0.1)
        follower.cancel()
        return await metrics.render()

    assert SUCCESSES.format(count=4) in asyncio.run(one_life()).decode()

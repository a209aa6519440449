"""Where the time of a request went, from counters of the models on its way."""

from collections.abc import Mapping
from typing import Any

import pytest

from deploy.loadtest.server.metrics import Page, Sums
from deploy.loadtest.server.model_graph import ModelGraph
from deploy.loadtest.server.split import (
    BEHIND,
    BETWEEN,
    COPIES,
    GATEWAY,
    NETWORK,
    OUTSIDE,
    QUEUE,
    WAITING,
    Measured,
    split,
)
from deploy.loadtest.server.statistics import Counters


def counted(
    *, infer: float, requests: int = 10, queue: float = 0, copies: float = 0, whole: float | None = None
) -> Counters:
    """Of requests that took so many milliseconds each."""

    def total(milliseconds: float) -> int:
        return round(1e6 * milliseconds * requests)

    return Counters(
        requests=requests,
        whole=total(infer + queue + copies if whole is None else whole),
        queue=total(queue),
        copy_in=total(copies),
        infer=total(infer),
    )


def ensemble(*steps: tuple[str, str, str]) -> dict[str, Any]:
    """A configuration of steps (model, the tensors that it takes, those that it gives), a letter a tensor."""
    return {
        "ensemble_scheduling": {
            "step": [
                {
                    "model_name": model,
                    "input_map": {tensor: tensor for tensor in taken},
                    "output_map": {tensor: tensor for tensor in given},
                }
                for model, taken, given in steps
            ]
        }
    }


def graph_of(*models: str, **configs: Mapping[str, Any]) -> ModelGraph:
    return ModelGraph.read(models, lambda model: configs.get(model, {}))


CHAIN = ensemble(("pre", "i", "p"), ("engine", "p", "h"), ("post", "h", "o"))


def test_the_parts_of_an_ensemble_are_its_steps_and_add_up() -> None:
    spent = {
        "chain": counted(infer=0, whole=70),
        "pre": counted(infer=4, queue=1, copies=0.5),
        "engine": counted(infer=8, queue=2, copies=0.5),
        "post": counted(infer=50),
    }
    found = split(
        "chain", latency_ms=80, measured=Measured(spent=spent, graph=graph_of("chain", chain=CHAIN))
    )
    assert found.parts == pytest.approx(
        {QUEUE: 3, "pre": 4, "engine": 8, "post": 50, COPIES: 1, BETWEEN: 4, OUTSIDE: 10}
    )
    assert list(found.parts) == [QUEUE, "pre", "engine", "post", COPIES, BETWEEN, OUTSIDE]
    assert found.excess == pytest.approx(70 / 80)


def test_of_steps_side_by_side_the_longer_way_counts() -> None:
    fork = ensemble(("pre", "i", "p"), ("short", "p", "s"), ("long", "p", "l"), ("last", "sl", "o"))
    graph = graph_of("fork", fork=fork)
    spent = {
        "fork": counted(infer=0, whole=60),
        "pre": counted(infer=10),
        "short": counted(infer=5),
        "long": counted(infer=30),
        "last": counted(infer=20),
    }
    parts = split("fork", latency_ms=60, measured=Measured(spent=spent, graph=graph, bare=True)).parts
    assert parts == pytest.approx(
        {QUEUE: 0, "pre": 10, "long": 30, "last": 20, COPIES: 0, BETWEEN: 0, NETWORK: 0}
    )
    assert graph.beside("fork", spent) == ["short"]


def test_a_step_that_some_requests_need_counts_for_its_share() -> None:
    graph = graph_of("pair", pair=ensemble(("pre", "i", "p"), ("rare", "p", "o")))
    spent = {
        "pair": counted(infer=0, whole=15),
        "pre": counted(infer=5),
        "rare": counted(infer=100, requests=1),
    }
    parts = split("pair", latency_ms=20, measured=Measured(spent=spent, graph=graph)).parts
    assert (parts["pre"], parts["rare"]) == pytest.approx((5, 10))


def test_an_ensemble_within_an_ensemble_is_its_steps() -> None:
    configs = {"outer": ensemble(("chain", "i", "c"), ("last", "c", "o")), "chain": CHAIN}
    spent = {
        "outer": counted(infer=0, whole=40),
        "chain": counted(infer=0, whole=30),
        "pre": counted(infer=5),
        "engine": counted(infer=15),
        "post": counted(infer=10),
        "last": counted(infer=10),
    }
    graph = graph_of("outer", **configs)
    parts = split("outer", latency_ms=40, measured=Measured(spent=spent, graph=graph)).parts
    assert [parts[step] for step in ("pre", "engine", "post", "last")] == pytest.approx([5, 15, 10, 10])


PHOTO = {
    "photo_analysis": counted(infer=100),
    "face_engine": counted(infer=20, queue=10, requests=30),
    "face_analysis": counted(infer=0, whole=35),
}
OF_FACES = ensemble(("face_engine", "i", "o"))


def test_a_model_that_calls_the_engine_has_what_is_left_of_its_own_time() -> None:
    graph = graph_of("photo_analysis", "face_analysis", face_analysis=OF_FACES)
    # 10 of the engine's 30 requests are the ensemble's, so that a photo has two
    parts = split("photo_analysis", latency_ms=110, measured=Measured(spent=PHOTO, graph=graph)).parts
    assert parts == pytest.approx(
        {QUEUE: 20, "decode, find, crop": 40, "engine": 40, COPIES: 0, BETWEEN: 0, OUTSIDE: 10}
    )


def test_spans_tell_the_phases_of_a_model_apart() -> None:
    graph = graph_of("photo_analysis", "face_analysis", face_analysis=OF_FACES)
    phases = {"photo_analysis": {"decode": 0.05, "find": 0.2, "crop": 0.05, "postprocess": 0.02}}
    measured = Measured(spent=PHOTO, graph=graph, phases=phases)
    parts = split("photo_analysis", latency_ms=110, measured=measured).parts
    own = {"decode": 5, "find": 20, "crop": 5, "rest of photo_analysis": 8}
    expected = {QUEUE: 20, **own, "engine": 40, "postprocess": 2, COPIES: 0, BETWEEN: 0, OUTSIDE: 10}
    assert parts == pytest.approx(expected)
    assert list(parts) == list(expected)


def test_what_a_load_reaches_is_its_models_steps_and_what_they_call() -> None:
    outer = ensemble(("photo_analysis", "i", "c"), ("last", "c", "o"))
    graph = graph_of("outer", "other", outer=outer)
    assert graph.reached(["outer"]) == {"outer", "photo_analysis", "face_engine", "last"}
    assert graph.reached(["other"]) == {"other"}


def gateway_page(*, waited: float, whole: float, model: str = "chain") -> Page:
    """Milliseconds of ten requests."""
    return Page(
        queue={model: Sums(seconds=waited / 100, count=10)},
        answered={model: Sums(seconds=whole / 100, count=10)},
    )


def test_the_gateways_own_time_is_apart_from_the_network() -> None:
    spent = {"chain": counted(infer=0, whole=30), "pre": counted(infer=5), "engine": counted(infer=25)}
    chain = ensemble(("pre", "i", "p"), ("engine", "p", "h"))
    measured = Measured(
        spent=spent, graph=graph_of("chain", chain=chain), gateway=gateway_page(waited=20, whole=53)
    )
    parts = split("chain", latency_ms=60, measured=measured).parts
    assert parts == pytest.approx(
        {WAITING: 20, QUEUE: 0, "pre": 5, "engine": 25, COPIES: 0, BETWEEN: 0, GATEWAY: 3, NETWORK: 7}
    )


def test_the_gateway_alone_gives_what_it_knows() -> None:
    measured = Measured(spent={}, graph=graph_of(), gateway=gateway_page(waited=20, whole=53))
    parts = split("chain", latency_ms=60, measured=measured).parts
    assert parts == pytest.approx({WAITING: 20, BEHIND: 33, NETWORK: 7})


def test_parts_that_exceed_what_the_clients_measured_are_made_to_fit() -> None:
    spent = {"model": counted(infer=80, queue=40)}
    found = split("model", latency_ms=60, measured=Measured(spent=spent, graph=graph_of("model")))
    assert found.parts == pytest.approx({QUEUE: 20, "model": 40, COPIES: 0, BETWEEN: 0, OUTSIDE: 0})
    assert found.excess == pytest.approx(2)


def test_a_model_that_the_server_counted_nothing_of_has_no_parts() -> None:
    assert not split("model", latency_ms=60, measured=Measured(spent={}, graph=graph_of("model"))).parts

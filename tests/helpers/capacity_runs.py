"""A load test's run as the capacity model reads it: two closed loops on a server of two cores."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from deploy.loadtest.loads import ClosedLoop
from deploy.loadtest.results import Generator, Run, Server, Stage, Step, Window
from qface_client.measuring.histogram import Histogram

ALONE: Mapping[str, float] = {
    "client": 1.0,
    "gateway": 1.8,
    "tritonserver": 1.8,
    "photo_analysis": 12.0,
    "face_engine": 13.5,
}
BUSY: Mapping[str, float] = {
    "client": 0.6,
    "gateway": 1.5,
    "tritonserver": 1.2,
    "photo_analysis": 12.2,
    "face_detect": 0.3,  # the gateway's own look at whether it answers
    "face_engine": 12.4,
}
RATE, SECONDS = 60.0, 20.0


def stage(
    clients: int,
    *,
    rate: float,
    latency: float,
    core_ms: Mapping[str, float],
    batches: Mapping[str, tuple[int, float]],
    limit: str = "",
) -> Stage:
    """One of `clients` with this rate, whose answers took about `latency` seconds and show a face each."""
    answers = round(rate * SECONDS)
    seconds = latency * np.random.default_rng(clients).lognormal(-0.005, 0.1, size=answers)
    window = Window(
        begin=0.0,
        seconds=SECONDS,
        due=answers,
        ended=answers,
        faces=answers,
        codes={"OK": answers},
        latency={"photo": Histogram.of(seconds)},
    )
    steps = [
        Step(
            model=model, requests=answers, batch=1.0, queue=0.1, copy_in=0.0, infer=12.0, copy_out=0.0,
            infer_by_batch=by_batch,
        )
        for model, by_batch in (("photo_analysis", {}), ("face_engine", batches))
    ]  # fmt: skip
    return Stage(
        section="sweep",
        load=ClosedLoop(clients=clients),
        windows=(window,),
        warm_up=0,
        stable=True,
        generator=Generator(processes=1, late_p99=0.0, busiest=0.1, core_seconds=1.0, limit=limit),
        server=Server(steps=steps, core_ms=core_ms, in_flight_limit=12.0),
    )


def photo_run(
    *,
    alone: Mapping[str, float] = ALONE,
    busy: Mapping[str, float] = BUSY,
    limit: str = "",
    about: object = None,
) -> Run:
    """Photos of one face, as a machine of two cores answered them."""
    held = {
        "machine": {"cores": 2},
        "work": [{"kind": "photo", "share": 1.0, "bytes": 50_000, "answer_bytes": 10_000}],
    }
    stages = (
        stage(1, rate=32.0, latency=0.031, core_ms=alone, batches={"1": (640, 13.5)}),
        stage(
            16,
            rate=RATE,
            latency=0.26,
            core_ms=busy,
            batches={"1": (600, 20.0), "2": (300, 26.0)},
            limit=limit,
        ),
    )
    return Run(about=held if about is None else about, stages=stages)  # type: ignore[arg-type]


def without(run: Run, clients: int) -> Run:
    """The same without one of its stages."""
    kept = tuple(each for each in run.stages if each.load != ClosedLoop(clients=clients))
    return dataclasses.replace(run, stages=kept)

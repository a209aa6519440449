"""The fault that shows no error: two labels change places in the next version of a network."""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from build.manifest import read_manifest
from build.precisions import FULL_PRECISION
from build.serving_plan import ServingPlan, recorded_plan
from build.stages.repository import assemble
from deploy.benchmark.faults.fault import Fault, Scene
from deploy.benchmark.load.clients import MakeSender
from deploy.benchmark.load.labelling import Naming, Truth, exchanged, labelling_clients
from deploy.benchmark.load.mix import CROPS
from deploy.benchmark.load.sample_requests import picture
from deploy.measuring.processes import model_names
from runtime.contract import Contract

_CROP = picture(99, size=64)
_ANSWERS = 50  # with each repository
_DEADLINE = 60.0  # seconds of a FaceClient's call
_CONTRACT = "contract"  # the key in a network's metadata


def faults() -> Iterator[Fault]:
    exchange = _LabelExchange()
    yield Fault(
        "swap that exchanges two labels, and back",
        exchange.happen,
        prepare=exchange.prepare,
        clients=exchange.clients,
    )


class _LabelExchange:
    """Clients name labels all the while; one under the other's number is a wrong answer."""

    def __init__(self) -> None:
        self._naming: Naming | None = None
        self._truth: Truth = {}
        self._next = Path()

    def prepare(self, scene: Scene) -> None:
        """Assembles the next version: the same network, by a contract with two labels exchanged."""
        plan = recorded_plan(scene.repository)
        precision = read_manifest(scene.repository)["stages"]["engine"].get("precision")
        if plan.engine is not None or precision != FULL_PRECISION:
            # A built engine has its contract in it, so the exported network is used. The exchanged one is
            # served in full precision, as nothing shows that a lower one is right for it: so is this one.
            weights = plan.weights if plan.engine is None else ServingPlan().weights
            plan = dataclasses.replace(plan, engine=None, weights=weights, precision=FULL_PRECISION)
            scene.gateway.swap(assemble(plan, output=scene.kept / "exported"))
        self._naming = naming = Naming(scene.gateway.grpc_address, task=_task(scene), crop=_CROP)
        contract, numbers = naming.contract(), naming.numbers()
        labels = naming.labels(contract)
        pair = labels[numbers.index(max(numbers))], labels[numbers.index(min(numbers))]
        self._truth = naming.truth(contract, exchanged(contract, naming.task, *pair))
        weights = scene.kept / "exchanged.onnx"
        _write_exchanged(plan.weights, weights, task=naming.task, pair=pair)
        self._next = assemble(dataclasses.replace(plan, weights=weights), output=scene.kept / "exchanged")

    def clients(self, scene: Scene) -> Sequence[MakeSender]:
        assert self._naming is not None
        return labelling_clients(self._naming, self._truth, clients=scene.clients, deadline=_DEADLINE)

    def happen(self, scene: Scene) -> float:
        """There by a swap, and back by a rollback; in its long form there and back once more."""
        assert self._naming is not None
        before = self._naming.contract().hash
        began = time.monotonic()
        scene.gateway.swap(self._next)
        whole = time.monotonic() - began + scene.whole(models=model_names(self._next))
        for turn in range(1 if scene.quick else 3):
            now = self._naming.contract().hash
            assert (now == before) == (turn % 2 == 1), "another contract is served than was swapped to"
            scene.wait_for(_ANSWERS)
            scene.gateway.rollback()
        scene.wait_for(_ANSWERS)
        answered = {outcome.model for outcome in scene.load.outcomes}
        scene.notes.append(f"{sum(scene.load.summary.ends.values())} named answers of {len(answered)} sorts")
        return whole


def _task(scene: Scene) -> str:
    """One that is answered with a probability for each label."""
    outputs = {tensor.name for tensor in scene.samples.configs[CROPS].output}
    contract = Contract.parse(json.loads(scene.samples.configs[CROPS].parameters[_CONTRACT].string_value))
    return next(name for name in contract.names if f"{name}_probabilities" in outputs)


def _write_exchanged(source: Path, target: Path, *, task: str, pair: tuple[str, str]) -> None:
    """The network as it is, with another contract in its metadata."""
    model = onnx.load(source)
    for entry in model.metadata_props:
        if entry.key == _CONTRACT:
            entry.value = exchanged(Contract.parse(json.loads(entry.value)), task, *pair).to_text()
    onnx.save(model, target)

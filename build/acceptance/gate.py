"""The acceptance gate refuses an engine that is not what it is called, or answers otherwise than torch."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from build.acceptance.file_size import size_fault
from build.acceptance.layers import LayerShares, layer_fault
from build.acceptance.parity_check import answer_fault
from build.acceptance.task_metrics import Metrics, metric_fault
from build.errors import BuildError
from runtime.contract import Contract


class GateError(BuildError):
    """An engine that must not be served; `report` is all that was measured of it."""

    def __init__(self, message: str, *, report: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.report = report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurements:
    """What is known of a built engine."""

    precision: str
    layers: LayerShares
    size: int | None  # of its files in bytes; None where its precision does not show in them
    parameters: int
    differences: Mapping[str, Mapping[str, float]]  # from torch: batch size -> output -> in its unit
    metrics: Mapping[str, Metrics] = dataclasses.field(default_factory=dict)  # of torch and the engine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What each check of the gate found: a fault, or None."""

    layers: str | None = None
    size: str | None = None
    answers: str | None = None
    metrics: str | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """All faults; none where the engine is accepted."""
        return tuple(fault for fault in (self.layers, self.size, self.answers, self.metrics) if fault)

    @property
    def accepted(self) -> bool:
        """Whether the engine may be served."""
        return not self.faults


def check(measured: Measurements, *, contract: Contract) -> Verdict:
    """The verdict on an engine of a network with this contract."""
    precision = measured.precision
    return Verdict(
        layers=layer_fault(measured.layers, precision=precision),
        size=None
        if measured.size is None
        else size_fault(measured.size, parameters=measured.parameters, precision=precision),
        answers=answer_fault(measured.differences, contract=contract, precision=precision),
        metrics=metric_fault(measured.metrics),
    )

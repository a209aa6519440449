"""Which models a request passes: the steps of an ensemble, and those that a model calls itself."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploy.loadtest.server.statistics import Counters
from deploy.loadtest.server.step_names import called_model

_RARE = 0.1  # share of the requests


@dataclasses.dataclass(frozen=True, kw_only=True)
class Visit:
    """A model on a request's way.

    share       requests to it for one request of the whole: less than 1 where not every request needs it
    within      the visited model that calls this one while it computes; None: Triton calls it
    """

    model: str
    share: float
    within: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnsembleStep:
    """One step of an ensemble, and the steps before it whose tensors it takes, by their numbers."""

    model: str
    after: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelGraph:
    """How the models of a server hang together.

    ensembles   the steps of each
    calls       a model -> the one that it calls while it computes
    """

    ensembles: Mapping[str, Sequence[EnsembleStep]]
    calls: Mapping[str, str]

    @classmethod
    def read(cls, models: Sequence[str], config: Callable[[str], Mapping[str, Any]]) -> "ModelGraph":
        """Of these models and all that they need; ConnectionError where a configuration can't be had."""
        ensembles: dict[str, Sequence[EnsembleStep]] = {}
        calls: dict[str, str] = {}
        waiting, seen = list(models), set[str]()
        while waiting:
            if (model := waiting.pop()) in seen:
                continue
            seen.add(model)
            found = config(model)
            if steps := found.get("ensemble_scheduling", {}).get("step", ()):
                ensembles[model] = _steps(steps)
                waiting += [step.model for step in ensembles[model]]
            elif (called := called_model(model, found)) is not None:
                calls[model] = called
        return cls(ensembles=ensembles, calls=calls)

    def visits(self, model: str, spent: Mapping[str, Counters]) -> list[Visit]:
        """The models that a request's time is spent in, in the order in which it reaches them.

        Of an ensemble's steps side by side those are left out that a longer one hides.
        """
        return self._visits(model, 1.0, spent)

    def beside(self, model: str, spent: Mapping[str, Counters]) -> list[str]:
        """The steps that `visits` leaves out though many requests needed them."""
        kept = {visit.model for visit in self.visits(model, spent)}
        return sorted(step for step in self._below(model) - kept if self._share(step, spent) > _RARE)

    def reached(self, models: Sequence[str]) -> set[str]:
        """These models and all that their requests may pass."""
        further = {self.calls[model] for model in models if model in self.calls}
        for model in models:
            further |= self._below(model)
        return {*models} | (self.reached(sorted(further)) if further else set())

    def _visits(self, model: str, share: float, spent: Mapping[str, Counters]) -> list[Visit]:
        if model in self.ensembles:
            branches = [
                self._visits(step.model, share * self._share(step.model, spent), spent)
                for step in self.ensembles[model]
            ]
            return [visit for number in self._longest(model, branches, spent) for visit in branches[number]]
        own = [Visit(model=model, share=share)]
        if (called := self.calls.get(model)) is not None:
            own.append(Visit(model=called, share=share * self._calls_of(model, called, spent), within=model))
        return own

    def _longest(
        self, model: str, branches: Sequence[Sequence[Visit]], spent: Mapping[str, Counters]
    ) -> list[int]:
        """The numbers of the steps on the way through the ensemble that takes longest, in order."""
        steps = self.ensembles[model]
        best: dict[int, tuple[float, list[int]]] = {}

        def way_to(number: int) -> tuple[float, list[int]]:
            if number not in best:
                before = max((way_to(each) for each in steps[number].after), default=(0.0, []))
                best[number] = (before[0] + _milliseconds(branches[number], spent), [*before[1], number])
            return best[number]

        return max((way_to(number) for number in range(len(steps))), default=(0.0, []))[1]

    def _share(self, step: str, spent: Mapping[str, Counters]) -> float:
        """Requests to a step for each request to an ensemble that has it."""
        wanted = self._wanted(step, spent)
        return min(1.0, _requests(step, spent) / wanted) if wanted else 0.0

    def _calls_of(self, model: str, called: str, spent: Mapping[str, Counters]) -> float:
        """Calls of one request: what the ensembles did not ask for."""
        own = _requests(model, spent)
        return max(0.0, _requests(called, spent) - self._wanted(called, spent)) / own if own else 0.0

    def _wanted(self, step: str, spent: Mapping[str, Counters]) -> float:
        """Requests to the ensembles that have this step."""
        return sum(
            _requests(ensemble, spent)
            for ensemble, steps in self.ensembles.items()
            for each in steps
            if each.model == step
        )

    def _below(self, model: str) -> set[str]:
        steps = {step.model for step in self.ensembles.get(model, ())}
        return steps | {each for step in steps for each in self._below(step)}


def _steps(steps: Sequence[Mapping[str, Any]]) -> Sequence[EnsembleStep]:
    makers = {
        tensor: number for number, step in enumerate(steps) for tensor in step.get("output_map", {}).values()
    }
    return [
        EnsembleStep(
            model=step["model_name"],
            after=tuple(
                sorted({makers[tensor] for tensor in step.get("input_map", {}).values() if tensor in makers})
            ),
        )
        for step in steps
    ]


def _requests(model: str, spent: Mapping[str, Counters]) -> float:
    return float(spent[model].requests) if model in spent else 0.0


def _milliseconds(visits: Sequence[Visit], spent: Mapping[str, Counters]) -> float:
    return sum(
        visit.share * spent[visit.model].mean("whole")
        for visit in visits
        if visit.within is None and visit.model in spent
    )

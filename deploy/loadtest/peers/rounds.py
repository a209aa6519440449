"""A tool's load and ours of the same form in turns, so that a slower minute of the machine meets both."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from deploy.loadtest.loads import Load
from deploy.loadtest.peers.comparison import Figures, differences, medians, of_measured, of_stage
from deploy.loadtest.peers.tool import Form, Measured, Plan, Tool, ToolError
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.results import Peer, Stage
from deploy.loadtest.work.question import Question

# Puts a load on and returns what it measured.
Ours = Callable[[Sequence[Question], Load], Stage]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """What all rounds of a form gave."""

    peer: Peer
    stages: Sequence[Stage]


def compare(
    tool: Tool, form: Form, *, version: str, target: Target, plan: Plan, ours: Ours, rounds: int
) -> Compared:
    """Measures a form in rounds, who begins alternates; the peer's figures are medians.

    A round in which the tool fails is a note; ToolError where it fails in all.
    """
    theirs: list[Measured] = []
    stages: list[Stage] = []
    variants: list[Stage] = []

    failed: list[ToolError] = []

    def measure_tool() -> None:
        try:
            theirs.append(tool.measure(form, target, plan))
        except ToolError as error:
            failed.append(error)

    def measure_ours() -> None:
        stages.append(ours(form.questions, form.load))
        if form.variant:
            variants.append(ours(form.variant, form.load))

    for number in range(rounds):
        first, second = (measure_ours, measure_tool) if number % 2 == 0 else (measure_tool, measure_ours)
        first()
        second()
    if not theirs:
        raise failed[-1]
    chosen = sorted(theirs, key=lambda each: each.rate)[len(theirs) // 2]
    rounds_of_theirs = [of_measured(each) for each in theirs]
    rounds_of_ours = [of_stage(stage) for stage in stages]
    middle = medians(rounds_of_theirs)
    return Compared(
        peer=Peer(
            tool=version,
            scenario=form.scenario,
            kind=form.kind,
            beside=form.load.name,
            rate=middle["rate"],
            percentiles={name: value for name, value in middle.items() if name != "rate"},
            command=chosen.command,
            valid=_verdict([each.valid for each in theirs]),
            notes=(
                *((f"{len(failed)} of {rounds} rounds failed: {failed[-1]}",) if failed else ()),
                *differences(rounds_of_theirs, rounds_of_ours, reasons=tool.reasons(form, plan)),
                *_own_cost(theirs, stages),
                *_variant(form, [of_stage(stage) for stage in variants], rounds_of_ours),
                *chosen.notes,
            ),
        ),
        stages=(*stages, *variants),
    )


def _verdict(verdicts: Sequence[str]) -> str:
    counted = Counter(verdicts)
    if len(counted) == 1:
        return verdicts[0]
    return "; ".join(f"{number} of {len(verdicts)} rounds: {verdict}" for verdict, number in counted.items())


def _own_cost(theirs: Sequence[Measured], stages: Sequence[Stage]) -> Sequence[str]:
    """What the generators themselves take from the processors, which they share with a server beside them."""
    answers = [sum(window.ended for window in stage.windows) for stage in stages]
    if not all(answers) or not all(each.core_ms for each in theirs):
        return ()
    own = statistics.median(
        1e3 * stage.generator.core_seconds / count for stage, count in zip(stages, answers, strict=True)
    )
    tool = statistics.median(each.core_ms for each in theirs)
    return (f"its processes took {tool:.1f} core-ms an answer, our generator's {own:.1f}",)


def _variant(form: Form, variant: Sequence[Figures], same: Sequence[Figures]) -> Sequence[str]:
    if not variant:
        return ()
    named, plain = medians(variant), medians(same)

    def stated(figures: Mapping[str, float]) -> str:
        return f"{figures['rate']:.1f} answers/s, p50 {1e3 * figures['p50']:.1f} ms"

    return (
        f"ours of {form.kind!r}, which the tool sends: {stated(plain)}; "
        f"of {form.variant[0].kind!r}: {stated(named)}",
    )

"""Builds an engine from the network at its precision, and proves that it is what it is called.

    python -m build.stages.compile var/build/qface-tiny/tensorrt-fp16/precision --output DIR

The directory is what `build.stages.precision` left: the network, and real faces with torch's answers. So this
step needs neither torch nor the checkpoint, and runs inside the serving container. An engine whose
layers, size or answers are not those of its precision is refused; what was measured of it is recorded
all the same. manifest.json beside the engine says all that is known of it.
"""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from build import machine
from build.acceptance import gate
from build.acceptance.parity import tolerances
from build.acceptance.reference import REFERENCE, load_reference
from build.backends import backend_of
from build.backends.base import BuildOptions, Infer, LoweredNetwork
from build.cli import told
from build.errors import BuildError
from build.files import ROOT, link_or_copy, sha256_of_file
from build.manifest import git_revision, package_versions
from build.precisions import format_of
from build.serving.batches import COMPARED_BATCHES, MAX_BATCH
from build.stages.stage import Say, listing

MANIFEST = "manifest.json"
# The network as it was exported travels along: a repository takes its interface from it, and runs it on
# the CPU beside a GPU's engine.
EXPORTED = "exported.onnx"
# How much worse than torch an engine may be on labelled faces: a share of right answers, an area under
# a curve; in years or degrees; and in parts of a face's size, by which landmarks are measured.
SCORE_LOSS = 0.01
ERROR_GAIN = 0.1
POINT_GAIN = 0.002
_GAINS = {
    "normalized_mean_error": POINT_GAIN,
    "box_normalized_error": POINT_GAIN,
    "failure_rate": SCORE_LOSS,
    "expected_calibration_error": SCORE_LOSS,
}
_NO_METRIC = ("faces", "trivial")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How an engine is built and measured."""

    max_batch: int = MAX_BATCH  # the largest batch of the optimisation profile
    threads: int = 0  # of a CPU engine; 0: every core
    checkpoint: Path | None = None  # measures torch beside the engine; None: no speed is measured
    labelled: Path | None = None  # a folder of prepared sets: task metrics are compared too
    rounds: int = 5  # of the speed measurement; 0: none
    seconds: float = 1.0  # of each way in each round

    def __post_init__(self) -> None:
        self.build_options()  # refuses what can't be built or served
        if self.rounds < 0 or not 0 < self.seconds < math.inf:
            raise BuildError("rounds must be 0 (no speed) or more, and seconds above 0")
        if self.checkpoint is not None and not self.checkpoint.is_file():
            raise BuildError(f"there is no checkpoint {self.checkpoint}: name one that exists")
        if self.labelled is not None and not any(self.labelled.glob("*/manifest.json")):
            raise BuildError(
                f"there is no prepared set under {self.labelled}: run `python -m training.data prepare`, or "
                "name another folder with --labelled"
            )

    def build_options(self, *, timing_cache: Path | None = None) -> BuildOptions:
        """What of it the backend needs."""
        return BuildOptions(threads=self.threads, max_batch=self.max_batch, timing_cache=timing_cache)

    def inputs(self) -> dict[str, Any]:
        """What decides the step's result, as JSON."""
        said = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        if self.checkpoint is not None:
            said["checkpoint"] = sha256_of_file(self.checkpoint)
        if self.labelled is not None:
            said["labelled"] = listing(self.labelled)
        return said

    def options(self) -> str:
        """As words of a command line, those that are not the default."""
        default = BuildSettings()
        words = ""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != getattr(default, field.name):
                words += f" --{field.name.replace('_', '-')} {value}"
        return words


def prove(
    source: Path,
    lowered: Mapping[str, Any],
    *,
    settings: BuildSettings,
    place: Path,
    timing_cache: Path | None,
    say: Say,
) -> dict[str, Any]:
    """Builds the engine into `place`, measures it and writes manifest.json beside it; answers that.

    `lowered` is the report of the precision step in `source`. Raises GateError (its report is the
    manifest) when the engine is not what it is called or answers otherwise than torch.
    """
    target, precision, contract = lowered["target"], lowered["precision"], lowered["contract"]
    backend = backend_of(target, precision)
    reference = load_reference(source / REFERENCE)
    say(f"  building for {target} in {precision}")
    engine = backend.build(
        LoweredNetwork(
            network=source / lowered["network"], files={name: source / name for name in lowered["files"]}
        ),
        precision=precision,
        directory=place,
        options=settings.build_options(timing_cache=timing_cache),
        log=say,
    )
    infer, judged = engine.infer, "the engine"
    if infer is None:
        infer, judged = _stand_in(source / lowered["network"], precision)
    listed = [kept["name"] for kept in lowered["kept"] if kept["listed"]]
    found = gate.shares(engine.layers, kept=listed)
    size = sum(path.stat().st_size for path in engine.files.values())
    manifest: dict[str, Any] = {
        "target": target,
        "precision": precision,
        "files": {name: sha256_of_file(path) for name, path in engine.files.items()},
        "bytes": size,
        "layers": {"counts": found.counts, "kept": found.kept, "from": engine.layers_from},
        "kept": lowered["kept"],
        "settings": dict(engine.settings),
        "versions": package_versions() | dict(engine.versions),
        "machine": machine.describe(),
        "needs": engine.needs,
        "trained": lowered["trained"],
        "tolerances": tolerances(contract, precision=precision),
        "tolerated_fp32_share": gate.FULL_SHARE,
        "onnx": lowered["onnx"],
        "exported": lowered["exported"],
        "contract": contract["hash"],
        "details": lowered["details"],
        "git_revision": git_revision(ROOT),
    }
    say(f"  comparing {judged} with torch on {len(reference.pixels)} crops of faces")
    by_batch = gate.parity(
        contract,
        infer=infer,
        pixels=reference.pixels,
        expected=reference.answers,
        precision=precision,
        batches=COMPARED_BATCHES,
    )
    manifest["parity"] = {"of": judged, "faces": len(reference.pixels), "by_batch": by_batch}
    if settings.labelled is not None:
        manifest["metrics"] = _metrics(infer, contract, settings, say=say)
    faults = [
        gate.layer_fault(found, precision=precision),
        gate.size_fault(size, parameters=lowered["parameters"], precision=precision)
        if backend.precision_is_in_file(precision)
        else None,
        gate.parity_fault(by_batch, contract=contract, precision=precision),
        _metric_fault(manifest.get("metrics", {})),
    ]
    if fault := "; ".join(said for said in faults if said):
        raise gate.GateError(
            f"the {target} engine in {precision} is refused: {fault}; choose another precision",
            report=manifest,
        )
    if engine.infer is not None and settings.checkpoint is not None and settings.rounds:
        from build.acceptance.speed import measure

        say("  measuring its speed beside torch's")
        manifest["speed"] = measure(
            settings.checkpoint,
            engine.infer,
            rounds=settings.rounds,
            seconds=settings.seconds,
            device=backend.torch_device,
        )
    link_or_copy(source / EXPORTED, place / EXPORTED)
    (place / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _stand_in(network: Path, precision: str) -> tuple[Infer, str]:
    """What is judged where the engine can't run: the very network that it was built from."""
    from build.lowering.rounding import rounded

    how = "" if format_of(precision).full else f", every tensor rounded as in {precision}"
    return rounded(network), f"the network that the engine was built from (ONNX Runtime on the CPU{how})"


def _metrics(
    infer: Infer, contract: Mapping[str, Any], settings: BuildSettings, *, say: Say
) -> dict[str, Any]:
    """Each task's metrics on labelled faces, the engine's beside torch's."""
    if settings.checkpoint is None or settings.labelled is None:
        raise BuildError("metrics are compared with torch's: name the checkpoint with --checkpoint")
    from training.data.prepared.face_set import prepared_sets
    from training.evaluation.evaluate import evaluate, summary
    from training.evaluation.predictors import checkpoint_predictor

    say(f"  measuring the tasks on the labelled faces of {settings.labelled}")
    try:
        sets = prepared_sets(settings.labelled)
        measured = {
            name: summary(
                evaluate(answer, contract["tasks"], sets, input_size=contract["input_size"], bootstrap=0)
            )
            for name, answer in (
                ("torch", checkpoint_predictor(settings.checkpoint).predict),
                ("engine", infer),
            )
        }
    except ValueError as error:
        raise BuildError(str(error)) from None
    return measured


def _metric_fault(metrics: Mapping[str, Any]) -> str | None:
    """Which metrics the engine worsens by more than is forgiven, or None."""
    if not metrics:
        return None
    from training.evaluation.metrics import less_is_better

    faults = []
    for name, by_metric in metrics.get("torch", {}).items():
        for metric, expected in by_metric.items():
            got = metrics["engine"][name].get(metric, math.nan)
            if metric in _NO_METRIC:
                continue
            if less_is_better(metric):
                if not got <= expected + _GAINS.get(metric, ERROR_GAIN):
                    faults.append(f"{metric} of {name} rises from {expected:.3f} to {got:.3f}")
            elif not got >= expected - SCORE_LOSS:
                faults.append(f"{metric} of {name} falls from {expected:.4f} to {got:.4f}")
    return "; ".join(faults) or None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    from build.pipeline import engine_step
    from build.stages.stage import perform

    parser = argparse.ArgumentParser(
        prog="python -m build.stages.compile", description=__doc__.splitlines()[0]
    )
    parser.add_argument("network", type=Path, help="the directory that build.stages.precision left")
    parser.add_argument("--output", type=Path, required=True, help="the directory for engine and manifest")
    add_build_options(parser)
    parser.add_argument("--checkpoint", type=Path, help="measure the speed beside this checkpoint in torch")
    options = parser.parse_args(arguments)

    def build() -> int:
        step = engine_step(
            options.network,
            directory=options.output,
            settings=build_settings(options, checkpoint=options.checkpoint),
            timing_cache=options.output.parent / "timing.cache",
            say=print,
        )
        perform(step, say=print)
        return 0

    return told("build.stages.compile", build)


def build_settings(options: argparse.Namespace, *, checkpoint: Path | None) -> BuildSettings:
    """What the options of `add_build_options` say; BuildError for values that can't be."""
    return BuildSettings(
        max_batch=options.max_batch,
        threads=options.threads,
        checkpoint=checkpoint,
        labelled=options.labelled,
        rounds=options.rounds,
        seconds=options.seconds,
    )


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """The options of BuildSettings, but for the checkpoint."""
    default = BuildSettings()
    parser.add_argument(
        "--max-batch", type=int, default=default.max_batch, help="the largest batch of the engine's profile"
    )
    parser.add_argument("--threads", type=int, default=default.threads, help="cores of a CPU engine (0: all)")
    parser.add_argument("--labelled", type=Path, help="compare task metrics on the sets prepared here")
    parser.add_argument(
        "--rounds", type=int, default=default.rounds, help="of the speed measurement (0: none)"
    )
    parser.add_argument(
        "--seconds", type=float, default=default.seconds, help="of each way in each of these rounds"
    )


if __name__ == "__main__":
    sys.exit(main())

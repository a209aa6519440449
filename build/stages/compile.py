"""Builds an engine from the network at its precision, and proves that it is what it is called.

    python -m build.stages.compile var/build/qface-tiny/tensorrt-fp16/precision --output DIR

The directory is what `build.stages.precision` left: the network, and real faces with torch's answers. So this
step needs neither torch nor the checkpoint, and runs inside the serving container. An engine whose
layers, size or answers are not those of its precision is refused; what was measured of it is recorded
all the same. manifest.json beside the engine records everything that is known of it.
"""

import dataclasses
import functools
import json
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from build import machine
from build.acceptance import gate
from build.acceptance.layers import TOLERATED_FP32_SHARE, layer_shares
from build.acceptance.parity import tolerances
from build.acceptance.parity_check import differences_by_batch
from build.acceptance.reference import REFERENCE, load_reference
from build.acceptance.task_metrics import measure_tasks
from build.backends import backend, backend_of, module_of
from build.backends.base import Backend, BuildOptions, Infer, LoweredNetwork
from build.cli import run_cli
from build.errors import BuildError
from build.files import ROOT, link_or_copy, sha256_of_file
from build.manifest import git_revision, package_versions
from build.options import argument, from_options, option, parser_of
from build.precisions import format_of
from build.serving.batching_and_queues import COMPARED_BATCHES, MAX_BATCH
from build.stages.artifacts import ENGINE_MANIFEST, EXPORTED, EngineReport, PrecisionReport
from build.stages.stage import Finished, Log, Stage, finished, listing, perform
from runtime.contract import Contract


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How an engine is built and measured."""

    max_batch: int = option(help="the largest batch of the engine's optimisation profile", default=MAX_BATCH)
    threads: int = option(help="cores of a CPU engine (0: all)", default=0)
    checkpoint: Path | None = option(
        help="measure the speed beside this checkpoint in torch (default: none is measured)", default=None
    )
    labelled: Path | None = option(help="compare task metrics on the sets prepared here", default=None)
    rounds: int = option(help="of the speed measurement (0: none)", default=5)
    seconds: float = option(help="of each way in each of these rounds", default=1.0)

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
        values = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        if self.checkpoint is not None:
            values["checkpoint"] = sha256_of_file(self.checkpoint)
        if self.labelled is not None:
            values["labelled"] = listing(self.labelled)
        return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompileStage(Stage[EngineReport]):
    """The network at a precision -> an engine and the proof of it."""

    name: ClassVar[str] = "engine"
    module: ClassVar[str] = "build.stages.compile"

    network: Path = argument(help="the directory that build.stages.precision left")
    directory: Path = option(flag="--output", help="the directory for engine and manifest")
    settings: BuildSettings = BuildSettings()
    timing_cache: Path | None = None  # what earlier builds timed; changes nothing but how long this one takes

    @property
    def title(self) -> str:
        report = self._lowered.report
        return f"{self.name} ({report['target']}, {report['precision']})"

    @property
    def registry_modules(self) -> Mapping[str, Collection[str]]:
        return {"build.backends": [module_of(self._lowered.report["target"])]}

    @property
    def _backend(self) -> Backend:
        return backend(self._lowered.report["target"])

    def inputs(self) -> Mapping[str, Any]:
        return {
            "network": self._lowered.outputs,
            "settings": self.settings.inputs(),
            "machine": machine.describe(),
            "versions": package_versions() | package_versions(*self._backend.packages),
            "code": self.code(),
        }

    def run(self, place: Path, *, log: Log) -> EngineReport:
        return prove(
            self.network,
            self._lowered.report,
            settings=self.settings,
            place=place,
            timing_cache=self.timing_cache,
            log=log,
        )

    @functools.cached_property
    def _lowered(self) -> Finished[PrecisionReport]:
        return finished(self.network, "precision", PrecisionReport)


def prove(
    source: Path,
    lowered: PrecisionReport,
    *,
    settings: BuildSettings,
    place: Path,
    timing_cache: Path | None,
    log: Log,
) -> EngineReport:
    """Builds the engine into `place`, measures it and writes manifest.json beside it; returns that manifest.

    `lowered` is the report of the precision step in `source`. Raises GateError (its report is the
    manifest) when the engine is not what it is called or answers otherwise than torch.
    """
    target, precision, contract = lowered["target"], lowered["precision"], Contract.parse(lowered["contract"])
    builder = backend_of(target, precision)
    reference = load_reference(source / REFERENCE)
    log(f"  building for {target} in {precision}")
    engine = builder.build(
        LoweredNetwork(
            network=source / lowered["network"], files={name: source / name for name in lowered["files"]}
        ),
        precision=precision,
        directory=place,
        options=settings.build_options(timing_cache=timing_cache),
        log=log,
    )
    infer, measured_on = engine.infer, "the engine"
    if infer is None:
        infer, measured_on = _stand_in(source / lowered["network"], precision)
    listed = [kept["name"] for kept in lowered["kept"] if kept["listed"]]
    shares = layer_shares(engine.layers, excluded=listed)
    size = sum(path.stat().st_size for path in engine.files.values())
    manifest: EngineReport = {
        "target": target,
        "precision": precision,
        "files": {name: sha256_of_file(path) for name, path in engine.files.items()},
        "bytes": size,
        "layers": {"counts": shares.counts, "kept": shares.excluded, "from": engine.layers_from},
        "kept": lowered["kept"],
        "settings": dict(engine.settings),
        "versions": package_versions() | dict(engine.versions),
        "machine": machine.describe(),
        "needs": engine.needs,
        "trained": lowered["trained"],
        "tolerances": tolerances(contract, precision=precision),
        "tolerated_fp32_share": TOLERATED_FP32_SHARE,
        "onnx": lowered["onnx"],
        "exported": lowered["exported"],
        "contract": contract.hash,
        "details": lowered["details"],
        "git_revision": git_revision(ROOT),
    }
    log(f"  comparing {measured_on} with torch on {len(reference.pixels)} crops of faces")
    by_batch = differences_by_batch(
        contract,
        infer=infer,
        pixels=reference.pixels,
        expected=reference.answers,
        precision=precision,
        batches=COMPARED_BATCHES,
    )
    manifest["parity"] = {"of": measured_on, "faces": len(reference.pixels), "by_batch": by_batch}
    if settings.labelled is not None:
        if settings.checkpoint is None:
            raise BuildError("metrics are compared with torch's: name the checkpoint with --checkpoint")
        manifest["metrics"] = measure_tasks(
            infer, contract, checkpoint=settings.checkpoint, labelled=settings.labelled, log=log
        )
    verdict = gate.check(
        gate.Measurements(
            precision=precision,
            layers=shares,
            size=size if builder.precision_is_in_file(precision) else None,
            parameters=lowered["parameters"],
            differences=by_batch,
            metrics=manifest.get("metrics", {}),
        ),
        contract=contract,
    )
    if not verdict.accepted:
        raise gate.GateError(
            f"the {target} engine in {precision} is refused: {'; '.join(verdict.faults)}; choose another "
            "precision",
            report=manifest,
        )
    if engine.infer is not None and settings.checkpoint is not None and settings.rounds:
        from build.acceptance.speed import measure

        log("  measuring its speed beside torch's")
        manifest["speed"] = measure(
            settings.checkpoint,
            engine.infer,
            rounds=settings.rounds,
            seconds=settings.seconds,
            device=builder.torch_device,
        )
    link_or_copy(source / EXPORTED, place / EXPORTED)
    (place / ENGINE_MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _stand_in(network: Path, precision: str) -> tuple[Infer, str]:
    """What is measured where the engine can't run: the very network that it was built from."""
    from build.lowering.gpu_rounding import rounded

    how = "" if format_of(precision).full else f", every tensor rounded as in {precision}"
    return rounded(network), f"the network that the engine was built from (ONNX Runtime on the CPU{how})"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of(CompileStage, program=CompileStage.module, description=__doc__)
    options = parser.parse_args(arguments)

    def build() -> int:
        timing_cache = options.directory.parent / "timing.cache"
        perform(from_options(CompileStage, options, timing_cache=timing_cache), log=print)
        return 0

    return run_cli(CompileStage.module, build)


if __name__ == "__main__":
    sys.exit(main())

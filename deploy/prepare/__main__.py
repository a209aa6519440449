"""Builds the engine for this deployment's own GPU once, and assembles its repository.

    python -m deploy.prepare --state /var/lib/q-face --target tensorrt --precision fp16
    python -m deploy.prepare --state /var/lib/q-face --target openvino

An init step or a Job, before the gateway starts with `--repository STATE/repository`. Everything lies below
the state folder, which several replicas may share: one works, the others wait and then use what it made. What
is right already is used as it is. Options that are not described here are those of build.stages.repository.

Exit status: 0 where the repository is there, 2 with one sentence for what can't work, 130 after Ctrl-C.
"""

import dataclasses
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from build.acceptance.precision_decision import precision_lines
from build.backends import default_backend, servable_backend
from build.backends.tensorrt_tools.gpus import gpu_versions
from build.cli import run_cli
from build.errors import BuildError
from build.machine import has_gpu
from build.manifest import read_manifest
from build.onnx_interface import read_graph
from build.options import from_options, option, parser_of
from build.precisions import AUTOMATIC, PRECISIONS, Precision
from build.serving.plan_overrides import PlanOverrides
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from build.stages.repository_files import LINK
from deploy.host.cuda import driver_fault, needed_cuda
from deploy.host.nvidia_smi import NvidiaSmiError, read_gpus
from deploy.prepare.engines import engine_for_this_machine
from deploy.prepare.lower import LOWERED

PROGRAM = "deploy.prepare"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the command prepares."""

    state: Path = option(help="the deployment's folder, for engines and repositories")
    lowered: Path = option(
        help="what `python -m deploy.prepare.lower` made where the image was built (default: var/lowered)",
        default=LOWERED,
    )
    overrides: PlanOverrides = PlanOverrides()


def prepare(inputs: Inputs) -> Path:
    """The repository, assembled. BuildError with one sentence where it can't be, and nothing half done."""
    try:
        return _prepare(inputs)
    except BuildError as error:
        if (full := _full_volume(error)) is None:
            raise
        size = _weights(inputs).stat().st_size
        raise BuildError(
            f"the volume of {inputs.state} is full ({full.strerror}), and nothing was changed: make room "
            f"for {6 * size // _MEBIBYTE + 64} MiB there, or name another folder with --state"
        ) from None


def _prepare(inputs: Inputs) -> Path:
    given = inputs.overrides
    if given.engine is None and not _runs_as_exported(given):
        target = _target(given)
        if servable_backend(target).device == "gpu":
            _check_driver()
        engine = engine_for_this_machine(
            read_graph(_weights(inputs)),
            target=target,
            precision=_precision(given, target=target),
            state=inputs.state,
            lowered=inputs.lowered,
            log=_log,
        )
        given = dataclasses.replace(given, weights=None, engine=engine, target=None, precision=None)
    elif given.engine is None and given.precision is None:
        # By its target alone it would be served in the default precision, not in the best accepted here.
        given = dataclasses.replace(given, precision=AUTOMATIC)
    return assemble(given.over(ServingPlan(), output=inputs.state), output=inputs.state)


def _check_driver() -> None:
    """BuildError where the driver is too old; where it can't be read, the build itself finds that out."""
    try:
        drivers = {gpu.driver for gpu in read_gpus()}
    except NvidiaSmiError:
        return
    for driver in drivers:
        if fault := driver_fault(driver, needed=needed_cuda(), library=gpu_versions().get("cuda")):
            raise BuildError(fault)


def _target(given: PlanOverrides) -> str:
    return given.target or default_backend("gpu" if has_gpu() else "cpu").name


def _runs_as_exported(given: PlanOverrides) -> bool:
    """Whether the CPU's default backend runs the exported network as it is, so that nothing is built."""
    exported = default_backend("cpu")
    return _target(given) == exported.name and given.precision in (
        None,
        AUTOMATIC,
        exported.default_precision,
    )


def _precision(given: PlanOverrides, *, target: str) -> Precision:
    if given.precision is None:
        return servable_backend(target).default_precision
    for precision in PRECISIONS:
        if precision == given.precision:
            return precision
    raise BuildError(
        f"the precision `{given.precision}` is for {default_backend('cpu').title}, which runs exported "
        "weights: name one, or none for the target's default"
    )


def _weights(inputs: Inputs) -> Path:
    return inputs.overrides.weights or ServingPlan().weights


def _full_volume(error: BaseException | None) -> OSError | None:
    """The system's error about a full volume behind a sentence of the build's; None where it is another."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error
        error = error.__context__
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring for what it returns."""
    parser = parser_of(Inputs, program=PROGRAM, description=__doc__)
    options = parser.parse_args(arguments)

    def run() -> int:
        try:
            inputs = from_options(Inputs, options)
        except ValueError as error:
            raise BuildError(str(error)) from None
        repository = prepare(inputs)
        for line in precision_lines(read_manifest(repository)):
            _log(line)
        _log(f"{inputs.state / LINK} leads to {repository.name}")
        return 0

    return run_cli(PROGRAM, run)


def _log(line: str) -> None:
    print(f"prepare: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

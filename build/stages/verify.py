"""Checks an assembled repository against its manifest, before a server starts from it.

    python -m build.stages.verify                    # var/repository
    python -m build.stages.verify var/repository-0123456789ab

Every file must be there, unchanged and expected; every model must name its network's contract; and the
runtime that will execute an engine must be the one that it was built and measured with.
"""

import dataclasses
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from build.backends import backend, backends
from build.cli import run_cli
from build.errors import BuildError
from build.manifest import content_hash, file_faults, read_manifest
from build.options import argument, from_options, parser_of
from build.serving.engine_settings import Device
from build.serving_plan import shipped_checkpoint
from build.stages.common_options import VAR
from build.stages.repository_files import LINK

PROGRAM = "build.stages.verify"
_AGAIN = "assemble it again with `make repository`, or `make engine` where the engine is a built one"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the command checks."""

    repository: Path = argument(help="default: var/repository", default=VAR / LINK)


def verify(repository: Path, *, on_cpu: bool = False) -> dict[str, Any]:
    """The manifest of a repository that is as its manifest says; else BuildError names every difference.

    `on_cpu`: a GPU's engine in it is not loaded, so it need not fit this machine.
    """
    manifest = read_manifest(repository)
    faults = file_faults(repository, manifest["files"])
    faults += _name(repository, manifest)
    faults += _contracts(repository, manifest)
    misfits = _runtime(repository, manifest, on_cpu=on_cpu)
    if faults:
        raise BuildError(
            f"the repository {repository} is not what its manifest says: {_shown(faults + misfits)}: {_AGAIN}"
        )
    if misfits:
        raise BuildError(f"the repository {repository} can't be served here: {_shown(misfits)}")
    return manifest


def device_of(repository: Path) -> Device:
    """On what the engines of a repository run; BuildError where it has no manifest that says so."""
    return backend(read_manifest(repository)["stages"]["engine"]["target"]).device


def _shown(faults: Sequence[str]) -> str:
    return "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")


def _name(repository: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Whether the manifest is the one that gave the repository its name, where it has such a name."""
    named = re.fullmatch(r"repository-([0-9a-f]{12})", repository.resolve().name)
    if named is None or named[1] == content_hash(manifest["files"], manifest["stages"]):
        return []
    return ["the manifest was changed after the repository was named by it"]


def _contracts(repository: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Models whose contract is another than their network's in the manifest."""
    from google.protobuf import text_format

    from build.serving.pbtxt import parse

    faults = []
    for path in sorted((repository / "models").glob("*/config.pbtxt")):
        try:
            parameters = parse(path.read_text()).parameters
            contract = json.loads(parameters["contract"].string_value) if "contract" in parameters else None
        except (OSError, ValueError, text_format.ParseError):
            continue  # the server's own message names what is wrong with a configuration
        name = path.parent.name
        expected = manifest["contract"]
        for other, further in manifest.get("also", {}).items():
            expected = further["contract"] if name.startswith(f"{other}_") else expected
        if contract is not None and contract.get("hash") != expected:
            faults.append(f"{name} names the contract {contract.get('hash')}")
    return faults


def _runtime(repository: Path, manifest: Mapping[str, Any], *, on_cpu: bool) -> list[str]:
    stages = manifest["stages"]
    engines = {"": stages["engine"]}
    engines |= {f"{name}_": other["engine"] for name, other in stages.get("also", {}).items()}
    faults = []
    for prefix, engine in engines.items():
        found = _engine(repository / "models" / f"{prefix}face_engine", engine, on_cpu=on_cpu)
        faults += [f"{prefix}face_engine: {fault}" if prefix else fault for fault in found]
    return faults


def _engine(place: Path, engine: Mapping[str, Any], *, on_cpu: bool) -> list[str]:
    if engine["target"] not in backends():
        return [f"its engine is for {engine['target']!r}, and there is no such target"]
    executes = backend(engine["target"])
    if executes.device == "gpu" and on_cpu:
        return []
    try:
        executes.check_machine(place / "1", engine, gpus=_gpus(place / "config.pbtxt"))
    except BuildError as error:
        return [str(error)]
    fault = executes.runtime_fault(engine)
    return [f"{fault}: {_AGAIN}"] if fault else []


def _gpus(config: Path) -> list[int]:
    """The GPUs that a model's configuration names; none where it takes every one."""
    from google.protobuf import text_format

    from build.serving.pbtxt import parse

    try:
        return sorted({gpu for group in parse(config.read_text()).instance_group for gpu in group.gpus})
    except (OSError, ValueError, text_format.ParseError):
        return []  # reported as a changed file


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of(Inputs, program=PROGRAM, description=__doc__)
    options = parser.parse_args(arguments)
    return run_cli(PROGRAM, lambda: _print_checked(from_options(Inputs, options)))


def _print_checked(inputs: Inputs) -> int:
    manifest = verify(inputs.repository.resolve())
    shipped = shipped_checkpoint(inputs.repository)
    engine = manifest["stages"]["engine"]
    network = shipped.stem if shipped is not None else "a network that is not in weights/"
    print(
        f"{inputs.repository}: {len(manifest['files'])} files as the manifest says; {network}, "
        f"{engine['target']} engine in {engine['precision']}, contract {manifest['contract']}"
    )
    for name, further in manifest.get("also", {}).items():
        engine = manifest["stages"]["also"][name]["engine"]
        print(f"  {name}: {engine['target']} engine in {engine['precision']}, contract {further['contract']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The steps from a checkpoint to an engine, as data.

checkpoint -> onnx -> precision -> engine, each in a directory of its own below var/build/NAME:

    onnx/                            model.onnx, its report, reference.npz (real faces, torch's answers)
    TARGET-PRECISION/precision/      the network at that precision
    TARGET-PRECISION/engine/         the engine and its manifest
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from build import machine
from build.acceptance.parity import blind, real_crops
from build.acceptance.reference import REFERENCE, load_reference, make_reference, save_reference
from build.detector import find_detector
from build.errors import BuildError
from build.files import ROOT, link_or_copy, sha256_of_file, shown
from build.lowering.calibration import calibration_faces
from build.manifest import package_versions
from build.onnx_interface import read_graph
from build.precisions import Precision, format_of
from build.serving.batches import MAX_BATCH
from build.stages.compile import EXPORTED, BuildSettings, prove
from build.stages.stage import Done, Say, Step, listing, perform, recorded, sha256_of_sources
from runtime.image.crops import crop_of

PHOTO = ROOT / "tests" / "assets" / "astronaut.jpg"
NETWORK = "model.onnx"
# Whatever a step's code rests on: more than it may read, for a step that runs in vain costs less than one
# that does not run.
_NETWORK = (
    "training/models",
    "training/tasks.py",
    "training/train/untrained.py",
    "training/evaluation/predictors.py",
)
_METRICS = tuple(f"training/{name}" for name in ("evaluation", "data/prepared", "data"))
_CODE = {
    "checkpoint": _NETWORK,
    "onnx": ("build", "runtime", *_NETWORK),
    "precision": ("build", "runtime"),
    "engine": ("build", "runtime", *_NETWORK, *_METRICS),
}


def untrained_step(name: str, *, directory: Path) -> Step:
    """A configuration's name -> a checkpoint with random weights, the same ones each time."""
    checkpoint = f"{name}-untrained.safetensors"

    def run(place: Path) -> dict[str, Any]:
        from training.models import CONFIGS, save_checkpoint
        from training.train.untrained import untrained

        save_checkpoint(place / checkpoint, untrained(CONFIGS[name], seed=0))
        return {"checkpoint": checkpoint}

    return Step(
        name="random weights",
        directory=directory,
        inputs={
            "configuration": name,
            "versions": package_versions("torch", "timm"),
            "code": _code("checkpoint"),
        },
        command=f"python -m training.train.untrained {name} --output {shown(directory / checkpoint)}",
        run=run,
    )


def onnx_step(checkpoint: Path, *, directory: Path, photo: Path, detector: Path | None, say: Say) -> Step:
    """checkpoint -> ONNX, with real faces and torch's answers beside it."""
    found = detector or find_detector()

    def run(place: Path) -> dict[str, Any]:
        from build.stages.export import export

        report = export(checkpoint, output=place / NETWORK)
        graph = read_graph(place / NETWORK)
        pixels = real_crops(
            photo,
            detector=found,
            size=graph.contract["input_size"],
            count=MAX_BATCH,
            crop=crop_of(graph.contract),
        )
        reference, faces = make_reference(checkpoint, onnx_file=place / NETWORK, pixels=pixels)
        save_reference(place / REFERENCE, reference)
        unseen = blind(graph.contract, reference.answers)
        if unseen:
            say(
                f"  these faces hardly differ in {', '.join(unseen)}, so they can't tell how low precision "
                "treats it: name another photo with --photo"
            )
        return {
            **report,
            "faces": {"photo": photo.name, "count": len(pixels), "parity": faces, "blind": unseen},
            "parameters": _parameters(place / NETWORK),
            "trained": json.loads(graph.metadata.get("card", "{}")).get("trained", True),
        }

    return Step(
        name="onnx",
        directory=directory,
        inputs={
            "checkpoint": _sha256(checkpoint, "checkpoint"),
            "photo": _sha256(photo, "photo"),
            "detector": _sha256(found, "face detector"),
            "versions": package_versions("torch", "onnxscript", "timm") | package_versions(),
            "code": _code("onnx"),
        },
        command=(
            f"python -m build.stages.export {shown(checkpoint)} --directory {shown(directory)}"
            f"{_given(photo, detector)}"
        ),
        run=run,
    )


def precision_step(
    source: Path,
    *,
    directory: Path,
    target: str,
    precision: Precision,
    calibration: Path | None,
    detector: Path | None,
    say: Say,
) -> Step:
    """ONNX -> the network at a precision, in the form that the target reads. `source`: the onnx step's."""
    about = _finished(source, "onnx")
    quantised = format_of(precision).quantised

    def run(place: Path) -> dict[str, Any]:
        from build.stages.precision import lower

        graph = read_graph(source / NETWORK)
        reference = load_reference(source / REFERENCE)
        size = graph.contract["input_size"]
        faces = None
        if quantised and calibration is not None:
            faces = calibration_faces(
                calibration, size=size, detector=detector, progress=say, crop=crop_of(graph.contract)
            )
        lowered = lower(
            source / NETWORK,
            target=target,
            precision=precision,
            contract=graph.contract,
            faces=reference.pixels,
            calibration=faces,
            directory=place,
            progress=say,
        )
        link_or_copy(source / REFERENCE, place / REFERENCE)
        link_or_copy(source / NETWORK, place / EXPORTED)
        return {
            "target": target,
            "precision": precision,
            "network": lowered.network.name,
            "files": {name: sha256_of_file(path) for name, path in lowered.files.items()},
            "kept": [dataclasses.asdict(kept) for kept in lowered.excluded],
            "details": dict(lowered.details),
            "onnx": {key: about["report"][key] for key in ("onnx_sha256", "checkpoint_sha256")},
            "exported": {key: about["report"][key] for key in ("parity", "faces", "tolerances")},
            "contract": graph.contract,
            "parameters": about["report"]["parameters"],
            "trained": about["report"]["trained"],
        }

    extra = f" --calibration {shown(calibration)}" if quantised and calibration else ""
    return Step(
        name=f"precision ({target}, {precision})",
        directory=directory,
        inputs={
            "network": about["outputs"],
            "target": target,
            "precision": precision,
            "calibration": _pictures(calibration) if quantised and calibration else None,
            "detector": _sha256(detector or find_detector(), "face detector") if quantised else None,
            "versions": package_versions("nvidia-modelopt", "nncf") | package_versions(),
            "code": _code("precision"),
        },
        command=(
            f"python -m build.stages.precision {shown(source)} --target {target} --precision {precision}{extra} "
            f"--output {shown(directory)}{_given(None, detector)}"
        ),
        run=run,
    )


def engine_step(
    source: Path, *, directory: Path, settings: BuildSettings, timing_cache: Path | None, say: Say
) -> Step:
    """The network at a precision -> an engine and the proof of it. `source`: the precision step's."""
    about = _finished(source, "precision")
    report = about["report"]

    def run(place: Path) -> dict[str, Any]:
        return prove(source, report, settings=settings, place=place, timing_cache=timing_cache, say=say)

    return Step(
        name=f"engine ({report['target']}, {report['precision']})",
        directory=directory,
        inputs={
            "network": about["outputs"],
            "settings": settings.inputs(),
            "machine": machine.describe(),
            "versions": package_versions(),
            "code": _code("engine"),
        },
        command=f"python -m build.stages.compile {shown(source)}{settings.options()} --output {shown(directory)}",
        run=run,
    )


def build_engine(
    checkpoint: Path,
    *,
    name: str,
    target: str,
    precision: Precision,
    settings: BuildSettings,
    photo: Path = PHOTO,
    calibration: Path | None = None,
    detector: Path | None = None,
    output: Path,
    say: Say,
) -> tuple[Done, bool]:
    """All steps for one target and precision; the last one's result, and whether any of them ran."""
    place = output / "build" / name
    export = onnx_step(checkpoint, directory=place / "onnx", photo=photo, detector=detector, say=say)
    first = perform(export, say=say)
    own = place / f"{target}-{precision}"
    second = perform(
        precision_step(
            first.directory,
            directory=own / "precision",
            target=target,
            precision=precision,
            calibration=calibration,
            detector=detector,
            say=say,
        ),
        say=say,
    )
    third = perform(
        engine_step(
            second.directory,
            directory=own / "engine",
            settings=settings,
            timing_cache=output / "build" / "timing.cache",
            say=say,
        ),
        say=say,
    )
    return third, first.ran or second.ran or third.ran


def _parameters(network: Path) -> int:
    model = onnx.load(str(network))
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type in floats)


def _given(photo: Path | None, detector: Path | None) -> str:
    """The options of these two that are not the default, as words."""
    words = f" --photo {shown(photo)}" if photo not in (None, PHOTO) else ""
    return words + (f" --detector {shown(detector)}" if detector is not None else "")


def _finished(directory: Path, name: str) -> dict[str, Any]:
    record = recorded(directory)
    if record is None or not str(record.get("step")).startswith(name):
        raise BuildError(
            f"{directory} does not hold what the step {name} leaves, or not all of it: run "
            "`python -m build CHECKPOINT` (it makes what is missing)"
        )
    return record


def _sha256(path: Path, what: str) -> str:
    try:
        return sha256_of_file(path)
    except FileNotFoundError:
        raise BuildError(f"the {what} {path} does not exist: name one that does") from None
    except OSError as error:
        raise BuildError(f"the {what} {path} can't be read ({error.strerror}): name another") from None


def _pictures(directory: Path) -> Mapping[str, Any]:
    """What tells one directory of pictures from another without reading all of them."""
    return {"directory": shown(directory), "listing": listing(directory)}


def _code(step: str) -> str:
    return sha256_of_sources(*(ROOT / path for path in _CODE[step]))

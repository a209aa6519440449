"""What a command line changes of a serving plan.

What is not given stays as it is in the plan. --weights, --engine, --target and --precision choose the engine
together: one of them drops everything that the plan has about the engine but the network, which --weights and
--engine alone change.
"""

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from build.backends import backend, default_backend, default_precisions, servable_backends
from build.config import WEIGHTS
from build.errors import BuildError
from build.files import shown
from build.onnx_interface import read_graph
from build.options import option
from build.precisions import AUTOMATIC, Precision, PrecisionChoice
from build.preprocessing.choice import Preprocessing
from build.serving.host_settings import DEFAULT_SETTINGS
from build.serving.notice import read_notice
from build.serving_plan import ServingPlan
from build.stages.common_options import detector_option, names, numbers
from build.stages.stage import recorded
from runtime.detect.search import USUAL_LIMITS

DEFAULT_TASKS = "default"
DEFAULT_NOTICE = "default"
NO_FURTHER_NETWORK = "none"
# What runs an exported network as it is.
_EXPORTED = f"{default_backend('cpu').title} in {default_backend('cpu').default_precision}"


def _named_path(text: str) -> tuple[str, Path] | None:
    if text == NO_FURTHER_NETWORK:
        return None
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"a name and a path with = between them, not {text!r}")
    return name, Path(path)


def _by_name(pairs: Sequence[tuple[str, Path] | None]) -> Mapping[str, Path]:
    networks: dict[str, Path] = {}
    for name, path in filter(None, pairs):
        if name in networks:
            raise BuildError(f"--also names two networks {name}: give each a name of its own")
        networks[name] = path
    return networks


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanOverrides:
    """The parts of a serving plan that are given; None: as the plan has it."""

    weights: Path | None = option(
        help="an ONNX file that build.stages.export exported (the shipped one)", default=None
    )
    engine: Path | None = option(
        help="a directory that build.stages.compile left, instead of --weights", default=None
    )
    target: str | None = option(help=default_backend("cpu").name, choices=servable_backends, default=None)
    precision: PrecisionChoice | None = option(
        help=f"`{AUTOMATIC}`, the default of exported weights: the fastest that the processor has and the "
        f"acceptance gate accepts here; with a target alone: {default_precisions()}. {_EXPORTED} runs the "
        "weights as they are, anything else `make engine` builds first",
        default=None,
    )
    threads: int | None = option(help=f"cores for {_EXPORTED} (0, which is all)", default=None)
    tasks: tuple[str, ...] | None = option(
        help=f"what to serve, separated by commas (or SERVED_TASKS); `{DEFAULT_TASKS}`: those that are "
        "served by default; NAME.TASK is a task of the further network NAME",
        parse=names,
        environment=lambda: os.environ.get("SERVED_TASKS") or None,
        default=None,
    )
    further_networks: Mapping[str, Path] | None = option(
        flag="--also",
        help="a further network, served by its name: a directory that build.stages.compile left, or an "
        f"exported ONNX file; may be given several times; `{NO_FURTHER_NETWORK}`: no further one",
        parse=_named_path,
        combine=_by_name,
        metavar="NAME=PATH",
        default=None,
    )
    instances: int | None = option(help="how often a GPU's engine is loaded on each GPU (1)", default=None)
    gpus: tuple[int, ...] | None = option(
        help="the GPUs to use, separated by commas (every one)", parse=numbers, default=None
    )
    detector: Path | None = detector_option()
    max_faces: int | None = option(
        help=f"the most faces that are answered of one photo ({USUAL_LIMITS.max_faces}); memory and time of "
        "an answer grow with them",
        default=None,
    )
    min_face: float | None = option(
        help="the smallest face that requests may look for, as a share of a photo's longer side "
        f"({USUAL_LIMITS.min_face:g}); small ones take much longer",
        default=None,
    )
    host_settings: Path | None = option(
        flag="--settings",
        help="a TOML file: instances, threads and queues of every step, as `python -m deploy.tune` measures "
        f"and writes it; `{DEFAULT_SETTINGS}`: those that follow from this host's cores",
        metavar="FILE",
        default=None,
    )
    notice: Path | None = option(
        help="a text file, UTF-8: what people whose faces are analysed are to be informed of, served beside "
        f"the contract; `{DEFAULT_NOTICE}`: the project's own text",
        metavar="FILE",
        default=None,
    )

    preprocessing: Preprocessing | None = option(
        help="what decodes and warps faces (where a GPU runs the engine, DALI, if it is installed here)",
        default=None,
    )
    dali_pipeline: Path | None = option(
        help="DALI's pipeline as `python -m build.preprocessing` wrote it, where DALI is not installed here",
        metavar="FILE",
        default=None,
    )

    def __post_init__(self) -> None:
        for name in ("weights", "target", "precision", "threads"):
            if self.engine is not None and getattr(self, name) is not None:
                raise BuildError(
                    f"--engine names a finished engine, and --{name} would choose another: leave out one of "
                    "them"
                )

    @property
    def choose_engine(self) -> bool:
        """Whether another engine is chosen, or the same one by name."""
        choices = (self.weights, self.engine, self.target, self.precision)
        return any(choice is not None for choice in choices)

    def over(self, plan: ServingPlan, *, output: Path) -> ServingPlan:
        """The plan with these parts in place of its own.

        Built engines lie below `output`/build. Raises BuildError where the chosen one was not built yet,
        and for parts that contradict each other.
        """
        further = plan.further_networks if self.further_networks is None else self.further_networks
        plan = dataclasses.replace(
            plan,
            tasks=self._tasks(plan, further),
            further_networks=further,
            detector=self.detector or plan.detector,
            max_faces=plan.max_faces if self.max_faces is None else self.max_faces,
            min_face=plan.min_face if self.min_face is None else self.min_face,
            host_settings=self._host_settings(plan),
            notice=self._notice(plan),
            **self._preprocessing(plan),
        )
        if not self.choose_engine:
            return dataclasses.replace(
                plan,
                threads=plan.threads if self.threads is None else self.threads,
                instances=plan.instances if self.instances is None else self.instances,
                gpus=plan.gpus if self.gpus is None else self.gpus,
            )
        # A target or a precision alone changes no network.
        weights = self.weights or (plan.weights if plan.engine is None else _shipped_weights(plan.engine))
        engine = self.engine
        if engine is None:
            served = plan.engine if self.weights is None else None
            engine = self._built_engine(weights, served=served, output=output)
        return dataclasses.replace(
            plan,
            weights=weights,
            engine=engine,
            precision=self._chosen_precision if engine is None else None,
            threads=self.threads,
            instances=self.instances,
            gpus=self.gpus,
        )

    @property
    def _chosen_precision(self) -> Precision | None:
        """Of exported weights; None: it is decided where the repository is assembled."""
        if self.precision == AUTOMATIC or (self.precision is None and self.target is None):
            return None
        return default_backend("cpu").default_precision

    def _tasks(self, plan: ServingPlan, further: Mapping[str, Path]) -> tuple[str, ...] | None:
        if self.tasks is not None:
            return None if self.tasks == (DEFAULT_TASKS,) else self.tasks
        if plan.tasks is None:
            return None
        # Without those of networks that are served no more.
        kept = [name for name in plan.tasks if "." not in name or name.rpartition(".")[0] in further]
        return tuple(kept) or None

    def _host_settings(self, plan: ServingPlan) -> Path | None:
        if self.host_settings is None:
            return plan.host_settings
        return None if self.host_settings == Path(DEFAULT_SETTINGS) else self.host_settings

    def _notice(self, plan: ServingPlan) -> str | None:
        if self.notice is None:
            return plan.notice
        return None if self.notice == Path(DEFAULT_NOTICE) else read_notice(self.notice)

    def _preprocessing(self, plan: ServingPlan) -> dict[str, Any]:
        """Of the plan's fields about preprocessing, those that are given and do not contradict each other."""
        kept = dataclasses.replace(plan, preprocessing=None) if self.dali_pipeline else plan
        if self.preprocessing == "opencv":
            kept = dataclasses.replace(kept, dali_pipeline=None)
        return {
            "preprocessing": self.preprocessing or kept.preprocessing,
            "dali_pipeline": self.dali_pipeline or kept.dali_pipeline,
        }

    def _built_engine(self, weights: Path, *, served: Path | None, output: Path) -> Path | None:
        """The built engine of this target and precision; None: the backend runs the weights as they are.

        `served` is the engine that was served: where `make engine` built it, its network's engines come
        first. BuildError where `make engine` has not built any.
        """
        exported = default_backend("cpu")
        target = self.target or exported.name
        if self.precision == AUTOMATIC:
            if target != exported.name:
                raise BuildError(
                    f"the precision `{AUTOMATIC}` is for {exported.title}, which runs exported weights: name "
                    f"one that was built for {target}"
                )
            return None
        if self.precision is None and self.target is None:
            return None  # weights alone were named
        precision = self.precision or backend(target).default_precision
        known, directory = [weights.stem], f"{target}-{precision}"
        place = _network_directory(served)
        if place is not None and place.name != weights.stem:
            known.insert(0, place.name)
            if recorded(place / directory / "engine") is not None:
                return place / directory / "engine"
        if (target, precision) == (exported.name, exported.default_precision):
            return None
        engine = output / "build" / weights.stem / directory / "engine"
        checkpoint = weights.with_suffix(".safetensors")
        of = f"CHECKPOINT={shown(checkpoint)} " if checkpoint.is_file() else ""
        build = f"run `make engine {of}TARGET={target} PRECISION={precision}` first"
        record = recorded(engine)
        if record is None:
            raise BuildError(
                f"there is no {target} engine of {' or '.join(known)} in {precision} yet: {build}"
            )
        graph = read_graph(weights)
        if record["report"]["onnx"]["checkpoint_sha256"] != graph.metadata.get("checkpoint_sha256"):
            raise BuildError(
                f"the engine in {engine} was built from another checkpoint than {weights}: {build}"
            )
        return engine


def _shipped_weights(engine: Path) -> Path:
    """The network in weights/ that `make engine` built an engine from; the default where it is no such."""
    place = _network_directory(engine)
    weights = WEIGHTS if place is None else WEIGHTS.with_name(f"{place.name}.onnx")
    return weights if weights.is_file() else WEIGHTS


def _network_directory(engine: Path | None) -> Path | None:
    """The directory build/NAME of an engine that lies where `make engine` puts it."""
    if engine is None or len(engine.parts) < 4 or engine.parents[2].name != "build":
        return None
    return engine.parents[1]

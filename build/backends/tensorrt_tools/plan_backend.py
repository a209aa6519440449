"""A backend that builds a plan from a strongly typed network.

Every layer computes in the type that the ONNX file states, and the builder chooses among kernels only. So
the precision is the file's, and no flag of the builder's.
"""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from build import machine
from build.backends.base import Backend, BuildOptions, Engine, Log, LoweredNetwork, LoweringRequest
from build.backends.tensorrt_tools.gpus import gpu_versions
from build.backends.tensorrt_tools.layers import inspected_layers, parsed_layers
from build.backends.tensorrt_tools.monitor import error_logger, progress_monitor, stopped_by_interrupt
from build.backends.tensorrt_tools.plan_runner import inspect, runner
from build.backends.tensorrt_tools.plan_settings import PLAN_FILE, PlanSettings, Profile
from build.backends.tensorrt_tools.timing_cache import keep_timing_cache, use_timing_cache
from build.errors import BuildError
from build.onnx_interface import PIXELS
from build.precisions import PRECISIONS, Precision, format_of


class PlanBackend(Backend):
    """What TensorRT and TensorRT-RTX have in common. What either does with a GPU was not run on one yet."""

    precisions = PRECISIONS
    default_precision = "fp16"
    device = "gpu"
    caches_timings: ClassVar[bool]  # whether its builder times kernels, and reads what earlier builds timed

    @abc.abstractmethod
    def load_module(self) -> Any:
        """The runtime's Python module; BuildError where it is missing or too old."""

    @abc.abstractmethod
    def check_gpus(self, versions: Mapping[str, str]) -> None:
        """Raises BuildError where a plan must not be built with these `gpu_versions`."""

    @abc.abstractmethod
    def unopened(self, path: Path, reason: str) -> str:
        """What this machine lacks to open the plan that was built; BuildError where that is a fault."""

    def machine_key(self) -> dict[str, str]:
        """The compute capability of the first visible GPU, and the runtime's version."""
        versions = gpu_versions()
        self.check_gpus(versions)
        return {
            "gpu": versions.get("compute_capability", "none"),
            self.name: str(self.load_module().__version__),
        }

    def lower(self, request: LoweringRequest) -> LoweredNetwork:
        """model.onnx with its precision in it."""
        from build.lowering.strongly_typed import strongly_typed

        return strongly_typed(request)

    def build(
        self,
        lowered: LoweredNetwork,
        *,
        precision: Precision,
        directory: Path,
        options: BuildOptions,
        log: Log,
    ) -> Engine:
        """model.plan for batches of 1 to `options.max_batch`.

        Raises BuildError for a network that the parser or the builder does not take, and where the runtime
        or its GPU is missing.
        """
        self.check_available(precision)
        network, profile = lowered.network, Profile.up_to(options.max_batch)
        timing_cache = options.timing_cache if self.caches_timings else None
        trt = self.load_module()
        versions = gpu_versions()
        self.check_gpus(versions)
        messages: list[str] = []
        logger = error_logger(trt, messages)
        builder = trt.Builder(logger)
        typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        # From version 11 on there is no other kind of network.
        definition = builder.create_network(0 if typed is None else 1 << int(typed))
        parser = trt.OnnxParser(definition, logger)
        if not parser.parse_from_file(str(network)):
            raise BuildError(f"{self.title} does not take {network}: {_first_error(parser)}")
        config = builder.create_builder_config()
        config.add_optimization_profile(_batches(builder, definition, profile))
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        tf32 = not format_of(precision).full
        if not tf32:  # else the builder may round the factors of fp32 products to 10 bits
            config.clear_flag(trt.BuilderFlag.TF32)
        if timing_cache is not None:
            use_timing_cache(config, timing_cache)
        monitor = config.progress_monitor = progress_monitor(trt, log)
        with stopped_by_interrupt(monitor):
            plan = builder.build_serialized_network(definition, config)
        if monitor.stopped:
            raise KeyboardInterrupt
        if plan is None:
            raise BuildError(f"{self.title} can't build an engine of {network} ({_last(messages)})")
        if timing_cache is not None:
            keep_timing_cache(config, timing_cache)
        path = directory / PLAN_FILE
        path.write_bytes(memoryview(plan))
        layers, layers_from, infer, needs = parsed_layers(definition), "parsed network", None, "a GPU"
        if machine.has_gpu():
            engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
            if engine is None:
                needs = self.unopened(path, _last(messages))
            else:
                layers, layers_from = inspected_layers(inspect(trt, engine)), "engine inspector"
                infer, needs = runner(trt, engine), ""
        return Engine(
            files={PLAN_FILE: path},
            layers=layers,
            layers_from=layers_from,
            versions={self.name: str(trt.__version__)} | versions,
            settings={
                "profile": {"min": 1, "opt": profile.opt, "max": profile.max},
                "strongly_typed": True,
                "tf32": tf32,
            },
            infer=infer,
            needs=needs,
        )

    def settings(
        self,
        *,
        precision: Precision | None = None,
        built_with: Mapping[str, Any] | None = None,
        instances: int | None = None,
        gpus: Sequence[int] = (),
    ) -> PlanSettings:
        """Served by Triton's TensorRT backend."""
        built_with = built_with or {}
        profile = built_with.get("profile")
        return PlanSettings(
            backend=self,
            precision=precision or self.default_precision,
            threads=built_with.get("threads", 0),
            profile=Profile(opt=profile["opt"], max=profile["max"]) if profile else Profile(),
            instances=instances,
            gpus=tuple(gpus),
        )


def _batches(builder: Any, definition: Any, profile: Profile) -> Any:
    shape = tuple(definition.get_input(0).shape)[1:]
    batches = builder.create_optimization_profile()
    batches.set_shape(PIXELS, (1, *shape), (profile.opt, *shape), (profile.max, *shape))
    return batches


def _first_error(parser: Any) -> str:
    """The parser's first error in one line, with the node's name where it has one."""
    if parser.num_errors == 0:
        return "it gives no reason"
    error = parser.get_error(0)
    description = " ".join(error.desc().split())
    if error.node_name() or error.node_operator():
        node = f"{error.node_name() or 'without name'} ({error.node_operator()})"
        return f"the node {node} fails with: {description}"
    return description


def _last(messages: list[str]) -> str:
    return messages[-1] if messages else "it gives no reason"

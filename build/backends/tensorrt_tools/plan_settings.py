"""How a TensorRT plan is served."""

import dataclasses
import itertools
from typing import TYPE_CHECKING

from build.errors import BuildError
from build.serving.batching_and_queues import MAX_BATCH, check_max_batch
from build.serving.engine_settings import EngineConfig, EngineSettings
from build.serving.pbtxt import CudaGraph

if TYPE_CHECKING:
    from build.serving.host_settings import HostSettings

PLAN_FILE = "model.plan"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The batches that a plan takes: 1 to `max`. It is fastest at `opt`."""

    opt: int = 8
    max: int = MAX_BATCH

    def __post_init__(self) -> None:
        check_max_batch(self.max)
        if not 1 <= self.opt <= self.max:
            raise BuildError(
                f"a profile can't be at its best at a batch of {self.opt}: choose 1 to {self.max}"
            )

    @classmethod
    def up_to(cls, max_batch: int) -> "Profile":
        """The profile of a plan that is built for batches of 1 to `max_batch`."""
        return cls(opt=min(cls.opt, max_batch), max=max_batch)

    def prepared(self, max_batch: int) -> tuple[int, ...]:
        """The batches that a server of batches of up to `max_batch` prepares for."""
        return tuple(sorted({1, min(self.opt, max_batch), max_batch}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanSettings(EngineSettings):
    """A plan that Triton's TensorRT backend runs."""

    profile: Profile = Profile()
    instances: int | None = None  # on each GPU; None: as the host's settings have it
    gpus: tuple[int, ...] = ()  # the numbers of those to use; empty: every GPU

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.instances is not None and self.instances < 1:
            raise BuildError(f"{self.instances} instances answer nothing: choose 1 or more")
        if any(gpu < 0 for gpu in self.gpus) or len(set(self.gpus)) != len(self.gpus):
            raise BuildError(
                f"the GPUs {list(self.gpus)} can't be meant: name each once, by its number from 0"
            )

    def config(self, host: "HostSettings") -> EngineConfig:
        """Warm, and with its work recorded as CUDA graphs that answer every batch."""
        return EngineConfig(
            filename=PLAN_FILE,
            backend="tensorrt",
            platform="tensorrt_plan",
            instance_kind="KIND_GPU",
            instances=self.instances or host.engine_on("gpu").instances,
            gpus=self.gpus,
            warmup=self.profile.prepared(host.max_batch),
            cuda_graphs=graphs_up_to(host.max_batch),
        )


def graphs_up_to(max_batch: int) -> tuple[CudaGraph, ...]:
    """CUDA graphs of which each batch of 1 to `max_batch` hits exactly one.

    Recorded are 1, 2, 3, 4, 6, 8, 12, 16, 24, 32 ...: a batch is at most half as large again as what it
    carries, and their number grows by two where the batch doubles. Triton takes the smallest that holds a
    batch, and records each twice for every instance (it has two sets of events). Not run on a GPU yet.
    """
    powers = [2**power for power in range(max_batch.bit_length())]
    recorded = {max_batch, *powers, *(3 * power for power in powers)}
    batches = sorted(batch for batch in recorded if batch <= max_batch)
    return tuple(
        CudaGraph(batch=batch, smallest=before + 1) for before, batch in itertools.pairwise([0, *batches])
    )

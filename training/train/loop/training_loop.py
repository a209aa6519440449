"""The training loop that pretraining and fine-tuning share.

A step draws a global batch, sums its losses over micro-batches and processes, and updates the weights
once. What a step does follows from (seed, step, rank) and the state before it alone: a run that is
killed anywhere and started again with the same command ends in the same weights, bit by bit, as an
unbroken one (on a CPU with the same threads; some of a GPU's kernels add in an order of their own). Losses
are sums over faces divided by how much of the global batch is labelled, so that neither the number of
processes nor of micro-batches changes what is minimised, but for what BatchNorm makes of a micro-batch.
"""

import contextlib
import copy
import dataclasses
import json
import math
import pathlib
import signal
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from training.cli import PeersLost, Stopped
from training.models.recomputation import recompute_blocks
from training.train.loop.compilation import compile_network
from training.train.loop.distributed import Distributed, share_batch_norm
from training.train.loop.freezing import freeze_what_no_loss_reaches, train_mode
from training.train.loop.non_finite import faces_behind
from training.train.loop.optimisation import Optimisation
from training.train.loop.progress import is_due, undisturbed, watched_progress
from training.train.loop.run_state import differences, held, identity_of, load_state, save_state
from training.train.loop.sharding import (
    average_undivided,
    clip_gradients,
    divide,
    load_moments,
    load_weights,
    whole,
)
from training.train.loop.signals import StopSignals, leave_signals_to_the_run
from training.train.objectives.objective import Objective, StepData


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step reports, the same on every process."""

    sums: dict[str, float]  # of each loss over the global batch
    counts: dict[str, float]  # how much each was summed over
    signal: int  # that the run shall stop for; 0: none
    gradient: float  # the norm of all gradients, before they are clipped
    # By each loss's name the norm of its gradient at what all losses are made of (Objective.pulls); of some
    # steps, else empty.
    pulls: dict[str, float]


class TrainingLoop:
    """Everything that a run carries from step to step, and the way from one to the next.

    `folder` gets last.pt (the state), progress.jsonl, samples/ and what trackers write. `identity` is plain
    data that a state must agree with to be gone on with (the run, its data). `trainable` picks the parameters
    that learn; all others are frozen, BatchNorm included. `samples` draws what an objective answers about
    some faces, RGB [H, W, 3].
    """

    def __init__(
        self,
        objective: Objective,
        *,
        optimisation: Optimisation,
        data: StepData,
        where: Distributed,
        folder: pathlib.Path,
        identity: Mapping[str, Any],
        trainable: Callable[[nn.Module], Iterable[nn.Parameter]] | None = None,
        samples: Callable[[Objective], NDArray[np.uint8]] | None = None,
    ) -> None:
        # One process alone has no whole network to draw with where weights are divided.
        self.samples = None if optimisation.shard else samples
        self.optimisation, self.data, self.where, self.folder = optimisation, data, where, folder
        self.bf16 = optimisation.bf16 and where.has_bf16()
        if optimisation.bf16 and not self.bf16 and where.leads:
            self._tell(f"{where.device_name} has no bf16 of its own: calculates in fp32")
        # As it will be read back: tuples become lists.
        self.identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))
        self.objective = objective.to(where.device)
        if trainable is not None:
            chosen = {id(parameter) for parameter in trainable(objective)}
            for parameter in objective.parameters():
                parameter.requires_grad_(id(parameter) in chosen and parameter.requires_grad)
        self.objective = share_batch_norm(self.objective, where=where)
        torch.manual_seed(optimisation.seed)
        freeze_what_no_loss_reaches(self.objective, self._first_faces(one=True))
        if optimisation.recompute:
            recompute_blocks(self.objective)
        self.ema: ModelEmaV3 | None = None
        if optimisation.ema_decay is not None:
            self.ema = ModelEmaV3(
                self.objective,
                decay=optimisation.ema_decay,
                use_warmup=True,
                foreach=not optimisation.shard,  # divided tensors and others don't go into one call
            )
        self._whole: Objective | None = None  # a copy that holds all weights, where each process has a part
        if optimisation.shard and where.world > 1:
            self._whole = copy.deepcopy(self.objective).cpu()
            for part in (self.objective, *([self.ema.module] if self.ema is not None else [])):
                divide(part, where=where)
        self.optimizer = optimisation.build_optimizer(self.objective, network=self.objective.network())
        self.schedule = optimisation.build_schedule(self.optimizer)
        if optimisation.compile:
            compile_network(self.objective, self._first_faces(), bf16=self.bf16, tell=where.leads)
        self.parallel: nn.Module = self.objective
        if where.world > 1:
            # From here on nobody waits for long.
            where.wait()
        if where.world > 1 and self._whole is None:
            self.parallel = DistributedDataParallel(
                self.objective,
                device_ids=[where.device] if where.device.type == "cuda" else None,
                gradient_as_bucket_view=True,
            )
        self.step = 0
        self.seconds = 0.0
        self._signals = StopSignals()

    @property
    def state_path(self) -> pathlib.Path:
        return self.folder / "last.pt"

    def averaged(self) -> Objective:
        """A copy of the objective with the weights to keep: the moving average where there is one.

        After `run`, where each process has a part of them.
        """
        return copy.deepcopy(self._kept if self._whole is None else self._whole)

    @property
    def _kept(self) -> Objective:
        kept: Objective = self.ema.module if self.ema is not None else self.objective
        return kept

    def run(self) -> None:
        """Go on from the folder's state, if there is one, to the last step.

        Raises ValueError for a loss or gradient that is not finite (naming losses and files; the last
        checkpoint stays), a folder or state of another run, a full disk; Stopped after SIGTERM or SIGINT;
        PeersLost where another process died.
        """
        try:
            with self.where.noticing_loss(), held(self.folder, leads=self.where.leads):
                self._run()
                if self._whole is not None:
                    self._whole.load_state_dict(whole(self._kept.state_dict()))
        except PeersLost as lost:
            raise PeersLost(lost.reason, rank=lost.rank, step=self.step) from None

    def _run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.state_path.exists():
            self.resume()
        elif self.where.leads and self.where.world > 1:
            self._tell("begins")
        if len(steps := set(self.where.gathered(self.step))) > 1:
            raise ValueError(
                f"the processes stand at different steps ({', '.join(map(str, sorted(steps)))}): let all "
                f"machines see the same {self.folder}, or choose another --run folder"
            )
        if self.step == self.optimisation.steps:
            return
        watched = watched_progress(
            self.optimisation,
            folder=self.folder,
            settings=self.identity,
            start=self.step,
            seconds=self.seconds,
        )
        with self._signals.noted(), watched if self.where.leads else contextlib.nullcontext() as progress:
            for batch in self._batches():
                result = self.train_step(batch)
                if progress is not None:
                    progress.add(
                        self.step,
                        sums=result.sums,
                        counts=result.counts,
                        faces=self.where.world * _rows(batch),
                        rate=self.optimizer.param_groups[-1]["lr"],
                        gradient=result.gradient,
                        pulls=result.pulls,
                        weights=self.objective.learned_weights(),
                    )
                    if self.samples is not None and is_due(self.step, self.optimisation.samples_every):
                        # Of the weights that would be kept now; the next step sets its own mode.
                        drawn = undisturbed(self.samples, self._kept.eval(), device=self.where.device)
                        progress.picture("samples", drawn, step=self.step)
                last = self.step == self.optimisation.steps
                if last or result.signal or self.step % self.optimisation.checkpoint_every == 0:
                    self.seconds = progress.spent() if progress is not None else 0.0
                    self.save()
                if result.signal and not last:
                    raise Stopped(result.signal, step=self.step)

    def time_steps(self, *, warm: int = 2, timed: int = 10) -> tuple[float, int]:
        """Seconds a step, the median of some after the first ones, and of how many; nothing is written.

        The weights change with them: a loop that was timed is not run.
        """
        spent: list[float] = []
        with contextlib.closing(self._batches()) as batches:
            while len(spent) < warm + timed:
                begun = time.perf_counter()
                batch = next(batches, None)
                if batch is None:
                    break
                self.train_step(batch)
                spent.append(time.perf_counter() - begun)
        counted = spent[warm:] or spent
        return statistics.median(counted), len(counted)

    def train_step(self, batch: Mapping[str, Tensor]) -> StepResult:
        """One step on this process's share of the global batch."""
        objective, optimisation, device = self.objective, self.optimisation, self.where.device
        train_mode(self.objective)
        rate = self._set_rate()
        torch.manual_seed(step_seed(optimisation.seed, self.step, self.where.rank))
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        if _rows(batch) < optimisation.accumulate:
            raise ValueError(
                f"{_rows(batch)} faces a step and process can't be split into accumulate = "
                f"{optimisation.accumulate} parts: take a larger batch or fewer parts"
            )
        counted = objective.counts(batch)
        names = list(counted)
        numbers = torch.stack([counted[name].detach().double().reshape(()) for name in names])
        # One call to the others also carries a signal that any of them got.
        together = self.where.summed(
            torch.cat([numbers, numbers.new_tensor([float(self._signals.received)])])
        )
        counts = {name: together[i].float() for i, name in enumerate(names)}
        received = float(together[-1]) > 0
        self.optimizer.zero_grad(set_to_none=True)
        sums = dict.fromkeys(names, torch.zeros((), device=device))
        share = 1 / (optimisation.accumulate * self.where.world)
        # A compiled network's backward pass, or that of divided weights, can't be gone through in parts.
        every = 0 if optimisation.compile or optimisation.shard else optimisation.gradients_every
        objective.measures_pulls = is_due(self.step + 1, every)
        pulls: dict[str, Tensor] = {}
        for part in range(optimisation.accumulate):
            # Every n-th face, so that each part has faces of every set.
            piece = {name: value[part :: optimisation.accumulate] for name, value in batch.items()}
            with self._gathering(part == optimisation.accumulate - 1):
                with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                    total, added = self.parallel(piece, counts, share)
                # DDP takes the mean over processes, where the sum is meant.
                (total * self.where.world).backward()
            sums = {name: sums[name] + added[name] for name in names}
            pulls = {name: pulls.get(name, 0.0) + pull for name, pull in objective.pulls.items()}
        stacked = [value.double() for value in (*sums.values(), *pulls.values())]
        reached = self.where.summed(torch.stack(stacked))
        squares, reached = reached[len(names) :], reached[: len(names)]
        if not bool(reached.isfinite().all()):
            self._stop_for([name for i, name in enumerate(names) if not reached[i].isfinite()], batch)
        learning = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self._whole is not None:
            average_undivided(objective, world=self.where.world)
        norm = clip_gradients(learning, optimisation.clip or math.inf)
        if not bool(norm.isfinite()):
            raise ValueError(
                f"the gradient at step {self.step} is not finite while every loss is: "
                f"lower learning_rate (now {rate:g}), or set a smaller clip"
            )
        self.optimizer.step()
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.objective, step=self.step)
        return StepResult(
            sums={name: float(reached[i]) for i, name in enumerate(names)},
            counts={name: float(counts[name]) for name in names},
            # This process's own signal, or that of another one.
            signal=(self._signals.received or signal.SIGTERM) if received else 0,
            gradient=float(norm),
            pulls={name: math.sqrt(float(square)) for name, square in zip(pulls, squares, strict=True)},
        )

    def save(self) -> None:
        """Write the folder's state, from the leading process."""
        if not self.where.leads and self._whole is None:
            return
        # Where each process has a part, all of them come here.
        state = {
            "identity": json.dumps(self.identity),
            "objective": whole(self.objective.state_dict()),
            "ema": whole(self.ema.module.state_dict()) if self.ema is not None else {},
            "optimizer": whole(self.optimizer.state_dict()),
            "step": self.step,
            "seconds": self.seconds,
        }
        if self.where.leads:
            save_state(self.state_path, state)

    def resume(self) -> None:
        """Take over the folder's state. ValueError for that of a run with other settings or data."""
        state = load_state(self.state_path)
        try:
            identity = identity_of(state)
            different = differences(identity, self.identity)
            if not different:
                load_weights(self.objective, state["objective"])
                if self.ema is not None:
                    load_weights(self.ema.module, state["ema"])
                load_moments(self.optimizer, state["optimizer"])
                self.step, self.seconds = state["step"], state["seconds"]
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError):
            raise ValueError(
                f"{self.state_path} is not the state of a run like this one: choose another --run folder"
            ) from None
        if different:
            raise ValueError(
                f"{self.state_path} belongs to a run with other settings ({'; '.join(different[:4])}): "
                "use those, or choose another --run folder"
            )
        if self.where.leads:
            self._tell(f"goes on after step {self.step} of {self.optimisation.steps}")

    def _tell(self, what: str) -> None:
        """A line for people."""
        several = f", by {self.where.world} processes" if self.where.world > 1 else ""
        print(f"{what}{several}", file=sys.stderr, flush=True)

    def _gathering(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients stay with this process until the step's last part."""
        if isinstance(self.parallel, FSDPModule):
            self.parallel.set_requires_gradient_sync(last)
        elif isinstance(self.parallel, DistributedDataParallel) and not last:
            return self.parallel.no_sync()
        return contextlib.nullcontext()

    def _set_rate(self) -> float:
        """The step's learning rate into every group; the rate of one without layer decay."""
        self.schedule.step_update(self.step)
        rates: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        return max(rates)

    def _first_faces(self, *, one: bool = False) -> dict[str, Tensor]:
        """This process's first micro-batch, or a face of it."""
        part = slice(1) if one else slice(None, None, self.optimisation.accumulate)
        return {
            name: torch.as_tensor(value)[part].to(self.where.device) for name, value in self.data[0].items()
        }

    def _batches(self) -> Generator[dict[str, Tensor]]:
        loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
            self.data,  # type: ignore[arg-type]
            batch_size=None,
            sampler=range(self.step, self.optimisation.steps),
            num_workers=self.optimisation.workers,
            worker_init_fn=leave_signals_to_the_run,
            pin_memory=self.where.device.type == "cuda",
        )
        try:
            yield from loader
        except ValueError as error:
            # A worker's error comes with its whole traceback as text.
            raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None

    def _stop_for(self, losses: list[str], batch: Mapping[str, Tensor]) -> None:
        """ValueError that names the faces behind losses that are not finite."""
        faces = "faces that can't be told where weights are divided"
        if self._whole is None:
            faces = faces_behind(
                losses,
                objective=self.objective,
                batch=batch,
                names=self.data.names(self.step),
                where=self.where,
                bf16=self.bf16,
            )
        kept = "the last checkpoint stays" if self.state_path.exists() else "there is no checkpoint yet"
        raise ValueError(
            f"the loss of {', '.join(losses)} is not finite at step {self.step} (from {faces}); {kept}: "
            "look at these labels, or lower learning_rate"
        )


def step_seed(*numbers: int) -> int:
    """One seed from several numbers, well mixed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1


def _rows(batch: Mapping[str, Tensor]) -> int:
    return len(next(iter(batch.values())))

"""The numbers that follow from the host: how often each step is loaded, its threads, and how requests wait.

`HostSettings.for_host` has the defaults of a device and a number of cores. A TOML file may replace any of
them: `python -m build.stages.repository --settings FILE` (make: SETTINGS=FILE) serves with it, and
`python -m deploy.tune` measures and writes one. docs/performance.md has a table of the keys.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from build.errors import BuildError
from build.serving.batching_and_queues import MAX_BATCH, MAX_QUEUED
from build.serving.engine_settings import Device

Table = TypeVar("Table")

MOST_INSTANCES = 256
MOST_THREADS = 1024
LONGEST_DELAY = 1_000_000  # us
DEFAULT_DELAY = 100  # us

_HEADER = "# The settings of a host: `make serve SETTINGS=FILE` serves with them; see docs/performance.md.\n"


def number(help: str, *, default: int = dataclasses.MISSING, least: int = 0, most: int) -> Any:  # type: ignore[assignment]
    """A field that is a whole number from `least` to `most`; `help` describes it, with its unit."""
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "most": most})


class Numbers:
    """Refuses numbers outside of their fields' bounds at construction."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if "least" in field.metadata:
                _check(field.name, getattr(self, field.name), field.metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSettings(Numbers):
    """A step that batches the requests of several clients."""

    instances: int = number(
        "how often it is loaded; each is a process", default=1, least=1, most=MOST_INSTANCES
    )
    queue_delay_us: int = number(
        "how long a request may wait for others of its batch, in microseconds",
        default=DEFAULT_DELAY,
        most=LONGEST_DELAY,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstStepSettings(StepSettings):
    """The step that requests reach first; only there may Triton bound a queue."""

    most_together: int = number(
        "faces of several requests that one instance takes at once; 0: all that wait, up to max_batch",
        default=0,
        most=MAX_BATCH,
    )
    max_queued: int = number("requests that may wait; 0: any number", default=MAX_QUEUED, most=2**31 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_together and self.queue_delay_us:
            raise ValueError(
                f"most_together = {self.most_together} holds only where no request waits for others: set "
                "queue_delay_us = 0, or most_together = 0"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarpSettings(StepSettings):
    """The model that decodes and warps on a GPU, where the repository has it."""

    instances: int = number(
        "copies on each GPU; each has memory for a batch of decoded pictures",
        default=1,
        least=1,
        most=MOST_INSTANCES,
    )
    threads: int = number(
        "of its part on the CPU, which reads headers and prepares", default=4, least=1, most=MOST_THREADS
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoSettings(Numbers):
    """A model that answers whole photos, one at a time and instance."""

    instances: int = number(
        "how often it is loaded; each is a process", default=1, least=1, most=MOST_INSTANCES
    )
    max_queued: int = number("photos that may wait; 0: any number", default=MAX_QUEUED, most=2**31 - 1)
    detector_threads: int = number(
        "of each instance's face detector; one costs least", default=1, least=1, most=MOST_THREADS
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings(StepSettings):
    """A network; threads and streams are for the CPU."""

    instances: int = number(
        "how often it is loaded: processes on a CPU, copies on each GPU",
        default=1,
        least=1,
        most=MOST_INSTANCES,
    )
    threads: int = number("of each instance on a CPU; 0: every core", default=0, most=MOST_THREADS)
    streams: int = number(
        "over which an instance divides a batch on a CPU, and its threads",
        default=1,
        least=1,
        most=MOST_THREADS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.threads < self.streams:
            raise ValueError(
                f"streams = {self.streams} is more than threads = {self.threads}: give each stream a thread"
            )

    def with_threads(self, threads: int) -> "NetworkSettings":
        """One instance of so many threads, each stream with as many as here; 0: these settings."""
        if not threads:
            return self
        share = self.streams / self.threads if self.threads else 0
        return dataclasses.replace(self, instances=1, threads=threads, streams=max(1, int(threads * share)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostSettings(Numbers):
    """Every number of a repository that follows from the device and the host's cores.

    Raises ValueError, with the key, for a number that can't be.
    """

    device: Device = dataclasses.field(metadata={"help": "what runs the network: cpu or gpu"})
    cores: int = number("of the host, from which the defaults follow", least=1, most=MOST_THREADS)
    max_batch: int = number(
        "the most faces of one inference, and of one request", default=MAX_BATCH, least=1, most=MAX_BATCH
    )
    engine: NetworkSettings = dataclasses.field(metadata={"help": "face_engine: the network"})
    face_preprocess: FirstStepSettings = dataclasses.field(
        metadata={"help": "photo and box or landmarks -> crop: decoding and warping"}
    )
    face_warp: WarpSettings = dataclasses.field(
        metadata={"help": "decoding and warping on a GPU, which face_preprocess calls"}
    )
    crop_preprocess: FirstStepSettings = dataclasses.field(metadata={"help": "crop -> the network's pixels"})
    face_postprocess: StepSettings = dataclasses.field(metadata={"help": "the answers of all tasks"})
    task_postprocess: StepSettings = dataclasses.field(
        metadata={"help": "the answers of a single task, of each one's step"}
    )
    photo_analysis: PhotoSettings = dataclasses.field(
        metadata={"help": "photo -> its faces and the answers about each: decoding and crops"}
    )
    face_detect: PhotoSettings = dataclasses.field(metadata={"help": "photo -> its faces"})

    @classmethod
    def for_host(cls, device: Device, cores: int) -> "HostSettings":
        """The defaults of a host with so many cores whose network runs on this device."""
        tables = _beside_gpus(cores) if device == "gpu" else _on_cpu(cores)
        return cls(device=device, cores=cores, **tables)

    def engine_on(self, device: Device) -> NetworkSettings:
        """The network's settings where the same repository is started for this device."""
        return (self if device == self.device else HostSettings.for_host(device, self.cores)).engine

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        return dataclasses.asdict(self)

    def to_toml(self, reasons: Mapping[str, str] | None = None) -> str:
        """The text of a settings file; `reasons`: by a key ("engine.threads"), why it has its value."""
        reasons = reasons or {}
        lines, tables = [_HEADER], []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if dataclasses.is_dataclass(value):
                tables.append(f"\n[{field.name}]  # {field.metadata['help']}")
                for inner in dataclasses.fields(value):
                    key = f"{field.name}.{inner.name}"
                    tables += _line(inner, getattr(value, inner.name), reasons.get(key))
            else:
                lines += _line(field, value, reasons.get(field.name))
        return "\n".join([*lines, *tables]) + "\n"

    @classmethod
    def from_toml(cls, text: str, *, where: str, device: Device, cores: int) -> "HostSettings":
        """The settings in the text of a file, which `where` names; what it leaves out is `for_host`'s.

        `device` is the one that they are for, `cores` are this host's, unless the file names others. Raises
        BuildError with file and key for what is no TOML, no key, or no number within its bounds.
        """
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BuildError(f"the settings {where} are not TOML ({error}): correct that line") from None
        for_device = values.get("device", device)
        if for_device != device:
            raise BuildError(
                f"the settings {where} are for device = {for_device!r}, and the network runs on the "
                f"{device}: name a file for it with --settings, or `--settings {DEFAULT_SETTINGS}`"
            )
        try:
            _check("cores", values.get("cores", cores), _field_of(cls, "cores").metadata)
            defaults = cls.for_host(device, values.get("cores", cores))
            return _replaced(defaults, values, table="")
        except ValueError as error:
            raise BuildError(f"the settings {where} can't be served: {error}") from None


DEFAULT_SETTINGS = "default"  # instead of a file: the defaults of this host


def read_settings(path: Path | None, *, device: Device, cores: int) -> HostSettings:
    """The settings in a file for this device; None: the defaults of a host with these cores.

    Raises BuildError where the file can't be read or served.
    """
    if path is None:
        return HostSettings.for_host(device, cores)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BuildError(
            f"the settings {path} can't be read ({reason}): name a TOML file with --settings, or "
            f"`--settings {DEFAULT_SETTINGS}`"
        ) from None
    return HostSettings.from_toml(text, where=str(path), device=device, cores=cores)


# Of a process of the network, which takes some 450 MiB with all that it has compiled. No batch of up to 32
# faces keeps more of them busy.
_STREAMS = 8


def _on_cpu(cores: int) -> dict[str, Any]:
    """The defaults of a host whose cores run everything, chosen by the sweep that docs/performance.md shows.

    A network is cheapest on one thread for each part of a batch, and as many streams of one process answer
    as much as processes of one thread, in half the memory. A step's processes are its share of the processor
    time of an answer, and some more, as not all kinds of requests come at once.
    """
    engines = max(1, cores // _STREAMS)
    return {
        "engine": NetworkSettings(instances=engines, threads=cores // engines, streams=cores // engines),
        "face_preprocess": FirstStepSettings(instances=max(2, cores // 3)),
        "face_warp": WarpSettings(),
        "crop_preprocess": FirstStepSettings(instances=max(1, cores // 16)),
        "face_postprocess": StepSettings(instances=max(1, cores // 8)),
        "task_postprocess": StepSettings(instances=max(1, cores // 32)),
        # A process has one photo, and waits for the network as long as it computes: with fewer processes
        # the network's batches have hardly more than one face.
        "photo_analysis": PhotoSettings(instances=min(64, max(6, cores))),
        "face_detect": PhotoSettings(instances=max(2, cores // 4)),
    }


# Beside GPUs the cores belong to the Python steps. Each process takes about 30 MiB, one that finds
# faces 150, and while it answers as much as its pictures: a decoded one of 50 megapixels is 150 MB.
_MOST_BESIDE_GPUS = 64


def _beside_gpus(cores: int) -> dict[str, Any]:
    """The defaults of a host of GPUs: each step may take its share of the cores where it is the busiest.

    The shares are those of the steps' processor time in one answer, measured on a CPU (docs/performance.md
    has them); as not all kinds of requests come at once, together they are more than the cores.
    """

    def processes(share: float) -> int:
        return max(1, min(_MOST_BESIDE_GPUS, round(share * cores)))

    return {
        # While one instance's inputs and answers are copied, the other computes.
        "engine": NetworkSettings(instances=2),
        # All that waits would go to one process while the others stand still.
        "face_preprocess": FirstStepSettings(instances=processes(3 / 4), queue_delay_us=0, most_together=4),
        "face_warp": WarpSettings(),
        "crop_preprocess": FirstStepSettings(instances=processes(1 / 4), queue_delay_us=0, most_together=8),
        "face_postprocess": StepSettings(instances=processes(1 / 4)),
        "task_postprocess": StepSettings(instances=processes(1 / 32)),
        # A process waits for the network about as long as it computes.
        "photo_analysis": PhotoSettings(instances=max(4, processes(2))),
        "face_detect": PhotoSettings(instances=max(2, processes(1 / 4))),
    }


def _line(field: "dataclasses.Field[Any]", value: object, reason: str | None) -> list[str]:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    line = f"{field.name} = {shown}  # {field.metadata['help']}"
    return [line] if reason is None else [f"# {reason}", line]


def _replaced(defaults: Table, values: Mapping[str, Any], *, table: str) -> Table:
    """The settings with these values in place of theirs; ValueError names what is no key of them."""
    fields = {field.name: field for field in dataclasses.fields(defaults)}  # type: ignore[arg-type]
    if unknown := sorted(values.keys() - fields.keys()):
        place = f"[{table}] has" if table else "there is"
        raise ValueError(f"{place} no key {unknown[0]!r}: choose from {', '.join(fields)}")
    replaced = {}
    for name, value in values.items():
        inner = getattr(defaults, name)
        if not dataclasses.is_dataclass(inner):
            _check_type(f"{table}.{name}" if table else name, value, type(inner))
            replaced[name] = value
        elif not isinstance(value, dict):
            raise ValueError(f"{name} is a table: write its keys below [{name}]")
        else:
            replaced[name] = _replaced(inner, value, table=name)
    try:
        return dataclasses.replace(defaults, **replaced)  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"in [{table}] {error}" if table else str(error)) from None


def _check_type(key: str, value: object, kind: type) -> None:
    if type(value) is not kind:
        wanted = "a whole number" if kind is int else "text in quotation marks"
        raise ValueError(f"{key} = {value!r} is not {wanted}")


def _check(name: str, value: object, bounds: Mapping[str, Any]) -> None:
    least, most = bounds["least"], bounds["most"]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} = {value!r} can't be: choose a whole number from {least} to {most}")


def _field_of(settings: type[Any], name: str) -> "dataclasses.Field[Any]":
    return next(field for field in dataclasses.fields(settings) if field.name == name)


# What model_repository/ is generated for, whichever host that happens on.
REFERENCE_HOST = HostSettings.for_host("cpu", 2)

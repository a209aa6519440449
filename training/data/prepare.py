"""Turns a data set as it is released into a prepared set: aligned crops with labels, in shards.

Every face is detected and cropped by the code that serves (runtime). Unusable entries are counted and
listed. The same command continues a killed one.
"""

import dataclasses
import functools
import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.contract import ALIGNED
from runtime.detect.canvases import check_photo
from runtime.detect.detector_engine import DetectorEngine, load_detector
from runtime.detect.detector_file import find_detector
from runtime.detect.faces import Detections, find_faces
from runtime.errors import InvalidInput
from runtime.image.crops import crop_of
from runtime.image.decode import decode_image
from training.data.addresses import Address
from training.data.crops import (
    labelled_five_points,
    select_face,
    stored_crop,
    transform_label,
    transform_mask,
)
from training.data.existing_set import source_record, unchanged_set
from training.data.inventory import (
    find_shortage,
    is_picture_missing,
    read_entries,
    select_numbers,
    take_inventory,
)
from training.data.labels import checked, checked_mask
from training.data.prepared.shard import Face
from training.data.prepared.writer import SIZE, ShardWriter, margin_of
from training.data.reader import LayoutError, Reader
from training.data.sample import BadSample, Sample
from training.data.teacher_labels import TeacherLabels, complete

_WORKERS = 2
_LARGEST = 2048  # pixels of a crop: no network looks closer, and those ahead stay in memory
_PREFETCH = 16  # pictures ahead

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a set is prepared."""

    size: int = SIZE  # of the served crop, in pixels
    subset: bool = False  # accept fewer files than the official release has
    limit: int | None = None  # take only so many entries, evenly spread
    teachers: Sequence[Path] = ()  # files or folders of training.teachers.pseudolabel
    max_unreadable: float = 0.01  # share of pictures that may be unreadable or badly labelled
    detector: Path | None = None  # the .tflite file; None: the installed package's
    crop: str = ALIGNED  # how faces are cut, one of runtime.image.crops.CROPS

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit {self.limit} leaves nothing to prepare: take 1 or more")
        if not 0 <= self.max_unreadable <= 1:
            raise ValueError(f"--max-unreadable {self.max_unreadable} is no share: take 0 to 1")
        if self.size > _LARGEST:
            raise ValueError(f"--size {self.size} is more than can be prepared: take {_LARGEST} or less")
        crop_of(self.crop)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Skipped:
    """An entry that gives no face."""

    reason: str  # unreadable, bad_labels, no_face or missing: the name of its count
    key: str
    detail: str  # a few words for people


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a face is in its picture."""

    box: NDArray[np.float64] | None  # [4]
    landmarks: NDArray[np.float64] | None  # [5, 2]


def prepare_set(
    reader: Reader,
    *,
    source: Path | Address,
    output: Path,
    options: Options,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Prepare OUTPUT/NAME and return its manifest; a set with the same options is left as it is.

    `progress` is called with the number of processed entries and of all. Raises LayoutError for a source
    that is not the data set or not all of it, ValueError for too many unusable pictures, for a set without
    a face and for what ShardWriter refuses, and OSError for a disk that is full.
    """
    try:
        inventory = take_inventory(reader, source)
        shortage = find_shortage(reader, source, inventory)
        if shortage and not (options.subset or options.limit is not None):
            raise LayoutError(f"{shortage}: complete it, or accept fewer with --subset")
        if inventory.malformed and not inventory.pictures:
            raise ValueError(
                f"{inventory.malformed} of {inventory.entries} entries of {source} can't be read: mend "
                f"them, the first is {inventory.first_malformed}"
            )
        if reader.named_by_source and not inventory.entries:
            raise ValueError(f"{source} names no picture: give a source that has a row for each face")
        if not inventory.pictures:
            raise LayoutError(f"{source} has no picture of {reader.title}: name its folder")
    except LayoutError as error:
        raise LayoutError(f"{error}\n{reader.name} is laid out as\n{reader.tree}") from None
    numbers = select_numbers(inventory, limit=options.limit)
    teachers = [TeacherLabels(path) for path in options.teachers]
    detector = options.detector or find_detector()
    digest = hashlib.sha256(detector.read_bytes()).hexdigest()
    provenance = {
        "layout": reader.name,
        "entries": inventory.digest,
        "pictures": inventory.sizes,
        "limit": options.limit,
        "teachers": [_digest(path) for path in options.teachers],
        "detector": digest,
    }
    folder = output / reader.name
    recorded = source_record(source) if reader.named_by_source else None
    existing = unchanged_set(
        folder, options=_recorded(provenance, options), crop=options.crop, source=recorded
    )
    if existing is not None:
        return existing
    with ShardWriter(
        folder,
        title=reader.title,
        licence=reader.licence,
        size=options.size,
        detector=digest,
        options=provenance,
        crop=options.crop,
    ) as writer:
        engine = load_detector(detector, precision="fp32", threads=1)
        remaining = read_entries(reader, source, inventory, numbers=numbers[writer.processed :])
        make = functools.partial(
            _outcome, engine=engine, teachers=teachers, size=options.size, crop=options.crop
        )
        for outcome in _outcomes(remaining, make):
            if isinstance(outcome, Face):
                writer.add(outcome)
            else:
                writer.skip(outcome.reason, f"{outcome.key}: {outcome.detail}")
                _check_unusable(
                    options.max_unreadable,
                    writer,
                    outcome,
                    total=len(numbers),
                    name=reader.name,
                    folder=folder,
                )
            if progress is not None:
                progress(writer.processed, len(numbers))
        return writer.finish(
            tasks_of_layout=list(reader.tasks),
            subset=bool(shortage) or len(numbers) < inventory.entries,
            expected=dict(reader.expected.counts),
            **({} if recorded is None else {"source": recorded}),
        )


def _check_unusable(
    share: float, writer: ShardWriter, last: _Skipped, *, total: int, name: str, folder: Path
) -> None:
    unusable = sum(writer.skipped.get(reason, 0) for reason in ("unreadable", "bad_labels"))
    if unusable > share * total and last.reason in ("unreadable", "bad_labels"):
        raise ValueError(
            f"{unusable} of {total} pictures of {name} can't be used (the last is {last.key}: "
            f"{last.detail}), more than --max-unreadable {share:g} allows: allow more, or mend them, delete "
            f"{folder}.partial and begin anew"
        )


def _recorded(provenance: dict[str, Any], options: Options) -> dict[str, Any]:
    """What the manifest of a set with these options says of them (training.data.prepared.writer)."""
    crop = {} if options.crop == ALIGNED else {"crop": options.crop}
    return provenance | {"size": options.size} | crop


def _outcomes(
    samples: Iterable[Sample | BadSample], make: Callable[..., Face | _Skipped]
) -> Iterator[Face | _Skipped]:
    """A face or a reason for each sample, in their order; threads read, decode, detect and crop."""
    queue: deque[Future[Face | _Skipped]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for sample in samples:
            picture: NDArray[np.uint8] | _Skipped | None = None
            if isinstance(sample, Sample) and not isinstance(sample.picture, Path):
                # Frames of a video are decoded in their order, which threads would not keep.
                picture = _decode_callable(sample)
            queue.append(pool.submit(make, sample, picture))
            if len(queue) > _PREFETCH:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()


def _outcome(
    sample: Sample | BadSample,
    picture: NDArray[np.uint8] | _Skipped | None,
    *,
    engine: DetectorEngine,
    teachers: Sequence[TeacherLabels],
    size: int,
    crop: str,
) -> Face | _Skipped:
    loaded = _load(sample, picture)
    if isinstance(loaded, _Skipped):
        return loaded
    return _face(*loaded, engine=engine, teachers=teachers, size=size, crop=crop)


def _decode_callable(sample: Sample) -> NDArray[np.uint8] | _Skipped:
    assert not isinstance(sample.picture, Path)
    try:
        return sample.picture()
    except (OSError, ValueError, cv2.error) as error:
        return _Skipped(reason="unreadable", key=sample.key, detail=_summary(error))


def _load(
    sample: Sample | BadSample, picture: NDArray[np.uint8] | _Skipped | None
) -> tuple[Sample, NDArray[np.uint8]] | _Skipped:
    """The sample and its picture [H, W, 3]."""
    if isinstance(sample, BadSample):
        return _Skipped(reason="bad_labels", key=sample.key, detail=sample.reason)
    if isinstance(picture, _Skipped):
        return picture
    if is_picture_missing(sample):
        return _Skipped(reason="missing", key=sample.key, detail="there is no such file")
    try:
        if picture is None:
            assert isinstance(sample.picture, Path)
            picture = decode_image(sample.picture.read_bytes())
        check_photo(picture)
        return sample, picture
    except (OSError, InvalidInput) as error:
        return _Skipped(reason="unreadable", key=sample.key, detail=_summary(error))


def _face(
    sample: Sample,
    image: NDArray[np.uint8],
    *,
    engine: DetectorEngine,
    teachers: Sequence[TeacherLabels],
    size: int,
    crop: str,
) -> Face | _Skipped:
    picture_size = (image.shape[1], image.shape[0])
    try:
        own = {task: checked(task, label, picture=picture_size) for task, label in sample.labels.items()}
        own = {task: label for task, label in own.items() if label is not None}
        completed = complete(own, key=sample.key, teachers=teachers, size=picture_size)
        labels = {
            task: checked(task, label, picture=picture_size) for task, label in completed.labels.items()
        }
        five = labelled_five_points(sample)
        mask = _mask(sample, shape=image.shape[:2])
    except (OSError, ValueError) as error:
        return _Skipped(reason="bad_labels", key=sample.key, detail=_summary(error))
    faces = find_faces(image, engine.infer)
    place = _place(
        faces,
        sample,
        picture_size=picture_size,
        five=five,
        teachers_five=completed.five,
        box_suffices=crop != ALIGNED,
    )
    if place is None:
        return _Skipped(reason="no_face", key=sample.key, detail="the detector finds none where it is meant")
    margin = margin_of(size)
    try:
        pixels, forward = stored_crop(
            image, kind=crop, box=place.box, landmarks=place.landmarks, size=size, margin=margin
        )
    except InvalidInput as error:
        return _Skipped(reason="no_face", key=sample.key, detail=_summary(error))
    side = size + 2 * margin
    return Face(
        key=sample.key,
        pixels=pixels,
        labels={task: transform_label(task, label, forward) for task, label in labels.items()},
        split=sample.split,
        person=sample.person,
        subset=sample.subset,
        masks={} if mask is None else {sample.mask_task: transform_mask(mask, forward, side=side)},
        confidence=completed.confidence,
        labelled_by=completed.labelled_by,
        forward=forward,
    )


def _place(
    faces: Detections,
    sample: Sample,
    *,
    picture_size: tuple[int, int],
    five: NDArray[np.float64] | None,
    teachers_five: NDArray[np.float32] | None,
    box_suffices: bool,
) -> _Place | None:
    """Where the labelled face is: the detector's find, as in serving, else what is known."""
    if five is None and teachers_five is not None:
        five = teachers_five.astype(np.float64)
    width, height = picture_size
    # Labels need their own face; of a plain photo any face will do.
    anywhere = not sample.labels and sample.mask is None
    found = select_face(faces, width=width, height=height, box=sample.box, five=five, anywhere=anywhere)
    if found is not None:
        return _Place(
            box=faces.boxes[found].astype(np.float64), landmarks=faces.landmarks[found].astype(np.float64)
        )
    box = None if sample.box is None else np.asarray(sample.box, np.float64)
    if five is None and (box is None or not box_suffices):
        return None
    return _Place(box=box, landmarks=five)


def _mask(sample: Sample, *, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    if sample.mask is None:
        return None
    if isinstance(sample.mask, Path):
        mask = cv2.imdecode(np.frombuffer(sample.mask.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        if mask is None:
            raise ValueError(f"its mask {sample.mask.name} can't be decoded")
    else:
        mask = sample.mask()
    if mask.shape[:2] != shape:
        raise ValueError(f"its mask is {mask.shape[1]}x{mask.shape[0]}, the picture {shape[1]}x{shape[0]}")
    return checked_mask(sample.mask_task, np.asarray(mask))


def _summary(error: Exception) -> str:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return words.strip().splitlines()[0] if words.strip() else type(error).__name__


def _digest(path: Path) -> str:
    """SHA-256 of a teacher's file, or of all files in its folder."""
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for block in itertools.chain.from_iterable(_blocks(file) for file in files):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block

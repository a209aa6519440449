"""What a report has of the photos of a run, gathered photo by photo."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

from ..._drawing import captions
from ..._drawing.layout import PALETTE
from ...contract import Contract, TaskSpec
from ...errors import ContractError, InvalidInput
from ...kinds import KINDS
from ...kinds._distributions import Doubt, Numbers, Tally
from ...kinds.base import Answer, Box, Colour, Row
from ...results import Analysis, Face
from ..outputs import Answered
from .doubts import DOUBTFUL, TOP_REASONS, Ranked, doubts, score
from .pictures import SmallPictures, small_pictures
from .spool import Kept, Spool

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

FACES_SHOWN = 12  # of a photo, those seen best
DOUBTFUL_SHOWN = 4  # of a photo's other faces, those most in doubt
MOST_DOUBTFUL = 24  # faces to look at first, of all photos
FULL_CAPTIONS = 3  # of a photo with more faces each has short answers
_THREADS = 4  # pictures are decoded and encoded without Python's lock


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FaceShown:
    """A face of a report. number: in its photo, from 1. score, doubts: how unsure its answers are, why."""

    number: int
    box: Box
    colour: Colour
    side: float  # of the box, the longer one, in the photo's pixels
    rows: Sequence[Row]
    score: float
    doubts: Sequence[Doubt]
    crop: Kept | None  # None: the photo could not be shown
    hash: int | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PhotoShown:
    """A photo of a report, with the faces of it that are shown."""

    index: int
    name: str
    size: tuple[int, int]
    faces: Sequence[FaceShown]
    count: int  # of the faces that were answered
    score: float  # that of its face most in doubt
    thumbnail: Kept | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hashed:
    """What is kept of every photo and every shown face: enough to find its copies, and to show it again."""

    name: str
    size: tuple[int, int]
    box: Box | None  # None: the whole photo
    number: int  # of the face


@dataclasses.dataclass(frozen=True)
class _Begun:
    """A photo whose pictures are being made. doubts: by the place of each face that is shown."""

    answered: Answered
    analysis: Analysis
    doubts: Mapping[int, list[Doubt]]
    pictures: "Future[SmallPictures]"


class Gathered:
    """Counts, distributions and the photos to show, as a context; pictures are made in threads.

    `most`: photos that are shown, those most in doubt, and as many of those without a face.
    """

    def __init__(self, contract: Contract, tasks: Sequence[TaskSpec], *, spool: Spool, most: int) -> None:
        self.contract = contract
        self.tasks = tasks
        self.photos = self.answered = self.faces = self.photos_with_faces = 0
        self.left_out_faces = self.below_quality = 0  # of those that were found
        self.failed = 0
        self.failures: list[tuple[str, str]] = []  # name and sentence, no more than `most`
        self.unshown = 0  # photos that were answered, but can't be decoded here
        self.first_unshown = ""  # why the first of them can't
        self.shown = Ranked[PhotoShown](most)
        self.faceless: list[PhotoShown] = []
        self.doubtful = Ranked[tuple[FaceShown, PhotoShown]](MOST_DOUBTFUL)
        self.doubtful_faces = 0
        self.hashes: dict[tuple[int, int], int] = {}  # (photo, face; 0: the whole photo) -> its hash
        self.hashed: dict[tuple[int, int], Hashed] = {}
        self.tallies = {task.name: _tally(task) for task in tasks}
        self.sides = Numbers(name="face size", unit="pixels")
        self.scores = Numbers(name="detector score", unit="")
        self.qualities = Numbers(name="quality", unit="")
        # Of each task whose answers state how far they are expected to be off.
        self.errors = {
            task.name: Numbers(name="expected error", unit=task.error.unit)
            for task in tasks
            if task.error is not None and task.states_error
        }
        self._spool = spool
        self._most = most
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="qface-report")
        self._begun: collections.deque[_Begun] = collections.deque()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def fail(self, name: str, sentence: str) -> None:
        """One photo, folder or list that could not be used."""
        self.failed += 1
        if len(self.failures) < self._most:
            self.failures.append((name, sentence.removeprefix(f"{name}: ")))

    def take(self, answered: Answered) -> None:
        """One photo's outcome. Raises ContractError where it was answered by another contract."""
        self.photos += 1
        analysis = answered.analysis
        if analysis is None:
            self.fail(answered.picture.name, str(answered.error))
            return
        self._check(answered.picture.name, analysis)
        self.answered += 1
        self.faces += len(analysis)
        self.photos_with_faces += bool(len(analysis))
        below = analysis.faces_below_quality or 0
        self.below_quality += below
        self.left_out_faces += analysis.faces_found - len(analysis) - below
        for face in analysis:
            self._count(face)
        found = [doubts(face, self.contract) for face in analysis]
        self.doubtful_faces += sum(score(one) >= DOUBTFUL for one in found)
        places = _shown_places(list(map(score, found)))
        future = self._pool.submit(
            small_pictures,
            answered.picture.photo,
            name=answered.picture.name,
            size=(analysis.width, analysis.height),
            boxes=[analysis[place].box for place in places],
        )
        self._begun.append(_Begun(answered, analysis, {place: found[place] for place in places}, future))
        while self._begun and (self._begun[0].pictures.done() or len(self._begun) > 2 * _THREADS):
            self._end_first()

    def finish(self) -> None:
        """Wait for the pictures that were begun."""
        while self._begun:
            self._end_first()

    def _check(self, name: str, analysis: Analysis) -> None:
        found = analysis.contract
        if found is not None and found.hash != self.contract.hash:
            raise ContractError(
                f"{name}: the contract has changed from {self.contract.hash} to {found.hash}: answers by two "
                "contracts make no report; run it again"
            )

    def _count(self, face: Face) -> None:
        self.sides.add(_side(face))
        self.scores.add(face.score)
        if face.quality is not None:
            self.qualities.add(face.quality)
        for name, answer in face.answers.items():
            if (tally := self.tallies.get(name)) is not None:
                tally.add(answer)
            if (errors := self.errors.get(name)) is not None and (found := _mean_error(answer)) is not None:
                errors.add(found)

    def _end_first(self) -> None:
        begun = self._begun.popleft()
        try:
            self._add(begun, begun.pictures.result())
        except InvalidInput as error:
            self.unshown += 1
            if self.unshown == 1:
                self.first_unshown = str(error)
            self._add(begun, None)

    def _add(self, begun: "_Begun", pictures: SmallPictures | None) -> None:
        analysis, highest = begun.analysis, max(map(score, begun.doubts.values()), default=0.0)
        if len(analysis):
            in_sheet = self.shown.wants(highest)
        else:
            in_sheet = len(self.faceless) < self._most
        keep = self._keep if in_sheet or (highest >= DOUBTFUL and self.doubtful.wants(highest)) else _drop
        faces = [
            FaceShown(
                number=place + 1,
                box=analysis[place].box,
                colour=PALETTE[place % len(PALETTE)],
                side=_side(analysis[place]),
                rows=_rows(analysis[place], many=len(analysis) > FULL_CAPTIONS),
                score=score(found),
                doubts=found[:TOP_REASONS],
                crop=keep(pictures.crops[at]) if pictures else None,
                hash=pictures.face_hashes[at] if pictures else None,
            )
            for at, (place, found) in enumerate(begun.doubts.items())
        ]
        photo = PhotoShown(
            index=begun.answered.index,
            name=begun.answered.picture.name,
            size=(analysis.width, analysis.height),
            faces=faces,
            count=len(analysis),
            score=highest,
            thumbnail=keep(pictures.thumbnail) if pictures else None,
        )
        if len(analysis):
            self.shown.take(highest, photo)
        elif in_sheet:
            self.faceless.append(photo)
        for face in faces:
            if face.score >= DOUBTFUL:
                self.doubtful.take(face.score, (face, photo))
        self._remember(photo, photo_hash=pictures.photo_hash if pictures else None)

    def _keep(self, picture: bytes) -> Kept | None:
        return self._spool.keep(picture)

    def _remember(self, photo: PhotoShown, *, photo_hash: int | None) -> None:
        """Keep the hashes of the photo and its faces."""
        entries: list[tuple[int, Box | None, int | None]] = [(0, None, photo_hash)]
        entries += [(face.number, face.box, face.hash) for face in photo.faces]
        for number, box, bits in entries:
            if bits is not None:
                key = (photo.index, number)
                self.hashes[key] = bits
                self.hashed[key] = Hashed(name=photo.name, size=photo.size, box=box, number=number)


def _drop(picture: bytes) -> None:
    """Keep nothing of a picture that is not shown."""


def _tally(task: TaskSpec) -> Tally | None:
    return KINDS[task.kind].tally(task) if task.readable else None


def _mean_error(answer: Answer) -> float | None:
    """How far an answer is expected to be off, the mean over its numbers; None: it states no error."""
    found = answer.error_dict()
    if found is None:
        return None
    numbers: list[float] = list(found.values() if isinstance(found, Mapping) else found)
    return sum(numbers) / len(numbers)


def _side(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return max(x1 - x0, y1 - y0)


def _rows(face: Face, *, many: bool) -> list[Row]:
    if many:
        return [row for answer in face.answers.values() for row in answer.short_caption()]
    return captions.full(face)


def _shown_places(scores: Sequence[float]) -> list[int]:
    """The places of a photo's faces that are shown: the first, and of the others those most in doubt."""
    others = sorted(range(FACES_SHOWN, len(scores)), key=lambda place: -scores[place])
    return [*range(min(FACES_SHOWN, len(scores))), *sorted(others[:DOUBTFUL_SHOWN])]

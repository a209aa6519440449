"""The sections of a report, each as pieces of HTML; one without content has none."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ...kinds._distributions import Chart
from ...kinds.base import Row, plain
from . import charts, figures, markup
from .about import About
from .copied import Copies, CopyGroup
from .copies import MOST_BITS
from .doubts import DOUBTFUL
from .gathered import FULL_CAPTIONS, Gathered, PhotoShown
from .pictures import HASH_BITS
from .spool import Kept

Pieces = Iterator[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Material:
    """All that a report is made of. read: gives a picture that was kept. page: where the report will lie."""

    about: About
    gathered: Gathered
    copies: Copies
    read: Callable[[Kept], bytes]
    page: Path

    def link(self, photo: str) -> str:
        """A photo's name below the folder that the report is of, as a link to the photo."""
        return markup.link(photo, shown=self.about.below(photo), page=self.page)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """id: its place in the page. count: what stands beside its name in the list of sections."""

    id: str
    heading: str
    count: str
    pieces: Callable[[Material], Pieces]


def sections(material: Material) -> list[Section]:
    """Those that have content, in the order of the page."""
    gathered = material.gathered
    copies = len(material.copies.photos) + len(material.copies.faces) + material.copies.left_out
    offered = [
        (
            gathered.doubtful_faces,
            Section(
                id="doubt", heading="Look at these first", count=f"{gathered.doubtful_faces:,}", pieces=_doubt
            ),
        ),
        (gathered.faces, Section(id="answers", heading="How the answers spread", count="", pieces=_answers)),
        (
            len(gathered.shown),
            Section(
                id="photos",
                heading="Photos with faces",
                count=f"{gathered.photos_with_faces:,}",
                pieces=_photos,
            ),
        ),
        (
            copies,
            Section(id="copies", heading="Near copies", count=markup.count(copies, "group"), pieces=_copies),
        ),
        (
            _faceless_count(gathered),
            Section(
                id="faceless",
                heading="Photos without a face",
                count=f"{_faceless_count(gathered):,}",
                pieces=_faceless,
            ),
        ),
        (
            gathered.failed,
            Section(id="failed", heading="Not analysed", count=f"{gathered.failed:,}", pieces=_failed),
        ),
    ]
    return [section for has, section in offered if has]


def _faceless_count(gathered: Gathered) -> int:
    return gathered.answered - gathered.photos_with_faces


def _doubt(material: Material) -> Pieces:
    gathered = material.gathered
    shown = list(gathered.doubtful)
    of = (
        ""
        if len(shown) == gathered.doubtful_faces
        else f"The {len(shown)} most doubtful ones are shown, of a photo with many faces no more than a few. "
    )
    verb = "is" if gathered.doubtful_faces == 1 else "are"
    yield (
        f"<p>{markup.count(gathered.doubtful_faces, 'face')} {verb} worth a second look. {of}"
        "A face is in doubt where the two most probable answers to one question are close, where many "
        "answers of yes or no lie near their threshold, where the detector is not sure that it is a face, or "
        "where it is much smaller than what the network looks at. Its doubt, from 0 (sure) to 1, is that of "
        f"the strongest of these reasons; from {DOUBTFUL:g} on a face is worth a second look.</p>"
    )
    yield '<ul class="grid doubts">'
    for face, photo in shown:
        yield '<li class="card">'
        yield figures.crop(face, photo, read=material.read)
        yield f'<div><p class="score"><span class="dim">doubt</span> {face.score:.2f}</p><ul class="reasons">'
        yield from (
            f"<li>{markup.text(doubt.reason)}</li>" for doubt in face.doubts if doubt.score >= DOUBTFUL / 2
        )
        yield f'</ul><p class="name">{material.link(photo.name)}'
        yield (
            f'<span class="dim">face {face.number}</span></p></div></li>'
            if photo.count > 1
            else ("</p></div></li>")
        )
    yield "</ul>"


def _answers(material: Material) -> Pieces:
    gathered = material.gathered
    yield f"<p>Of {markup.count(gathered.faces, 'face')}.</p>"
    yield '<div class="plots">'
    of_faces = (gathered.sides, gathered.scores, gathered.qualities)
    yield from _plot("faces", [chart for numbers in of_faces for chart in numbers.charts()])
    for task in gathered.tasks:
        tally, errors = gathered.tallies[task.name], gathered.errors.get(task.name)
        found = [*(tally.charts() if tally else ()), *(errors.charts() if errors else ())]
        if found:
            yield from _plot(plain(task.name), found)
    yield "</div>"


def _plot(heading: str, found: Iterable[Chart]) -> Pieces:
    yield f'<section class="card plot"><h3>{markup.text(heading)}</h3>'
    for chart in found:
        yield from charts.drawn(chart)
    yield "</section>"


def _photos(material: Material) -> Pieces:
    gathered, photos = material.gathered, list(material.gathered.shown)
    left_out = gathered.photos_with_faces - len(photos)
    if left_out:
        yield (
            f"<p>Shown are {len(photos):,} of {gathered.photos_with_faces:,} photos, those most in doubt: "
            f"{left_out:,} are left out (<code>--most</code> shows more).</p>"
        )
    yield (
        '<div class="controls" hidden><label>Order <select id="order">'
        '<option value="score">most in doubt first</option><option value="place">as they were given</option>'
        '<option value="faces">most faces first</option></select></label>'
        '<label>Only with <input id="filter" type="search" placeholder="a name or an answer"></label>'
        '<output id="matches" class="dim"></output></div>'
    )
    yield '<ul class="grid sheet" id="sheet">'
    for photo in photos:
        yield (
            f'<li class="card photo" data-score="{photo.score:.3f}" data-place="{photo.index}" '
            f'data-faces="{photo.count}">'
        )
        yield from _photo(photo, material)
        yield "</li>"
    yield "</ul>"


def _photo(photo: PhotoShown, material: Material) -> Pieces:
    width, height = photo.size
    yield figures.framed(photo, read=material.read)
    yield f'<p class="name">{material.link(photo.name)} '
    yield f'<span class="dim">{width} × {height} · {markup.count(photo.count, "face")}</span></p>'
    yield f'<ul class="faces{" many" if photo.count > FULL_CAPTIONS else ""}">'
    for face in photo.faces:
        yield "<li>"
        yield figures.crop(face, photo, read=material.read)
        yield from _rows(face.rows)
        yield "</li>"
    yield "</ul>"
    if (more := photo.count - len(photo.faces)) > 0:
        yield f'<p class="dim">and {markup.count(more, "more face", "more faces")}</p>'


def _rows(rows: Sequence[Row]) -> Pieces:
    yield '<table class="rows"><tbody>'
    for row in rows:
        bar = ""
        if row.share is not None:
            bar = (
                '<svg width="100%" height="3" aria-hidden="true"><rect width="100%" height="3" class="rail"/>'
                f'<rect width="{100 * row.share:.0f}%" height="3" class="fill"/></svg>'
            )
        head = f'<th scope="row">{markup.text(row.name)}</th>' if row.name else "<td></td>"
        yield f"<tr>{head}<td>{markup.text(row.text)}{bar}</td></tr>"
    yield "</tbody></table>"


def _copies(material: Material) -> Pieces:
    yield (
        f"<p>Photos whose fingerprints (the difference hash of their brightness, {HASH_BITS} bits) differ "
        f"in at most {MOST_BITS} bits: the same photo in another size, format or quality. Two of a group may "
        "differ in more, where another one lies between them. Photos of one colour are not compared. Copies "
        "are counted like all others in the figures above.</p>"
    )
    yield from _groups(material.copies.photos, "photos", material, level="h3")
    if material.copies.faces:
        yield "<h3>The same picture of a face in different photos</h3>"
        yield "<p>By the same fingerprint of a face alone: a photo that was cut, or put into another one.</p>"
        yield from _groups(material.copies.faces, "faces", material, level="h4")
    if material.copies.left_out:
        yield f"<p>{markup.count(material.copies.left_out, 'more group')} not shown.</p>"


def _groups(groups: Sequence[CopyGroup], what: str, material: Material, *, level: str) -> Pieces:
    for group in groups:
        yield f'<div class="card group"><{level}>{group.count:,} {what}</{level}><ul class="side-by-side">'
        for copy in group.copies:
            about = f"{markup.plain_name(copy.name)}"
            shown = '<div class="unshown">can’t be shown any more</div>'
            if copy.picture is not None:
                shown = markup.picture(copy.picture, about=about, size=copy.picture_size)
            differ = (
                "the first"
                if copy.bits is None
                else (
                    "same fingerprint"
                    if copy.bits == 0
                    else f"{markup.count(copy.bits, 'bit differs', 'bits differ')}"
                )
            )
            size = f"{copy.size[0]} × {copy.size[1]}"
            yield (
                f'<li>{shown}<p class="name">{material.link(copy.name)} '
                f'<span class="dim">{size} · {differ}</span></p></li>'
            )
        yield "</ul>"
        if (more := group.count - len(group.copies)) > 0:
            yield f'<p class="dim">and {more:,} more</p>'
        yield "</div>"


def _faceless(material: Material) -> Pieces:
    gathered = material.gathered
    count, shown = _faceless_count(gathered), gathered.faceless
    if count > len(shown):
        yield (f"<p>Shown are the first {len(shown):,} of {count:,} (<code>--most</code> shows more).</p>")
    yield '<ul class="grid small">'
    for photo in shown:
        width, height = photo.size
        yield f'<li class="card photo">{figures.framed(photo, read=material.read)}'
        yield f'<p class="name">{material.link(photo.name)} '
        yield f'<span class="dim">{width} × {height}</span></p></li>'
    yield "</ul>"


def _failed(material: Material) -> Pieces:
    gathered = material.gathered
    yield '<div class="wide"><table class="failures"><thead><tr><th scope="col">what</th>'
    yield '<th scope="col">why</th></tr></thead><tbody>'
    for path, sentence in gathered.failures:
        shown = markup.name(material.about.below(path))
        yield f'<tr><th scope="row">{shown}</th><td>{markup.text(sentence)}</td></tr>'
    yield "</tbody></table></div>"
    if (more := gathered.failed - len(gathered.failures)) > 0:
        yield f"<p>and {more:,} more (<code>--most</code> shows more).</p>"

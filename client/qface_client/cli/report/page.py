"""The page of a report: one file that loads nothing, neither from the network nor from beside it."""

import base64
import hashlib
from collections.abc import Iterator
from importlib import resources

from . import markup
from .gathered import Gathered
from .sections import Material, Section, sections


def page(material: Material) -> Iterator[str]:
    """The page, piece by piece."""
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    found = sections(material)
    title = markup.text(material.about.title)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{title}: faces</title>\n<style>{style}</style>\n</head>\n<body>\n"
    yield f'<a class="skip" href="#{found[0].id if found else "run"}">To the findings</a>\n'
    yield from _head(material)
    yield from _navigation(found)
    yield "<main>\n"
    for section in found:
        yield f'<section id="{section.id}" aria-labelledby="{section.id}-heading">'
        yield f'<h2 id="{section.id}-heading">{section.heading}</h2>'
        yield from section.pieces(material)
        yield "</section>\n"
    yield from _run(material)
    yield f"</main>\n<script>{script}</script>\n</body>\n</html>\n"


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    """The source expression that lets this text alone in."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _head(material: Material) -> Iterator[str]:
    about, gathered = material.about, material.gathered
    yield f'<header><p class="eyebrow">Faces in photos</p><h1>{markup.name(about.title)}</h1>'
    yield f"<p>{_summary(gathered)}</p>"
    yield '<dl class="tiles">'
    tiles = {
        "photos": gathered.photos,
        "faces": gathered.faces,
        "without a face": gathered.answered - gathered.photos_with_faces,
        "not analysed": gathered.failed,
    }
    for name, number in tiles.items():
        yield f"<div><dt>{name}</dt><dd>{number:,}</dd></div>"
    yield "</dl>"
    if about.notice:
        yield f'<aside class="notice" aria-label="Notice"><p>{markup.text(about.notice)}</p></aside>'
    yield "</header>\n"


def _summary(gathered: Gathered) -> str:
    words = [
        f"{markup.count(gathered.faces, 'face')} in {gathered.photos_with_faces:,} of "
        f"{markup.count(gathered.photos, 'photo')}."
    ]
    if gathered.left_out_faces:
        more = markup.count(gathered.left_out_faces, "more face")
        words.append(
            f"The photos show {more} that {'was' if gathered.left_out_faces == 1 else 'were'} left out "
            "by the bound on faces of one photo."
        )
    if gathered.below_quality:
        below = markup.count(gathered.below_quality, "face")
        words.append(
            f"{below} more {'was' if gathered.below_quality == 1 else 'were'} left out as hard to judge, by "
            "the bound on quality."
        )
    if gathered.unshown:
        words.append(
            f"{markup.count(gathered.unshown, 'photo')} could be analysed but not be shown here: "
            f"{markup.text(gathered.first_unshown)}"
        )
    return " ".join(words)


def _navigation(found: list[Section]) -> Iterator[str]:
    yield '<nav aria-label="Sections"><ul>'
    for section in found:
        count = f' <span class="badge">{section.count}</span>' if section.count else ""
        yield f'<li><a href="#{section.id}">{section.heading}{count}</a></li>'
    yield '<li><a href="#run">This run</a></li></ul></nav>\n'


def _run(material: Material) -> Iterator[str]:
    yield '<section id="run" aria-labelledby="run-heading"><h2 id="run-heading">This run</h2>'
    yield '<dl class="facts">'
    for name, words in material.about.facts().items():
        yield f"<div><dt>{name}</dt><dd>{markup.text(words)}</dd></div>"
    yield (
        "</dl><p>All answers are estimates of a network about pictures, and no facts about people. This "
        "page has small copies of the photos in it: whoever gets the page gets those.</p></section>\n"
    )

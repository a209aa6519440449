"""Reports that `qface report` wrote, as tests read them, and the photos that they are of."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image


class WrittenReport(HTMLParser):
    """The elements of a page with their attributes, and its text by the id of the section around it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self._section = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.elements.append((tag, named))
        if tag == "section" and "id" in named:
            self._section = named["id"]

    def handle_data(self, data: str) -> None:
        self.texts[self._section] = self.texts.get(self._section, "") + data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def cards(self) -> int:
        """How many photos with faces are shown."""
        return sum("data-score" in attributes for attributes in self.all("li"))


def pattern(seed: int, size: tuple[int, int] = (100, 80)) -> Image.Image:
    """A coarse pattern, another one for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def make_photos(folder: Path) -> None:
    """a.png, b.png, c.png, of different patterns."""
    folder.mkdir()
    for seed, name in enumerate("abc"):
        pattern(seed).save(folder / f"{name}.png")

"""Near copies: the same photo in another size, format or quality, and the same face in two photos."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from qface_client.cli.report.copies import MOST_BITS, distance, groups
from qface_client.cli.report.gathered import Gathered
from qface_client.cli.report.pictures import HASH_BITS
from tests.helpers.fake_v2_server import FakeServer
from tests.helpers.written_reports import WrittenReport, pattern

Run = Callable[..., WrittenReport]


def size_of_input(server: FakeServer) -> NDArray[np.int32]:
    """Width and height of the photo that is being answered."""
    (photo,) = (data for data in server.inputs.values() if data.size > 100)
    with Image.open(io.BytesIO(np.asarray(photo, np.uint8).tobytes())) as opened:
        return np.array(opened.size, np.int32)


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_those_of_comparing_all_with_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes: dict[int, int] = {}
    for _family in range(20):
        bits = int.from_bytes(rng.bytes(HASH_BITS // 8), "big")
        for _ in range(int(rng.integers(1, 6))):
            for place in rng.choice(HASH_BITS, int(rng.integers(0, 2 * MOST_BITS)), replace=False):
                bits ^= 1 << int(place)
            hashes[len(hashes)] = bits
    sets = {key: {key} for key in hashes}
    for one, other in itertools.combinations(hashes, 2):
        if distance(hashes[one], hashes[other]) <= MOST_BITS and sets[one] is not sets[other]:
            sets[one] |= sets[other]
            for key in sets[other]:
                sets[key] = sets[one]
    expected = {tuple(sorted(found)) for found in sets.values() if len(found) > 1}
    found = groups(hashes)
    assert {tuple(group) for group in found} == expected
    assert [len(group) for group in found] == sorted(map(len, found), reverse=True)


def test_another_size_and_quality_are_copies_and_other_photos_are_none(
    report: Run, photos: Path, every_kind: FakeServer
) -> None:
    every_kind.change_answer = lambda tensors: tensors.update(photo_size=size_of_input(every_kind))
    pattern(0, (600, 480)).save(photos / "large.jpg", quality=60)
    Image.new("RGB", (100, 80), (9, 9, 9)).save(photos / "dark.png")
    Image.new("RGB", (100, 80), (200, 9, 9)).save(photos / "red.png")
    text = report("--concurrency", "1").texts["copies"]
    assert "2 photosa.png" in text
    assert "large.jpg" in text
    assert not any(name in text for name in ("b.png", "dark.png", "red.png"))


def test_the_same_face_in_other_surroundings_is_shown_apart(
    report: Run, photos: Path, every_kind: FakeServer
) -> None:
    face = pattern(5, (56, 56))
    for seed in (6, 7):
        around = pattern(seed)
        around.paste(face, (2, 12))
        around.save(photos / f"around{seed}.png")
    text = report().texts["copies"]
    assert "The same picture of a face in different photos" in text
    assert "2 facesaround6.png" in text


def test_a_copy_whose_picture_was_not_kept_is_made_again_of_its_file(report: Run, photos: Path) -> None:
    for name in ("y", "z"):
        pattern(0).save(photos / f"{name}.png")
    page = report("--most", "1")
    shown = [image for image in page.all("img") if image["alt"].endswith(("y.png", "z.png"))]
    assert {image["alt"] for image in shown} >= {"photos/y.png", "photos/z.png"}


def test_a_copy_whose_file_is_another_photo_by_now_is_not_shown_by_that(
    report: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("y", "z"):
        pattern(0).save(photos / f"{name}.png")
    finish = Gathered.finish

    def finish_and_replace(gathered: Gathered) -> None:
        finish(gathered)
        pattern(9).save(photos / "z.png")

    monkeypatch.setattr(Gathered, "finish", finish_and_replace)
    page = report("--most", "1")
    assert "z.png" in page.texts["copies"]
    assert "can’t be shown any more" in page.texts["copies"]
    assert not any(image["alt"].endswith("z.png") for image in page.all("img"))

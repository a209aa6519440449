"""Every file of the hostile corpus is decoded right, or refused in the right sentence."""

from collections import Counter

from runtime.errors import InvalidImage
from runtime.image.decode import decode_image
from runtime.image.photo import Photo
from tests.hostile.pictures.corpus import corpus
from tests.hostile.pictures.files import Answered, HostileFile, flaw_of, refusal_flaw


def flaw(file: HostileFile) -> str:
    reduced = refusal_of_an_eighth(file)
    try:
        pixels = decode_image(file.data)
    except InvalidImage as refusal:
        if str(refusal) != reduced:
            return f"it is refused ({refusal}), and an eighth of it is not ({reduced})"
        return refusal_flaw(str(refusal), file.expect)
    if reduced:
        return f"it was decoded, and an eighth of it is refused: {reduced}"
    if not isinstance(file.expect, Answered):
        return f"it was decoded, {pixels.shape[1]} x {pixels.shape[0]}, and is to be refused"
    return flaw_of(pixels, file.expect)


def refusal_of_an_eighth(file: HostileFile) -> str:
    try:
        Photo(file.data).pixels(longer=1)
    except InvalidImage as refusal:
        return str(refusal)
    return ""


def test_hostile_files_are_decoded_right_or_refused_in_a_sentence() -> None:
    names: Counter[str] = Counter()
    wrong = {}
    for file in corpus():
        names[file.name] += 1
        if found := flaw(file):
            wrong[file.name] = found
    assert not wrong
    assert len(names) >= 300
    assert set(names.values()) == {1}, "each has a name of its own"

"""What schemathesis can't make by itself: pictures. Named by SCHEMATHESIS_HOOKS.

A body of random bytes is a right request only by its media type; whether it is a picture is what a 422 says.
So bodies are pictures here, and all else of a request is made from the specification.
"""

import io

import schemathesis
from hypothesis import strategies
from PIL import Image

from tests.helpers.paths import ROOT

_PORTRAIT = ROOT / "tests" / "assets" / "astronaut.jpg"


def _encoded(kind: str) -> bytes:
    with Image.open(_PORTRAIT) as picture:
        encoded = io.BytesIO()
        picture.resize((256, 256)).save(encoded, kind)
        return encoded.getvalue()


PICTURES = {f"image/{kind}": _encoded(kind) for kind in ("jpeg", "png", "webp")}

for media_type, picture in PICTURES.items():
    schemathesis.openapi.media_type(media_type, strategies.just(picture))
schemathesis.openapi.format("binary", strategies.sampled_from(list(PICTURES.values())))

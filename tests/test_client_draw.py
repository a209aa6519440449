"""The drawing reads at any size, hides no face, and its axes point where the face looks."""

import io
import math

import cv2
import numpy as np
import pytest
from PIL import Image

from qface_client import Classification, Face, MultiLabel, Points, Rotation, Value
from qface_client import _layout as layout
from qface_client import draw as drawing
from qface_client.draw import AXES, axes_of, draw_faces
from qface_client.results import Box
from runtime.decode import decode_image
from runtime.pose import rotation_from_angles


def face(box: Box, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Face:
    return Face(
        box=box,
        score=0.9,
        landmarks5=None,
        answers={
            "mood": Classification("glad_indeed", {"glad_indeed": 0.75, "sad": 0.25}),
            "units": MultiLabel(
                {f"U{i}": 0.9 - i / 50 for i in range(8)}, active=[f"U{i}" for i in range(7)]
            ),
            "age": Value(31.2, "years"),
            "pose": Rotation({"yaw": yaw, "pitch": pitch, "roll": roll}),
        },
        contract=None,
    )


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 40), (-50, 25, -70), (80, -30, 170)]
)
def test_axes_are_the_columns_of_the_servers_rotation(angles: tuple[float, float, float]) -> None:
    rotation = rotation_from_angles(angles)
    x, y, forward = axes_of(Rotation(dict(zip(("yaw", "pitch", "roll"), angles, strict=True))))
    np.testing.assert_allclose([x, y, forward], [rotation[:, 0], rotation[:, 1], -rotation[:, 2]], atol=1e-12)


@pytest.mark.parametrize(
    ("turn", "direction"),
    [({"yaw": 40}, (1, 0)), ({"yaw": -40}, (-1, 0)), ({"pitch": 40}, (0, -1)), ({"pitch": -40}, (0, 1))],
)
def test_the_blue_axis_ends_where_the_face_looks(turn: dict[str, float], direction: tuple[int, int]) -> None:
    drawn = draw_faces(Image.new("RGB", (1000, 1000), (200, 200, 200)), [face((400, 400, 600, 600), **turn)])
    inside = np.asarray(drawn)[405:595, 405:595].astype(int)
    blue = np.argwhere(np.abs(inside - AXES[2]).sum(axis=-1) < 30) - 95
    dy, dx = blue[np.argmax(np.hypot(*blue.T))]
    assert math.copysign(1, dx if direction[0] else dy) == sum(direction)
    assert abs(dy if direction[0] else dx) < 20 < abs(dx if direction[0] else dy)


@pytest.mark.parametrize("size", [(96, 96), (40, 96), (512, 512), (720, 200), (3000, 2000)])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_every_caption_is_whole_and_hides_no_face_when_faces_are_few(
    size: tuple[int, int], count: int
) -> None:
    width, height = size
    side = min(width / count, height) * 0.6
    faces = [
        face((i * width / count, height * 0.1, i * width / count + side, height * 0.1 + side))
        for i in range(count)
    ]
    scale = max(1.0, drawing.SMALLEST_SIDE / max(size))
    shown = (round(width * scale), round(height * scale))
    plan = layout.Plan(shown, faces, scale=scale)
    places = [placed.place for placed in plan.faces if placed.place is not None]
    assert len(places) == count
    for place in places:
        assert 0 <= place[0] <= place[2] <= plan.canvas[0]
        assert 0 <= place[1] <= place[3] <= plan.canvas[1]
        if count < layout.MANY_FACES:
            assert all(layout.overlap(place, placed.box) == 0 for placed in plan.faces)
    drawn = draw_faces(Image.new("RGB", size), faces)
    assert drawn.size == plan.canvas
    assert drawn.mode == "RGB"


def test_letters_grow_with_the_picture() -> None:
    units = [layout.Plan((side, side), [], scale=1).unit / side for side in (720, 1500, 6000)]
    assert max(units) < 1.1 * min(units)


def test_a_photo_without_a_face_stays_as_it_is() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (800, 900, 3), dtype=np.uint8))
    assert np.array_equal(np.asarray(draw_faces(photo, [])), np.asarray(photo))


def test_the_exif_rotation_is_applied_before_boxes_are_drawn() -> None:
    photo = Image.new("RGB", (1000, 800))
    photo.getexif()[0x0112] = 6  # turned by 90 degrees: the picture is 800 wide
    assert draw_faces(photo, []).size == (800, 1000)


def test_faces_that_reach_out_of_the_photo_or_have_no_size_are_drawn() -> None:
    odd = [face((-50, -50, 100, 100)), face((700, 700, 900, 900)), face((300, 300, 300, 300))]
    assert draw_faces(Image.new("RGB", (800, 800)), odd).size[0] >= 800


def test_pictures_of_every_mode_can_be_drawn_on() -> None:
    for mode in ("L", "LA", "P", "RGBA", "CMYK", "I;16"):
        assert draw_faces(Image.new(mode, (100, 100)), [face((20, 20, 60, 60))]).mode == "RGB"


@pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["16-bit grey", "16-bit colour", "16-bit alpha"])
def test_the_picture_under_the_answers_is_the_one_that_the_server_saw(channels: tuple[int, ...]) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (800, 900, *channels), dtype=np.uint16)
    encoded = cv2.imencode(".png", deep)[1].tobytes()
    drawn = np.asarray(draw_faces(Image.open(io.BytesIO(encoded)), [])).astype(int)
    served = decode_image(encoded).astype(int)
    assert drawn.shape == served.shape
    assert np.abs(drawn.mean(axis=(0, 1)) - served.mean(axis=(0, 1))).max() < 1
    assert np.abs(drawn - served).max() <= 2


def test_points_are_drawn_where_they_are() -> None:
    answers = {"dots": Points(np.array([[500, 250]], np.float32), ("tip",))}
    only = Face(box=(400, 200, 600, 400), score=1, landmarks5=None, answers=answers, contract=None)
    drawn = draw_faces(Image.new("RGB", (1000, 1000)), [only])
    pixels = np.asarray(drawn).astype(int)
    assert np.abs(pixels[250, 500] - layout.PALETTE[0]).max() < 12
    assert not pixels[250, 520].any()

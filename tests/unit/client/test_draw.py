"""The drawing reads at any size, hides no face, and its axes point where the face looks."""

import dataclasses
import io
import math

import cv2
import numpy as np
import pytest
from PIL import Image

from qface_client import Answer, Classification, Face, Mask, MultiLabel, Points, Rotation, Value, Visibility
from qface_client import draw as drawing
from qface_client._drawing import layout
from qface_client._drawing import legend as legends
from qface_client.contract import ErrorBounds
from qface_client.draw import AXES, axes_of, draw_faces
from qface_client.kinds.base import BACK
from qface_client.kinds.mask import MASK_ALPHA
from qface_client.results import OUTSIDE, Box
from runtime.image.decode import decode_image
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


def test_what_of_a_face_lies_outside_the_photo_is_not_drawn() -> None:
    """A close-up: captions stand beside the photo, the legend below it, with a gap that nothing crosses."""
    xy = np.array([[102, 50], [102, 80], [50, 102], [20, 102]], np.float32)
    close = face((5, 5, 99, 99), yaw=70, roll=10)
    sight = Visibility({"p": 0.9, "q": 0.1}, active=["p"], task="dots", indices=(0, 1))
    answers = {**close.answers, "dots": Points(xy, ("tip",) * len(xy)), "sight": sight}
    only = Face(box=close.box, score=1, landmarks5=None, answers=answers, contract=None)
    drawn = np.asarray(draw_faces(Image.new("RGB", (100, 100)), [only])).astype(int)
    side, smooth = drawing.SMALLEST_SIDE, 3  # pixels over which an edge is smoothed
    assert drawn.shape[0] > side < drawn.shape[1]
    for gap in (drawn[:side, side + smooth : side + 8], drawn[side + smooth : side + 8, :side]):
        assert np.abs(gap - BACK).max() < 3


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


BOUNDS = ErrorBounds(unit="u", within=((0.5, 0.7), (0.8, 1.6)))


def test_whiskers_reach_over_four_of_five_true_angles() -> None:
    """Of a face that looks into the camera, yaw moves the blue axis's end sideways, pitch up and down."""
    reaches = []
    for errors in (None, {"yaw": 20.0, "pitch": 10.0, "roll": 0.0}):
        pose = Rotation({"yaw": 0.0, "pitch": 0.0, "roll": 0.0}, errors=errors, bounds=BOUNDS)
        alone = dataclasses.replace(face((260, 260, 460, 460)), answers={"pose": pose})
        drawn = draw_faces(Image.new("RGB", (720, 720), (200, 200, 200)), [alone])
        inside = np.asarray(drawn)[265:455, 265:455].astype(int)
        reaches.append(np.abs(np.argwhere(np.abs(inside - AXES[2]).sum(axis=-1) < 60) - 95).max(axis=0))
    moved = [200 * 0.55 * math.sin(math.radians(degrees * 1.6)) for degrees in (10, 20)]
    assert reaches[1].tolist() == pytest.approx(moved, abs=3)
    assert max(reaches[0]) < min(reaches[1]) / 2


def test_a_point_has_a_circle_where_four_of_five_true_ones_lie_unless_its_dot_hides_it() -> None:
    errors = np.array([30, 0.5], np.float32)
    dots = Points(np.array([[360, 180], [360, 540]], np.float32), ("a", "b"), errors=errors, bounds=BOUNDS)
    alone = dataclasses.replace(face((60, 60, 660, 660)), answers={"dots": dots})
    drawn = np.asarray(draw_faces(Image.new("RGB", (720, 720)), [alone])).astype(int).sum(axis=-1)[:720]
    y, x = np.mgrid[:720, :720]
    for at, expected in ((180, [0, 1, 0]), (540, [0, 0, 0])):
        apart = np.hypot(x - 360, y - at)
        rings = [drawn[np.abs(apart - reach) < 2].max() for reach in (30, 48, 66)]
        assert [int(bright > 100) for bright in rings] == expected


def test_numbers_stand_with_their_spread_and_the_legend_says_what_it_is() -> None:
    age = Value(31.2, "years", error=4.4, bounds=BOUNDS)
    assert [row.text for row in (*age.caption("age"), *age.short_caption())] == ["31 ± 7 years"] * 2
    pose = Rotation({"yaw": -4.2, "roll": 0.0}, errors={"yaw": 2.0, "roll": 5.0}, bounds=BOUNDS)
    assert [row.text for row in pose.caption("pose")] == ["yaw -4°  roll 0°", "yaw ±3°  roll ±8°"]
    stating = dataclasses.replace(face((1, 1, 9, 9)), answers={"age": age})
    assert [entry.text for entry in legends.entries([stating])] == [
        "± and thin lines: 80% of true values lie within"
    ]
    assert legends.entries([face((1, 1, 9, 9))]) == []


def test_one_label_alone_stands_with_its_probability_also_where_it_is_not_active() -> None:
    (row,) = MultiLabel({"usable": 0.4}, active=[]).caption("judged")
    assert (row.text, row.share) == ("usable 40%", 0.4)


def test_points_are_drawn_where_they_are() -> None:
    answers = {"dots": Points(np.array([[500, 250]], np.float32), ("tip",))}
    only = Face(box=(400, 200, 600, 400), score=1, landmarks5=None, answers=answers, contract=None)
    drawn = draw_faces(Image.new("RGB", (1000, 1000)), [only])
    pixels = np.asarray(drawn).astype(int)
    assert np.abs(pixels[250, 500] - layout.PALETTE[0]).max() < 12
    assert not pixels[250, 520].any()


LABELS = ("nothing", "cheek", "ear")


def masked(box: Box, ids: np.ndarray, to_photo: list[list[float]], **answers: Answer) -> Face:
    mask = Mask(np.asarray(ids, np.uint8), LABELS, np.array(to_photo, np.float32))
    return Face(box=box, score=1, landmarks5=None, answers={"parts": mask, **answers}, contract=None)


def test_a_mask_colours_its_own_pixels_and_lets_the_photo_through() -> None:
    ids = np.array([[1, 1, 2, OUTSIDE], [0, 0, 2, OUTSIDE]])
    photo = Image.new("RGB", (1000, 1000), (100, 100, 100))
    pixels = np.asarray(draw_faces(photo, [masked((0, 0, 4, 4), ids, [[50, 0, 324.5], [0, 50, 424.5]])]))
    cheek, ear, nothing, outside = (
        pixels[y, x].astype(int) for x, y in ((350, 420), (420, 470), (350, 470), (480, 420))
    )
    for colour, index in ((cheek, 1), (ear, 2)):
        share = MASK_ALPHA / 255
        np.testing.assert_allclose(
            colour, share * np.array(legends.colour_of(index)) + (1 - share) * 100, atol=4
        )
    assert nothing.tolist() == outside.tolist() == [100, 100, 100]


def test_the_legend_names_what_is_there_below_the_picture() -> None:
    one = masked((10, 10, 60, 60), np.array([[0, 2], [OUTSIDE, 0]]), [[20, 0, 0], [0, 20, 0]])
    assert [entry.text for entry in legends.entries([one])] == ["parts", "ear"]
    photo = Image.new("RGB", (800, 600), (100, 100, 100))
    drawn = np.asarray(draw_faces(photo, [one]))
    assert drawn.shape[0] > 600
    assert (np.abs(drawn[600:].astype(int) - legends.colour_of(2)).sum(axis=-1) < 30).any()
    nothing = masked((10, 10, 60, 60), np.zeros((2, 2)), [[20, 0, 0], [0, 20, 0]])
    assert draw_faces(photo, [nothing]).size == (800, 600)


@pytest.mark.parametrize("size", [(96, 96), (40, 96), (3000, 2000), (2000, 30)])
def test_every_word_of_the_legend_is_on_the_canvas(size: tuple[int, int]) -> None:
    faces = [masked((1, 1, 9, 9), np.array([[0, 1], [2, 2]]), [[5, 0, 0], [0, 5, 0]])]
    drawn = draw_faces(Image.new("RGB", size), faces)
    scale = max(1.0, drawing.SMALLEST_SIDE / max(size))
    plan = layout.Plan((round(size[0] * scale), round(size[1] * scale)), faces, scale=scale)
    legend = legends.laid_out(faces, width=drawn.width, unit=plan.unit)
    assert drawn.size == (plan.canvas[0], plan.canvas[1] + legend.height)
    for x, y, entry in legend.places:
        assert 0 <= y <= legend.height
        assert x + layout.font_of(legend.text).getlength(entry.text) <= drawn.width or len(legend.places) < 3


@pytest.mark.parametrize("shift", [-400.0, -30.0, 90.0, 5000.0])
def test_a_mask_that_reaches_out_of_the_photo_is_drawn(shift: float) -> None:
    ids = np.ones((10, 10))
    face_there = masked((10, 10, 60, 60), ids, [[12, 0, shift], [0, 12, shift]])
    assert draw_faces(Image.new("RGB", (100, 100)), [face_there]).mode == "RGB"


def test_points_that_can_not_be_seen_are_hollow() -> None:
    answers = {
        "dots": Points(np.array([[450, 250], [550, 250]], np.float32), ("tip", "chin")),
        "sight": Visibility({"p": 0.9, "q": 0.1}, active=["p"], task="dots", indices=(0, 1)),
    }
    only = Face(box=(400, 100, 1000, 700), score=1, landmarks5=None, answers=answers, contract=None)
    pixels = np.asarray(draw_faces(Image.new("RGB", (1100, 1000), (90, 90, 90)), [only])).astype(int)
    assert np.abs(pixels[250, 450] - layout.PALETTE[0]).max() < 12
    assert np.abs(pixels[250, 550] - 90).max() < 12
    near = pixels[235:266, 535:566]
    assert (np.abs(near - layout.PALETTE[0]).max(axis=-1) < 40).any()
    texts = [(entry.text, entry.sign) for entry in legends.entries([only])]
    assert texts == [("dots", ""), ("seen", "dot"), ("hidden", "ring")]


def test_a_caption_hides_no_mask() -> None:
    ids = np.ones((10, 10))
    mood = Classification("glad", {"glad": 0.75, "sad": 0.25})
    wide = masked((300, 300, 400, 400), ids, [[30, 0, 200], [0, 30, 200]], mood=mood)
    plan = layout.Plan((1000, 1000), [wide], scale=1)
    (placed,) = plan.faces
    assert placed.place is not None
    assert placed.area == (200.5 - 15, 200.5 - 15, 500.5 - 15, 500.5 - 15)
    assert layout.overlap(placed.place, placed.area) == 0

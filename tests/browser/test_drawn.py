"""What is drawn over a photo lies where the answer says, on the screen, in the photo's pixels."""

import io
from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from qface_client.kinds.rotation import Rotation, axes_of
from tests.helpers.browser.answers import BOX, WIDTH, face
from tests.helpers.browser.gestures import drop
from tests.helpers.browser.page_server import PageServer
from tests.helpers.browser.pictures import Pictures

LAYERS = ("Boxes", "Landmarks", "Masks", "Pose axes")
NEAR = 6.0  # pixels of the photo: half of what a line is wide, and the rounding of the screen's pixels
CHANGED = 12  # of 255: less is what compressing and blending does
AXIS = 0.55  # of the box's side


def switch(page: Page, shown: Iterable[str]) -> None:
    """Draws these layers and no others."""
    wanted = set(shown)
    for layer in LAYERS:
        button = page.get_by_role("button", name=layer)
        if (button.get_attribute("aria-pressed") == "true") != (layer in wanted):
            button.click()


def seen(page: Page) -> NDArray[np.int16]:
    """The photo as it is on the screen with what is drawn over it, [H, W, 3]."""
    with Image.open(io.BytesIO(page.locator("#frame").screenshot())) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16)


def test_boxes_points_masks_and_axes_lie_where_the_answer_says(
    page: Page, stand_in: PageServer, pictures: Pictures
) -> None:
    page.goto(stand_in.url)
    drop(page, pictures.astronaut)
    expect(page.get_by_role("status")).to_have_text("1 face found in astronaut.jpg")
    left, top, right, bottom = BOX
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    angles = face()["turn"]
    ends = [
        middle,
        *(middle + AXIS * (right - left) * np.array(axis[:2]) for axis in axes_of(Rotation(angles))),
    ]
    expected = {
        "Boxes": BOX,
        "Landmarks": BOX,  # its corners, and the middle of its upper edge
        "Masks": (left, middle[1], right, bottom),
        "Pose axes": (*np.min(ends, axis=0), *np.max(ends, axis=0)),
    }
    switch(page, ())
    bare = seen(page)
    scale = bare.shape[1] / WIDTH
    for layer, place in expected.items():
        switch(page, [layer])
        rows, columns = np.nonzero(np.abs(seen(page) - bare).max(axis=2) > CHANGED)
        assert rows.size, f"{layer}: nothing is drawn"
        drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / scale
        assert drawn == pytest.approx(np.array(place), abs=NEAR), layer
    switch(page, ())
    assert np.abs(seen(page) - bare).max() <= CHANGED
    switch(page, ["Masks"])
    page.get_by_role("slider", name="Mask opacity").fill("0")
    assert np.abs(seen(page) - bare).max() <= CHANGED

"""Angles and rotations."""

import numpy as np
import pytest

from runtime.pose import angles_from_rotation, rotate_in_plane, rotation_from_angles


def test_each_angle_means_what_it_says() -> None:
    """The face looks along -z of its own axes; x is the photo's right, y down."""
    forward = -rotation_from_angles([[30, 0, 0], [0, 30, 0], [0, 0, 30]])[:, :, 2]
    assert forward[0, 0] > 0.4  # yaw > 0: toward the photo's right
    assert forward[1, 1] < -0.4  # pitch > 0: up
    chin = rotation_from_angles([0, 0, 30]) @ [0, 1, 0]
    assert chin[0] < -0.4  # roll > 0, clockwise: the chin swings to the photo's left


@pytest.mark.parametrize("angles", [(0, 0, 0), (40, -20, 170), (-89, 60, -30), (10, 100, 5)])
def test_angles_survive_the_way_through_a_rotation(angles: tuple[float, ...]) -> None:
    np.testing.assert_allclose(angles_from_rotation(rotation_from_angles(angles)), angles, atol=1e-9)


@pytest.mark.parametrize("yaw", [90, -90])
def test_a_full_profile_gives_the_same_rotation_back(yaw: float) -> None:
    rotation = rotation_from_angles([yaw, 25, 40])
    angles = angles_from_rotation(rotation)
    assert angles[2] == 0
    np.testing.assert_allclose(rotation_from_angles(angles), rotation, atol=1e-6)


def test_turning_the_picture_adds_to_roll_alone() -> None:
    rotation = rotation_from_angles([[25, -10, 5], [-60, 30, 0]])
    turned = angles_from_rotation(rotate_in_plane(rotation, [20, -15]))
    np.testing.assert_allclose(turned, [[25, -10, 25], [-60, 30, -15]], atol=1e-9)

"""Head pose: rotation matrices and the three angles that people read.

Camera frame: x to the photo's right, y down, z into the scene. A face that looks straight into the
camera has the identity rotation, and looks along -z. Angles are degrees: yaw > 0 turns the face
toward the photo's right, pitch > 0 lifts the chin, roll > 0 tilts the head clockwise in the photo:

    R = Rz(roll) @ Ry(-yaw) @ Rx(-pitch)

In this order roll is a rotation of the picture itself, so that turning a photo by an angle adds that
angle to roll and leaves yaw and pitch alone.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rotation_from_angles(angles: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrices [..., 3, 3] from (yaw, pitch, roll) [..., 3] in degrees."""
    yaw, pitch, roll = np.moveaxis(np.radians(np.asarray(angles, dtype=np.float64)), -1, 0)
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    rows = [
        [cr * cy, cr * sy * sp - sr * cp, -cr * sy * cp - sr * sp],
        [sr * cy, sr * sy * sp + cr * cp, -sr * sy * cp + cr * sp],
        [sy, -cy * sp, cy * cp],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def angles_from_rotation(rotation: ArrayLike) -> NDArray[np.float64]:
    """(yaw, pitch, roll) [..., 3] in degrees from rotation matrices [..., 3, 3].

    Yaw lies in [-90, 90]; pitch and roll in (-180, 180]. At yaw = +-90 pitch and roll turn about the
    same axis: roll is then taken as 0.
    """
    r = np.asarray(rotation, dtype=np.float64)
    yaw = np.arcsin(np.clip(r[..., 2, 0], -1.0, 1.0))
    locked = np.hypot(r[..., 0, 0], r[..., 1, 0]) < 1e-6
    pitch = np.where(locked, np.arctan2(r[..., 1, 2], r[..., 1, 1]), np.arctan2(-r[..., 2, 1], r[..., 2, 2]))
    roll = np.where(locked, 0.0, np.arctan2(r[..., 1, 0], r[..., 0, 0]))
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], axis=-1)))


def rotate_in_plane(rotation: ArrayLike, degrees: ArrayLike) -> NDArray[np.float64]:
    """The rotations [..., 3, 3] after the picture is turned clockwise by `degrees` [...]."""
    angle = np.radians(np.asarray(degrees, dtype=np.float64))
    turn = np.zeros((*angle.shape, 3, 3))
    turn[..., 0, 0] = turn[..., 1, 1] = np.cos(angle)
    turn[..., 1, 0] = np.sin(angle)
    turn[..., 0, 1] = 0 - turn[..., 1, 0]
    turn[..., 2, 2] = 1
    return turn @ np.asarray(rotation, dtype=np.float64)

"""Occluders in front of the face: a hand, a bar, a board or a patch."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.render.scene.scene import Scene

_PART = 7


def draw_occluder(
    scene: Scene,
    light: NDArray[np.float32],
    landmarks: NDArray[np.floating[Any]],
    texture: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Draw the scene's occluder over a picture [H, W, 3] (linear light), in place; returns its pixels [H, W].

    `landmarks` [68, 2] locate the face; patches are cut from `texture` [H, W, 3].
    """
    height, width = light.shape[:2]
    covered = np.zeros((height, width), np.uint8)
    if scene.occluder in ("none", "edge"):
        return covered.astype(bool)
    rng = scene.rng(_PART)
    span = float(np.linalg.norm(np.ptp(landmarks, axis=0))) / 1.6
    aim = landmarks[int(rng.choice([2, 8, 14, 19, 24, 33, 37, 44, 51, 57]))] + rng.normal(0, 0.12 * span, 2)
    colour = np.asarray(rng.uniform(0.02, 0.85) * rng.normal(1, 0.15, 3))
    shade = np.ones((height, width), np.float32)
    if scene.occluder == "hand":
        base = (
            np.array(scene.skin) if rng.random() < 0.7 else rng.uniform(0.25, 0.85) * np.array([1, 0.8, 0.68])
        )
        colour = base * rng.uniform(0.75, 1.1)
        _hand(rng, covered, shade, aim, span)
    elif scene.occluder == "bar":
        turn = rng.uniform(0, np.pi)
        reach = np.array([np.cos(turn), np.sin(turn)]) * span * 3
        stop = aim if rng.random() < 0.5 else aim - reach  # a microphone ends somewhere, a pole does not
        thick = int(max(3, span * rng.uniform(0.06, 0.3)))
        cv2.line(covered, _whole(stop), _whole(aim + reach), (1,), thick)
    elif scene.occluder == "board":
        shape = (tuple(aim), tuple(span * rng.uniform([0.35, 0.5], [0.8, 1.3])), float(rng.uniform(-40, 40)))
        cv2.fillPoly(covered, [cv2.boxPoints(shape).astype(np.int32)], (1,))
    else:
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        radius = (
            span
            * rng.uniform(0.2, 0.45)
            * (1 + 0.25 * np.sin(angle * rng.integers(2, 5) + rng.uniform(0, 6)))
        )
        outline = (
            aim + np.stack([np.cos(angle), np.sin(angle) * rng.uniform(0.5, 1.5)], axis=1) * radius[:, None]
        )
        cv2.fillPoly(covered, [outline.astype(np.int32)], (1,))
    mask = covered.astype(bool)
    painted = np.broadcast_to(np.clip(colour, 0.01, 1).astype(np.float32), light.shape)
    if scene.occluder == "patch" or (scene.occluder == "board" and rng.random() < 0.4):
        painted = np.roll(texture, rng.integers(0, max(2, height), 2), axis=(0, 1))
    # Lit about as the face is.
    level = float(light[_inside(landmarks, light.shape)].mean()) if len(landmarks) else 0.4
    inside = painted[mask] ** 2.2 * shade[mask][:, None]
    gain = np.clip(level / max(float(inside.mean()), 1e-3), 0.3, 1.5) if scene.occluder == "hand" else 1.0
    light[mask] = inside * gain
    return mask


def _hand(
    rng: np.random.Generator,
    covered: NDArray[np.uint8],
    shade: NDArray[np.float32],
    aim: NDArray[np.floating[Any]],
    span: float,
) -> None:
    """A palm with fingers side by side, each rounded by its shading."""
    turn = rng.uniform(0, 2 * np.pi)
    ahead = np.array([np.cos(turn), np.sin(turn)])
    sideways = np.array([-ahead[1], ahead[0]])
    thick = span * rng.uniform(0.12, 0.17)
    fan = rng.uniform(0, 0.12)
    fingers = int(rng.integers(1, 5))
    # The palm lies behind the fingers, and the arm behind it runs out of the picture.
    palm = aim - ahead * span * 0.55
    bones = [(palm - ahead * span * 2, palm, 2.6), (palm, palm + ahead * span * 0.1, 3.9)]
    for i in range(4):
        length = span * (rng.uniform(0.5, 0.62) if i < fingers else rng.uniform(0.12, 0.2))
        direction = np.cos(fan * (i - 1.5)) * ahead + np.sin(fan * (i - 1.5)) * sideways
        root = palm + sideways * thick * 1.02 * (i - 1.5)
        bones.append((root, root + direction * (length + 0.2 * span), 1.0))
    y, x = np.mgrid[0 : covered.shape[0], 0 : covered.shape[1]].astype(np.float32)
    light = rng.uniform(-1, 1)
    for start, end, wide in bones:
        line = end - start
        along = np.clip(((x - start[0]) * line[0] + (y - start[1]) * line[1]) / (line @ line + 1e-6), 0, 1)
        dx, dy = x - start[0] - along * line[0], y - start[1] - along * line[1]
        radius = thick * wide / 2
        distance = np.hypot(dx, dy)
        within = distance < radius
        across = (dx * sideways[0] + dy * sideways[1])[within] / radius
        round_ = np.sqrt(np.clip(1 - (distance[within] / radius) ** 2, 0, 1)) if wide < 2 else 0.75
        shade[within] = 0.45 + 0.5 * round_ + 0.15 * light * across
        covered[within] = 1


def _inside(
    landmarks: NDArray[np.floating[Any]], shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    columns = np.clip(np.rint(landmarks[:, 0]).astype(int), 0, shape[1] - 1)
    rows = np.clip(np.rint(landmarks[:, 1]).astype(int), 0, shape[0] - 1)
    return rows, columns


def _whole(point: NDArray[np.floating[Any]]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))

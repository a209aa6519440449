"""Draws tests/assets/heads: rendered heads with exact labels, as whole photos.

    python -m tests.helpers.faces.render_heads --head ict_compact.npz

`--head` is the head file that `python -m training.render` takes. The pictures show no photo of anybody and no
head that training learned from: they are drawn from seeds of their own, before made-up backgrounds. Every
expression is there near frontal, turned aside and far aside; all are turned in the plane too, by up to 45
degrees. The last ones are partly covered. Of what it makes, the table in tests/assets/README.md tells.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.helpers.paths import ASSETS
from training.render.drawing.picture import Picture, Renderer
from training.render.head.head_file import load_head
from training.render.scene.scene import Scene, draw_scene
from training.tasks import CATALOGUE

OUTPUT = ASSETS / "heads"
SIDE = 256  # of a picture, in pixels
SEED = 20_261_122  # far from the small numbers that runs of training.render take
QUALITY = 82  # of the WebP files
LIMITS = (60.0, 30.0, 45.0)  # of yaw, pitch and roll, degrees either way

# What the faces do: ARKit's shapes without their side. The action units that follow are written as labels.
MOVES: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"mouthSmile": 0.95, "cheekSquint": 0.7, "cheekRaiser": 0.6},
    "laugh": {"mouthSmile": 0.95, "cheekSquint": 0.8, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5},
    "open mouth": {"jawOpen": 0.8},
    "parted lips": {"mouthUpperUp": 0.6, "mouthLowerDown": 0.7},
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.9, "jawOpen": 0.6},
    "raised brows": {"browInnerUp": 0.9, "browOuterUp": 0.9},
    "inner brows": {"browInnerUp": 1.0},
    "frown": {"browDown": 1.0},
    "sneer": {"noseSneer": 1.0},
    "closed eyes": {"eyeBlink": 1.0},
    "wide eyes": {"eyeWide": 1.0},
    "stretched mouth": {"mouthStretch": 1.0},
    "raised chin": {"mouthShrugLower": 1.0},
}
TURNS = 3  # heads of each move: near frontal, turned, far turned
COVERED: tuple[dict[str, str], ...] = (
    {"occluder": "hand"},
    {"occluder": "board"},
    {"occluder": "patch"},
    {"occluder": "bar"},
    {"glasses": "dark"},
    {"glasses": "dark"},
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.helpers.faces.render_heads", description=__doc__)
    parser.add_argument("--head", type=Path, required=True, help="the head: an .npz file, or its folder")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where to (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        renderer = Renderer(load_head(args.head))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    args.output.mkdir(parents=True, exist_ok=True)
    heads = []
    for number, (move, scene) in enumerate(scenes(renderer)):
        picture = renderer.render(scene)
        name = f"{number:02d}"
        _write(args.output / f"{name}.webp", picture.pixels, (cv2.IMWRITE_WEBP_QUALITY, QUALITY))
        _write(args.output / f"{name}.png", picture.mask, (cv2.IMWRITE_PNG_COMPRESSION, 9))
        heads.append({"file": f"{name}.webp", "mask": f"{name}.png", "move": move, **_labels(picture)})
        print(f"{name} {move}: {', '.join(f'{angle:.0f}' for angle in scene.angles)}")
    tasks = ("head_pose", "landmarks", "visibility", "action_units", "parsing")
    labels = {task: CATALOGUE[task].labels for task in tasks}
    text = json.dumps({"labels": labels, "heads": heads}, separators=(",", ":"))
    (args.output / "labels.json").write_text(text.replace('{"file"', '\n{"file"') + "\n")
    return 0


def scenes(renderer: Renderer) -> list[tuple[str, Scene]]:
    """The heads in their order, each with the name of what its face does."""
    rng = np.random.default_rng(SEED)
    moves = [move for move in MOVES for _ in range(TURNS)]
    found = []
    for number, (move, angles) in enumerate(zip(moves, _angles(rng, len(MOVES), TURNS), strict=True)):
        found.append(
            (move, _scene(renderer, number, move, angles, glasses="clear" if number % 6 == 1 else "none"))
        )
    for number, (changes, angles) in enumerate(zip(COVERED, _angles(rng, len(COVERED), 1), strict=True)):
        scene = _scene(renderer, len(moves) + number, "neutral", angles * [0.5, 0.5, 1], **changes)
        found.append(("covered", scene))
    return found


def _angles(rng: np.random.Generator, moves: int, turns: int) -> NDArray[np.float64]:
    """Yaw, pitch and roll [moves * turns, 3]: every angle spread over its whole range.

    Of each move's heads the first is the one turned aside least, the last the one turned most.
    """
    count = moves * turns
    at = np.linspace(-1, 1, count)
    at = np.sign(at) * np.abs(at) ** 1.3  # a little denser about frontal
    yaws = at[np.argsort(np.abs(at), kind="stable")].reshape(turns, moves)
    yaws = rng.permuted(yaws, axis=1).T.reshape(-1)
    angles = np.stack([yaws, rng.permutation(at), rng.permutation(at)], axis=1)
    return np.asarray(np.round(angles * LIMITS, 1))


def _scene(renderer: Renderer, number: int, move: str, angles: NDArray[np.float64], **changes: Any) -> Scene:
    head = renderer.head
    rng = np.random.default_rng([SEED, number])
    drawn = draw_scene(rng, size=SIDE, identities=len(head.identity), names=head.names)
    yaw, pitch, roll = angles.tolist()
    expression = {
        name: weight
        for shape, weight in MOVES[move].items()
        for name in (shape, f"{shape}_L", f"{shape}_R")
        if name in head.names
    }
    # In good light, whole, and with nothing on that hides what the face does.
    fixed: dict[str, Any] = {
        "angles": (yaw, pitch, roll),
        "body": (0.4 * yaw, 0.2 * pitch, 0.4 * roll),
        "expression": expression,
        "place": (0.5, 0.5),
        "side": 0.56 * SIDE,
        "exposure": float(np.clip(drawn.exposure, 0.42, 0.65)),
        "fringe": 0.0,
        "hat": "none",
        "mask": False,
        "occluder": "none",
        "glasses": "none",
    }
    return dataclasses.replace(drawn, **(fixed | changes))


def _labels(picture: Picture) -> dict[str, Any]:
    """What is known of a picture; lists are in the catalogue's order, pixels have one digit."""
    known = picture.labels
    return {
        "head_pose": known["head_pose"],
        "landmarks": np.round(picture.landmarks, 1).tolist(),
        "visibility": [int(known["visibility"][label]) for label in CATALOGUE["visibility"].labels],
        "action_units": [round(known["action_units"][unit], 2) for unit in CATALOGUE["action_units"].labels],
    }


def _write(path: Path, pixels: NDArray[np.uint8], options: tuple[int, int]) -> None:
    done, content = cv2.imencode(path.suffix, pixels[..., ::-1] if pixels.ndim == 3 else pixels, options)
    if not done:
        raise RuntimeError(f"OpenCV could not write {path.name} of {pixels.shape}")
    path.write_bytes(content.tobytes())


if __name__ == "__main__":
    sys.exit(main())

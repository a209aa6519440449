"""One picture of the head: everything put together, seen by the camera, with its labels."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.pose import rotation_from_angles
from training.render import labels as labelling
from training.render.drawing.camera import apply_camera, apply_jpeg
from training.render.drawing.raster import Fragments, interpolation, rasterize
from training.render.drawing.shading import (
    CLASSES,
    UNKNOWN,
    Surface,
    displayed,
    head_surface,
    light_up,
    linear,
    noise_bank,
)
from training.render.head.expressions import action_units, posed_expression
from training.render.head.head_file import Floats, Head, normals
from training.render.head.mesh import Mesh
from training.render.head.vertex_fields import VertexFields, make_vertex_fields
from training.render.scene.accessories import body, glasses, jewellery
from training.render.scene.background import draw_background
from training.render.scene.hair import Skull, hair_mesh, hat_mesh
from training.render.scene.occluders import draw_occluder
from training.render.scene.scene import Scene

_BACKGROUND_PART, _CAMERA_PART, _EDGE_PART = 8, 9, 10
# Shells of hair and cloth lie at their own surfaces: the class ids of what covers the face are these.
_OCCLUDED_CLASS = CLASSES["background"]
_FULL_BEARD = 0.45  # how far a full beard stands off, cm
_MASK_OFF = 0.5  # and a mask


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A rendered picture and its labels, in its own pixels and camera.

    pixels [H, W, 3] uint8 RGB. labels: by task, as training.data has them. mask [H, W] uint8: classes
    of the parsing task. landmarks [68, 2].
    """

    pixels: NDArray[np.uint8]
    labels: dict[str, Any]
    mask: NDArray[np.uint8]
    landmarks: NDArray[np.float64]


class Renderer:
    """Makes pictures of one head; what is the same for all of them is made once (about two seconds)."""

    def __init__(self, head: Head, *, backgrounds: Sequence[Path] = ()) -> None:
        self.head = head
        self.backgrounds = backgrounds
        self.fields: VertexFields = make_vertex_fields(head)
        self.skull = Skull.of(head, self.fields)
        self.marks = labelling.LabelVertices.of(head, self.fields)
        self.noise = noise_bank()
        self._eyeball = head.topology.in_parts("left_eyeball", "right_eyeball")
        marks = head.landmarks(head.base)
        eyes = (marks[36:42].mean(axis=0) + marks[42:48].mean(axis=0)) / 2
        # The centre of the aligned crop, and its side (runtime.image.align.CROP_SCALE eye-mouth distances).
        self.middle = (eyes + (marks[48] + marks[54]) / 2) / 2
        self.crop_side = 3.4 * float(np.linalg.norm((marks[48] + marks[54]) / 2 - eyes))

    def render(self, scene: Scene) -> Picture:
        """The picture of a scene. The same scene gives the same picture."""
        shape = self.head.shape(identity=scene.identity, expression=scene.expression)
        points, meshes, cloth = self._with_accessories(scene, shape)
        view = _View(scene, self.head, self.fields, points, meshes, middle=self.middle, side=self.crop_side)
        buffer = view.buffer
        light, classes = self._shade(scene, view, cloth)

        # Labels come from where the skin is, not from the beard or the mask on it.
        bare = view.camera_of(shape, self.fields.follows)
        pixels = view.pixels_of(bare)
        posed = posed_expression(scene.expression)
        yaw, _, roll = scene.angles
        landmarks = labelling.landmarks(self.head, self.marks, pixels, yaw=yaw, roll=roll)

        background = (
            draw_background(scene.rng(_BACKGROUND_PART), size=scene.size, photos=self.backgrounds)
            if scene.camera_effects
            else np.full((scene.size, scene.size, 3), 0.5, np.float32)
        )
        picture = linear(background)
        picture[buffer.shown] = light
        mask = np.zeros((scene.size, scene.size), np.uint8)
        mask[buffer.shown] = classes
        nearness = _draw_lenses(scene, view, picture, mask)
        hidden = draw_occluder(scene, picture, landmarks, background)
        mask[hidden] = _OCCLUDED_CLASS
        picture = displayed(picture)
        if scene.camera_effects:
            picture = apply_camera(scene.rng(_CAMERA_PART), picture)
        result = np.asarray(np.rint(picture * 255), np.uint8)
        if scene.camera_effects:
            result = apply_jpeg(scene.rng(_CAMERA_PART + 100), result)
        seen = dict(labelling.visibility(self.marks, bare, pixels, nearness, hidden | (mask == UNKNOWN)))
        edge = _edge(scene, landmarks)
        result, mask, landmarks, seen = _cut(
            result, mask, landmarks, seen, edge, labelling.point_positions(self.marks, pixels)
        )
        return Picture(
            pixels=np.ascontiguousarray(result),
            labels={
                "head_pose": [float(angle) for angle in scene.angles],
                "landmarks": landmarks.tolist(),
                "visibility": seen,
                "action_units": action_units(scene.expression),
                **({} if posed is None else {"expression": posed}),
            },
            mask=mask,
            landmarks=landmarks,
        )

    def _with_accessories(self, scene: Scene, shape: Floats) -> tuple[Floats, list[Mesh], Floats]:
        """The head's vertices with beard and mask on, its accessories, and the clothes' colour on it."""
        unit = self.fields.unit
        points = shape
        if scene.beard == "full" or scene.mask:
            outward = normals(shape, self.head.triangles)
            coat = np.zeros(len(shape), np.float32)
            if scene.beard == "full":
                beard = np.minimum(self.fields["stubble"], -self.fields["lips"] - 0.2)
                coat = _FULL_BEARD * np.clip(beard / 1.5, 0, 1)
            if scene.mask:
                coat = np.maximum(coat, _MASK_OFF * np.clip(self.fields["covered"] / 0.8, 0, 1))
            points = shape + outward * (coat * unit)[:, None]
        meshes = hat_mesh(scene, self.skull, shape)
        hair = hair_mesh(scene, self.skull, shape)
        meshes += [hair] if hair is not None else []
        meshes += jewellery(scene, self.head, self.fields, shape)
        worn = glasses(scene, self.head, self.fields, shape)
        meshes += list(worn) if worn else []
        trunk, cloth = body(scene, self.fields, shape)
        return points, [*meshes, trunk], cloth

    def _shade(self, scene: Scene, view: "_View", cloth: Floats) -> tuple[Floats, NDArray[np.uint8]]:
        """Linear light [N, 3] and classes [N] of the pixels that show something."""
        ids, weights = interpolation(view.screen, view.triangles, view.buffer)
        of_head = ids[:, 0] < len(self.head.base)
        normal = (view.normals[ids] * weights[..., None]).sum(axis=1)
        at = (view.camera[ids] * weights[..., None]).sum(axis=1)
        # Shells are seen from both sides.
        turned = ((normal * at).sum(axis=1) > 0) & ~of_head
        normal[turned] *= -1
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
        openness = np.full(len(ids), 0.9, np.float32)
        albedo = np.zeros((len(ids), 3), np.float32)
        classes = np.full(len(ids), UNKNOWN, np.uint8)
        gloss, soft = np.zeros(len(ids), np.float32), np.zeros(len(ids), np.float32)
        bumps = np.zeros((len(ids), 2), np.float32)

        mine, share = ids[of_head], weights[of_head]
        surface = head_surface(
            scene,
            np.einsum("nkf,nk->nf", self.fields.values[mine], share),
            eyeball=self._eyeball[mine[:, 0]],
            cloth=np.einsum("nkc,nk->nc", cloth[mine], share),
            noise=self.noise,
        )
        albedo[of_head], classes[of_head] = surface.albedo, surface.classes
        gloss[of_head], soft[of_head], bumps[of_head] = surface.gloss, surface.soft, surface.bumps
        openness[of_head] = np.maximum((self.fields.openness[mine] * share).sum(axis=1), 0.08)
        in_mouth = of_head.copy()
        in_mouth[of_head] = surface.classes == CLASSES["mouth"]
        # The neutral mouth is shut: its inside would be black however far it opens.
        wide = min(1.0, scene.expression.get("jawOpen", 0.0) * 1.2 + 0.3)
        openness[in_mouth] = np.maximum(openness[in_mouth], 0.55 * wide)
        other, share = ids[~of_head], weights[~of_head]
        albedo[~of_head] = linear(np.einsum("nkc,nk->nc", view.colour[other - len(self.head.base)], share))
        owner = view.owner[other[:, 0] - len(self.head.base)]
        classes[~of_head] = np.array([_class_of(mesh) for mesh in view.meshes], np.uint8)[owner]
        gloss[~of_head] = np.array([mesh.gloss for mesh in view.meshes], np.float32)[owner]
        face = np.isin(classes, [CLASSES["skin"], CLASSES["nose"]])
        light = light_up(
            scene,
            Surface(albedo=albedo, gloss=gloss, soft=soft, classes=classes, bumps=bumps),
            normal=normal,
            at=at,
            openness=openness,
            caster=(view.camera, view.triangles),
            measured=face if face.sum() > 50 else np.ones(len(ids), bool),
        )
        return light, classes


class _View:
    """The head and its accessories before the camera: points, triangles and the z-buffer."""

    def __init__(
        self,
        scene: Scene,
        head: Head,
        fields: VertexFields,
        points: Floats,
        meshes: list[Mesh],
        *,
        middle: Floats,
        side: float,
    ) -> None:
        self.scene, self.unit, self.middle = scene, fields.unit, middle
        self._focal = scene.side / side * scene.distance * fields.unit
        self._head_turn = rotation_from_angles(scene.angles)
        self._body_turn = rotation_from_angles(scene.body)
        self.lens = next((mesh for mesh in meshes if mesh.name == "lens"), None)
        # Clear lenses are transparent: they are drawn over the rest.
        self.meshes = [mesh for mesh in meshes if mesh is not self.lens]
        camera = [self.camera_of(points, fields.follows)]
        camera += [self.camera_of(mesh.points, mesh.follows) for mesh in self.meshes]
        starts = np.cumsum([0, *map(len, camera)])
        self.camera = np.concatenate(camera)
        solid = [mesh.triangles + start for mesh, start in zip(self.meshes, starts[1:], strict=False)]
        self.triangles = np.concatenate([head.triangles, *solid]).astype(np.int32)
        cull = np.arange(len(self.triangles)) < len(head.triangles)
        self.colour = np.concatenate([mesh.colour for mesh in self.meshes])
        self.owner = np.repeat(np.arange(len(self.meshes)), [len(mesh.points) for mesh in self.meshes])
        self.normals = normals(self.camera, self.triangles)
        self.screen = self.screen_of(self.camera)
        self.buffer: Fragments = rasterize(
            self.screen, self.triangles, height=scene.size, width=scene.size, cull=cull
        )

    def camera_of(self, points: Floats, follows: Floats) -> Floats:
        """Points [V, 3] of the head's frame in the camera's: x right, y down, z into the scene."""
        # From x left of the subject, y up, z out of the face to the camera's axes, which are those of
        # a face that looks into it.
        pivot = np.array([0, -9, -1], np.float32) * self.unit
        axes = np.array([1, -1, -1], np.float32)
        from_pivot = (points - pivot) * axes
        ahead = ((pivot - self.middle) * axes) @ self._head_turn.T
        turned = from_pivot @ self._head_turn.T
        if follows.any():
            with_body = from_pivot @ self._body_turn.T
            turned = turned + (with_body - turned) * follows[:, None]
        place = np.array([0, 0, self.scene.distance * self.unit])
        return np.asarray(turned + ahead + place, np.float32)

    def pixels_of(self, camera: Floats) -> Floats:
        """Where points [V, 3] are in the picture, in pixels [V, 2]; the camera looks at the face's middle."""
        at = np.array(self.scene.place) * self.scene.size - 0.5
        return np.asarray(camera[:, :2] / camera[:, 2:] * self._focal + at, np.float32)

    def screen_of(self, camera: Floats) -> Floats:
        """Pixels and nearness [V, 3] for the z-buffer."""
        return np.concatenate([self.pixels_of(camera), 1 / camera[:, 2:]], axis=1)


def _class_of(mesh: Mesh) -> int:
    return UNKNOWN if mesh.label is None else CLASSES[mesh.label]


def _draw_lenses(scene: Scene, view: _View, picture: Floats, mask: NDArray[np.uint8]) -> Floats:
    """Draw the lenses over picture and mask, in place.

    Returned is the nearness [H, W] with what can't be seen through.
    """
    nearness = view.buffer.nearness
    lens = view.lens
    if lens is None:
        return nearness
    camera = view.camera_of(lens.points, lens.follows)
    screen = view.screen_of(camera)
    size = scene.size
    over = rasterize(screen, lens.triangles, height=size, width=size, cull=False)
    before = over.shown & (over.nearness > nearness)
    rng = scene.rng(_EDGE_PART + 1)
    tint = linear(lens.colour[0])
    y, x = np.nonzero(before)
    # What the lens mirrors: bright above or to one side.
    sweep = np.clip(np.sin((x * rng.normal() + y * rng.normal()) / size * 12 + rng.uniform(0, 6)), 0, 1)
    mirrored = (rng.beta(1, 4) * 0.6 * sweep)[:, None] * np.array(scene.sky)
    dark = scene.glasses == "dark"
    through = tint if dark else 0.85 + 0.15 * tint
    picture[y, x] = picture[y, x] * through + mirrored * (0.6 if dark else 0.5) + (0.02 * tint if dark else 0)
    # As in the annotated sets, eyes and brows keep their classes behind clear glass.
    kept = [CLASSES[name] for name in ("left_eye", "right_eye", "left_brow", "right_brow")]
    relabelled = before if dark else before & ~np.isin(mask, kept)
    mask[relabelled & (mask != _OCCLUDED_CLASS)] = CLASSES["glasses"]
    return np.where(before, over.nearness, nearness) if dark else nearness


def _edge(scene: Scene, landmarks: NDArray[np.floating[Any]]) -> tuple[int, int, int, int]:
    """What is left of the picture, x0, y0, x1, y1, where its edge cuts the face."""
    size = scene.size
    if scene.occluder != "edge":
        return 0, 0, size, size
    rng = scene.rng(_EDGE_PART)
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    cut = (high - low) * rng.uniform(0.05, 0.35)
    x0, y0, x1, y1 = 0, 0, size, size
    side = int(rng.integers(4))
    if side == 0:
        x0 = int(np.clip(low[0] + cut[0], 0, size // 2))
    elif side == 1:
        x1 = int(np.clip(high[0] - cut[0], size // 2, size))
    elif side == 2:
        y0 = int(np.clip(low[1] + cut[1] - 0.25 * (high[1] - low[1]), 0, size // 2))
    else:
        y1 = int(np.clip(high[1] - cut[1], size // 2, size))
    return x0, y0, x1, y1


def _cut(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    landmarks: NDArray[np.float64],
    seen: dict[str, float],
    edge: tuple[int, int, int, int],
    places: Floats,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64], dict[str, float]]:
    """Picture and labels within an edge; points outside of it are not seen."""
    x0, y0, x1, y1 = edge
    x, y = places.T
    inside = (x >= x0 - 0.5) & (y >= y0 - 0.5) & (x < x1 - 0.5) & (y < y1 - 0.5)
    seen = {label: value * float(i) for (label, value), i in zip(seen.items(), inside, strict=True)}
    return pixels[y0:y1, x0:x1], mask[y0:y1, x0:x1].copy(), landmarks - [x0, y0], seen

"""Which faces a step draws, and that labels move as their pictures do."""

import pathlib

import cv2
import numpy as np
import pytest

from runtime.pose import angles_from_rotation, rotation_from_angles
from tests.helpers.faces.synthetic_sets import made_face, make_set
from training.data.labels import UNKNOWN
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.data.sampling.augmentation import (
    NO_AUGMENTATION,
    Augmentation,
    augment_pixels,
    draw_geometry,
    fill_frame,
    warp_picture,
)
from training.data.sampling.step_batches import StepBatches
from training.kinds import kind_of
from training.kinds.forms import Motion
from training.kinds.mask import mirrored_mask
from training.tasks import CATALOGUE, TEN_TASKS, Task, select

SIZE = 64
NAN = float("nan")
STILL = np.array([[1.0, 0, 0], [0, 1, 0]])


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[FaceSet]:
    """A set of 10 faces with all labels, and one of 3 with the age alone."""
    root = tmp_path_factory.mktemp("data")
    make_set(root / "large", count=10, tasks=TEN_TASKS)
    make_set(root / "small", count=3, tasks=["age"], seed=1)
    return [FaceSet(root / "large"), FaceSet(root / "small")]


def _batches(sets: list[FaceSet], **changes: object) -> StepBatches:
    fields: dict[str, object] = {
        "counts": [5, 2],
        "tasks": select(TEN_TASKS),
        "size": SIZE,
        "steps": 100,
        "seed": 7,
        "augmentation": Augmentation(),
    }
    return StepBatches(sets, **{**fields, **changes})  # type: ignore[arg-type]


def _motion(*, mirrored: bool, turned: float, count: int = 1, patch: object = (NAN,) * 4) -> Motion:
    return Motion(
        matrix=np.repeat(STILL[None], count, axis=0),
        mirrored=np.full(count, mirrored),
        turned=np.full(count, turned),
        covered=np.repeat(np.array([patch], np.float64), count, axis=0),
        size=SIZE,
    )


def _moved(name: str, rows: object, motion: Motion, points: object = None) -> np.ndarray:
    array = np.asarray(rows, np.float32)
    return kind_of(CATALOGUE[name]).target(
        CATALOGUE[name],
        array,
        motion=motion,
        crop_size=SIZE,
        margin=0,
        points=None if points is None else np.asarray(points, np.float32),
    )


def test_a_step_is_decided_by_the_seed_and_its_number(sets: list[FaceSet]) -> None:
    first, again, later = _batches(sets)[3], _batches(sets)[3], _batches(sets)[4]
    assert all(np.array_equal(first[name], again[name], equal_nan=name != "parsing") for name in first)
    assert not np.array_equal(first["pixels"], later["pixels"])
    assert not np.array_equal(first["pixels"], _batches(sets, seed=8)[3]["pixels"])


def test_processes_share_a_step_row_by_row(sets: list[FaceSet]) -> None:
    whole = _batches(sets)
    halves = [_batches(sets, rank=rank, world=2) for rank in (0, 1)]
    expected = whole[6]
    # Of 5 and 2 faces: process 0 gets 3 and 1, process 1 gets 2 and 1.
    rows = ([0, 2, 4, 5], [1, 3, 6])
    for part, chosen in zip(halves, rows, strict=True):
        for name, values in part[6].items():
            np.testing.assert_array_equal(values, expected[name][chosen], err_msg=name)
        assert part.names(6) == [whole.names(6)[row] for row in chosen]


def test_a_pass_takes_every_face_once_and_small_sets_come_round_more_often(sets: list[FaceSet]) -> None:
    batches = _batches(sets)
    large = np.concatenate([batches.drawn_indices(0, step) for step in range(4)])
    assert sorted(large[:10]) == list(range(10))
    assert sorted(large[10:]) == list(range(10))
    assert list(large[:10]) != list(large[10:])
    small = np.concatenate([batches.drawn_indices(1, step) for step in range(3)])
    assert sorted(small[:3]) == sorted(small[3:]) == [0, 1, 2]
    # A batch may be larger than its set.
    assert sorted(_batches(sets, counts=[1, 6]).drawn_indices(1, 0)) == [0, 0, 1, 1, 2, 2]


def test_every_task_has_a_target_for_every_face(sets: list[FaceSet]) -> None:
    batch = _batches(sets)[0]
    for task in select(TEN_TASKS):
        assert len(batch[task.name]) == len(batch[f"{task.name}/confidence"]) == 7
    assert np.isfinite(batch["age"]).all()
    assert np.isnan(batch["gender"][5:]).all()
    assert (batch["parsing"][5:] == UNKNOWN).all()
    assert (batch["parsing"][:5] != UNKNOWN).any()


def test_a_face_that_nothing_disturbs_is_what_the_server_would_see(sets: list[FaceSet]) -> None:
    batches = _batches(sets[:1], counts=[10], augmentation=NO_AUGMENTATION, noise=False)
    batch, drawn = batches[0], batches.drawn_indices(0, 0)
    np.testing.assert_array_equal(batch["pixels"], sets[0].served_crops(drawn, size=SIZE))
    np.testing.assert_array_equal(batch["parsing"], sets[0].served_masks("parsing", drawn, size=SIZE))
    np.testing.assert_allclose(batch["landmarks"], sets[0].columns["landmarks"][drawn], atol=1e-6)
    np.testing.assert_allclose(
        angles_from_rotation(batch["head_pose"]), sets[0].columns["head_pose"][drawn], atol=1e-3
    )
    np.testing.assert_array_equal(batch["age"], sets[0].columns["age"][drawn])


def test_a_smaller_network_sees_the_same_picture_reduced(tmp_path: pathlib.Path) -> None:
    photo = cv2.cvtColor(cv2.imread("tests/assets/astronaut.jpg"), cv2.COLOR_BGR2RGB)
    write_set(tmp_path / "one", [Face(key="a", pixels=photo[20:156, 150:286])], size=112)
    faces = FaceSet(tmp_path / "one")
    batches = StepBatches(
        [faces], counts=[1], tasks=select(["age"]), size=56, steps=1, seed=1, augmentation=NO_AUGMENTATION
    )
    plain = faces.served_crops([0], size=56).astype(float)
    assert np.abs(batches[0]["pixels"] - plain).mean() < 1


def test_points_masks_and_pixels_move_together(tmp_path: pathlib.Path) -> None:
    """A bright square at the nose's tip, with its class in the mask, and the nose's tip among the points."""
    margin, place = margin_of(SIZE), CATALOGUE["landmarks"].labels.index("nose_bridge_3")
    nose = CATALOGUE["parsing"].labels.index("nose")
    pixels = np.zeros((SIZE + 2 * margin,) * 2 + (3,), np.uint8)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    x, y = margin + 40, margin + 22
    pixels[y - 3 : y + 4, x - 3 : x + 4] = 255
    mask[y - 3 : y + 4, x - 3 : x + 4] = nose
    points = [None] * 68
    points[place] = [float(x), float(y)]
    face = Face(key="a", pixels=pixels, labels={"landmarks": points}, masks={"parsing": mask})
    write_set(tmp_path / "one", [face], size=SIZE)
    faces = FaceSet(tmp_path / "one")
    moving = Augmentation(rotation=30, scale=0.3, shift=0.15, colour=0, tint=0, grey=0, blur=0, erase=0)
    batches = StepBatches(
        [faces],
        counts=[1],
        tasks=select(["landmarks", "parsing"]),
        size=SIZE,
        steps=20,
        seed=1,
        augmentation=moving,
    )
    places = []
    for step in range(20):
        batch = batches[step]
        target = batch["landmarks"][0, place] * SIZE - 0.5
        seen = np.argwhere(batch["pixels"][0, :, :, 0] > 128).mean(axis=0)[::-1]
        masked = np.argwhere(batch["parsing"][0] == nose).mean(axis=0)[::-1]
        np.testing.assert_allclose(target, seen, atol=0.6)
        np.testing.assert_allclose(masked, seen, atol=0.6)
        places.append(target)
        assert np.isnan(np.delete(batch["landmarks"][0], place, axis=0)).all()
    # Mirrored ones lie left of the middle, and all of them were moved.
    assert min(p[0] for p in places) < 31 < max(p[0] for p in places)
    assert np.ptp([p[1] for p in places]) > 3


def test_a_mirrored_face_mirrors_yaw_roll_and_the_names_of_sides() -> None:
    angles = [[20.0, -10, 5]]
    for mirrored, expected in ((False, [20, -10, 13]), (True, [-20, -10, 3])):
        motion = _motion(mirrored=mirrored, turned=8)
        np.testing.assert_allclose(
            angles_from_rotation(_moved("head_pose", angles, motion))[0], expected, atol=1e-3
        )
    mirrored_motion = _motion(mirrored=True, turned=0)
    order = CATALOGUE["landmarks"].labels
    points = np.arange(136, dtype=np.float32).reshape(1, 68, 2) / 136
    out = _moved("landmarks", points, mirrored_motion)
    right, left = order.index("right_eye_0"), order.index("left_eye_3")
    np.testing.assert_allclose(out[0, right], points[0, left], atol=1e-6)
    labels = CATALOGUE["visibility"].labels
    seen = np.arange(29, dtype=np.float32)[None] / 29
    out = _moved("visibility", seen, mirrored_motion)
    assert out[0, labels.index("left_pupil")] == seen[0, labels.index("right_pupil")]
    # A soft label, one of an unlabelled face, and one of a class without a side.
    gaze = Task(
        name="gaze",
        kind="classes",
        labels=("left", "right", "ahead"),
        unit="probability",
        queries=3,
        loss="cross_entropy",
        metric="macro_f1",
        mirror=(("left", "right"),),
    )
    rows = np.array([[0.75, 0.25, 0], [NAN] * 3, [0, 0, 1]], np.float32)
    for mirrored, expected in ((False, [0.75, 0.25, 0]), (True, [0.25, 0.75, 0])):
        motion = _motion(mirrored=mirrored, turned=0, count=3)
        moved = kind_of(gaze).moved(gaze, rows, motion=motion, crop_size=SIZE, margin=0)
        np.testing.assert_array_equal(moved, [expected, [NAN] * 3, [0, 0, 1]])
    ids = CATALOGUE["parsing"].labels
    mask = np.array([[ids.index("left_eye"), ids.index("hair"), UNKNOWN]], np.uint8)
    assert mirrored_mask(CATALOGUE["parsing"], mask).tolist() == [
        [ids.index("right_eye"), ids.index("hair"), UNKNOWN]
    ]


def test_a_picture_turns_the_way_its_label_says() -> None:
    """A mark on the right of the centre moves down when the picture turns clockwise."""
    margin = margin_of(SIZE)
    side = SIZE + 2 * margin
    crop = np.zeros((side, side, 3), np.uint8)
    crop[side // 2 - 1 : side // 2 + 2, side // 2 + 18 : side // 2 + 22] = 255
    turning = Augmentation(rotation=40, scale=0, shift=0, mirror=0.5)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        geometry = draw_geometry(rng, augmentation=turning, side=side, crop_size=SIZE, size=SIZE)
        picture = warp_picture(crop, geometry.matrix, size=SIZE)
        y, x = np.argwhere(picture[..., 0] > 128).mean(axis=0) - (SIZE - 1) / 2
        direction = -1 if geometry.mirrored else 1
        assert np.sign(x) == direction
        assert np.degrees(np.arctan2(y * direction, x * direction)) == pytest.approx(geometry.turned, abs=3)


def test_a_covered_point_is_not_visible_and_one_at_an_unknown_place_is_not_known() -> None:
    labels = CATALOGUE["visibility"].labels
    tip, pupil, chin = (labels.index(name) for name in ("nose_tip", "left_pupil", "chin"))
    points = np.full((1, 68, 2), 0.9, np.float32)
    aligned = CATALOGUE["visibility"].aligned_labels
    assert aligned is not None
    points[0, aligned["nose_tip"]] = 0.5
    covering = _motion(mirrored=False, turned=0, patch=(20, 20, 40, 40))
    out = _moved("visibility", np.ones((1, 29)), covering, points)
    assert out[0, tip] == 0
    assert out[0, chin] == 1
    assert np.isnan(out[0, pupil])
    unknown = np.ones((1, 29), np.float32)
    unknown[0, tip] = NAN
    assert np.isnan(_moved("visibility", unknown, covering, points)[0, tip])
    assert np.isnan(_moved("visibility", np.ones((1, 29)), covering)).all()
    assert (_moved("visibility", np.ones((1, 29)), _motion(mirrored=False, turned=0)) == 1).all()


def test_a_patch_is_said_where_it_is_and_a_mask_is_unknown_below_it(tmp_path: pathlib.Path) -> None:
    make_set(tmp_path / "made", count=4, tasks=["parsing"])
    faces = FaceSet(tmp_path / "made")
    patched = Augmentation(**{**vars(NO_AUGMENTATION), "erase": 1.0})
    batches = _batches([faces], counts=[4], augmentation=patched, tasks=select(["parsing"]))
    batch, drawn = batches[0], batches.drawn_indices(0, 0)
    changed = (batch["pixels"] != faces.served_crops(drawn, size=SIZE)).any(axis=3)
    unknown = (batch["parsing"] == UNKNOWN) & (faces.served_masks("parsing", drawn, size=SIZE) != UNKNOWN)
    assert (changed <= unknown).all()
    assert changed.any(axis=(1, 2)).all()
    picture = np.full((SIZE, SIZE, 3), 77, np.uint8)
    out, patch = augment_pixels(picture, rng=np.random.default_rng(0), augmentation=patched)
    x0, y0, x1, y1 = patch.astype(int)
    assert (out[y0:y1, x0:x1] != 77).any(axis=2).all()
    assert ((out != 77).any(axis=2).sum()) == (y1 - y0) * (x1 - x0)


def test_training_labels_have_the_papers_noise_and_others_none(tmp_path: pathlib.Path) -> None:
    make_set(tmp_path / "made", count=200, tasks=["age", "head_pose"], unlabelled=20, size=16)
    faces = FaceSet(tmp_path / "made")
    settings = {
        "counts": [200],
        "tasks": select(["age", "head_pose"]),
        "augmentation": NO_AUGMENTATION,
        "size": 16,
    }
    noisy, exact = _batches([faces], **settings)[0], _batches([faces], **settings, noise=False)[0]
    years = (noisy["age"] - exact["age"])[:, 0]
    assert np.nanstd(years) == pytest.approx(1, rel=0.2)
    # A bin is moved as a whole.
    assert np.nanmax(np.abs(noisy["age"][:, 1] - noisy["age"][:, 0])) < 1e-5
    entries = noisy["head_pose"] - exact["head_pose"]
    assert np.nanstd(entries) == pytest.approx(0.01, rel=0.1)
    assert np.isnan(noisy["age"]).all(axis=1).sum() == np.isnan(exact["age"]).all(axis=1).sum() == 20
    wanted = rotation_from_angles(
        faces.columns["head_pose"][_batches([faces], **settings).drawn_indices(0, 0)]
    )
    np.testing.assert_allclose(exact["head_pose"], wanted, atol=1e-6)


def test_a_chips_frame_becomes_another_photos_surroundings_and_its_dark_places_stay() -> None:
    crop = np.full((40, 40, 3), 100, np.uint8)
    crop[:, :10] = 3  # JPEG does not keep black quite black
    crop[20:25, 20:25] = 0  # a pupil
    other = np.full((40, 40, 3), 200, np.uint8)
    out = fill_frame(crop, other)
    assert (out[:, :10] == 200).all()
    assert (out[20:25, 20:25] == 0).all()
    assert (out[:, 14:20] == 100).all()


def test_disturbed_pictures_stay_pictures() -> None:
    picture = cv2.cvtColor(cv2.imread("tests/assets/astronaut.jpg"), cv2.COLOR_BGR2RGB)[40:168, 150:278]
    strong = Augmentation(blur=1, grey=0.5, colour=0.9, tint=0.3, erase=0)
    for seed in range(12):
        out, patch = augment_pixels(picture, rng=np.random.default_rng(seed), augmentation=strong)
        assert out.shape == picture.shape
        assert out.dtype == np.uint8
        assert np.isnan(patch).all()
        assert np.corrcoef(out.mean(axis=2).ravel(), picture.mean(axis=2).ravel())[0, 1] > 0.5


def test_a_process_that_would_get_no_face_is_refused(sets: list[FaceSet]) -> None:
    with pytest.raises(ValueError, match="leaves none for process 5"):
        _batches(sets, counts=[5, 2], rank=5, world=6)


@pytest.mark.parametrize("wrong", [{"blur": 1.5}, {"rotation": 200}, {"scale": 0.6}, {"erase": NAN}])
def test_impossible_augmentation_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"augmentation: {next(iter(wrong))}"):
        Augmentation(**wrong)


def test_made_faces_show_their_labels() -> None:
    """The helper's own promise: the same colours, the same labels."""
    one, two = (made_face(9, select(TEN_TASKS), size=SIZE, seed=3) for _ in range(2))
    assert one.labels == two.labels
    assert np.array_equal(one.pixels, two.pixels)

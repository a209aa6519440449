"""The z-buffer, the head file in both forms, and the command that makes a set."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.faces.tiny_head import tiny_head, write_tiny_head
from training.data.prepared.face_set import FaceSet
from training.render.__main__ import main
from training.render.drawing.raster import interpolation, rasterize
from training.render.head.head_file import load_head
from training.render.head.mesh import grid_triangles
from training.render.head.obj_release import read_obj_folder
from training.tasks import CATALOGUE


def test_the_nearest_triangle_is_shown() -> None:
    far = [[0, 0, 0.1], [0, 20, 0.1], [20, 0, 0.1]]
    near = [[2, 2, 0.5], [2, 8, 0.5], [8, 2, 0.5]]
    points = np.array(far + near, np.float32)
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        triangles = np.array(order, np.int32)
        buffer = rasterize(points, triangles, height=20, width=20)
        assert (triangles[buffer.triangle[3, 3]] == [3, 4, 5]).all()
        assert (triangles[buffer.triangle[10, 1]] == [0, 1, 2]).all()
        assert buffer.nearness[3, 3] == pytest.approx(0.5)
        assert not buffer.shown[19, 19]


def test_triangles_seen_from_inside_are_left_out_unless_wanted() -> None:
    points = np.array([[0, 0, 1], [0, 9, 1], [9, 0, 1]], np.float32)
    inside = np.array([[2, 1, 0]], np.int32)
    assert not rasterize(points, inside, height=10, width=10).shown.any()
    assert rasterize(points, inside, height=10, width=10, cull=False).shown.any()


def test_neighbouring_triangles_leave_no_cracks() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:60, 0:60] * 6.7 - 20
    points = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    points[:, :2] += rng.uniform(-1.5, 1.5, (3600, 2))
    buffer = rasterize(points.astype(np.float32), grid_triangles(60, 60), height=340, width=340)
    assert buffer.shown.all()


def test_what_lies_behind_the_camera_or_beside_the_picture_is_not_drawn() -> None:
    points = np.array([[0, 0, -1], [0, 9, 1], [9, 0, 1], [50, 0, 1], [50, 9, 1], [59, 0, 1]], np.float32)
    assert not rasterize(points, np.array([[0, 1, 2], [3, 4, 5]], np.int32), height=10, width=10).shown.any()


def test_weights_undo_the_perspective() -> None:
    # Half way in the picture between a near corner and one three times as far is a quarter of the way.
    points = np.array([[0, 0, 1], [0, 9, 1], [8, 0, 1 / 3]], np.float32)
    triangles = np.array([[0, 1, 2]], np.int32)
    buffer = rasterize(points, triangles, height=10, width=10)
    ids, weights = interpolation(points, triangles, buffer)
    rows, columns = np.nonzero(buffer.shown)
    at = np.flatnonzero((rows == 0) & (columns == 4))[0]
    assert weights[at, list(ids[at]).index(2)] == pytest.approx(0.25, abs=1e-5)


def test_the_officials_folder_gives_the_same_head(tmp_path: Path) -> None:
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    starts_only = tiny_head(tmp_path)
    arrays = np.load(tmp_path / "head.npz")
    shapes = {
        "generic_neutral_mesh": starts_only.base,
        "identity000": starts_only.base + starts_only.identity[0],
    }
    shapes["jawOpen"] = starts_only.base + starts_only.expression[0]
    for name, points in shapes.items():
        lines = [f"v {x} {y} {z}" for x, y, z in points.tolist()]
        lines += ["vt 0.5 0.5"] + [
            "f " + " ".join(f"{i + 1}/1" for i in q if i >= 0) for q in arrays["quads"].tolist()
        ]
        (folder / f"{name}.obj").write_text("\n".join(lines))
    read = read_obj_folder(folder)
    np.testing.assert_allclose(read["base"], starts_only.base, atol=1e-5)
    np.testing.assert_allclose(read["identity"][0], starts_only.identity[0], atol=1e-3)
    np.testing.assert_allclose(read["expression"][0], starts_only.expression[0], atol=1e-3)
    assert list(read["expression_names"]) == ["jawOpen"]
    np.testing.assert_array_equal(read["quads"], arrays["quads"])
    # It is not ICT-FaceKit's mesh, which the loader says.
    with pytest.raises(ValueError, match="was expected"):
        load_head(folder)


def test_an_expression_that_the_head_has_not_is_named(tmp_path: Path) -> None:
    head = tiny_head(tmp_path)
    with pytest.raises(ValueError, match="no expression eyeRoll"):
        head.shape(identity=np.zeros(2, np.float32), expression={"eyeRoll": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "can't be read"),
        (lambda p: p.write_bytes(b"no zip"), "not a head file"),
        (lambda p: np.savez(p, base=np.zeros((3, 3))), "it has no expression"),
        (lambda p: p.mkdir(), "generic_neutral_mesh.obj is missing"),
    ],
)
def test_what_is_no_head_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, message: str
) -> None:
    path = tmp_path / "head.npz"
    make(path)  # type: ignore[operator]
    assert main(["--head", str(path), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_makes_a_set_with_every_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_head(tmp_path / "head.npz")
    command = [
        "--head",
        str(tmp_path / "head.npz"),
        "--output",
        str(tmp_path),
        "--count",
        "21",
        "--size",
        "48",
    ]
    assert main(command) == 0
    assert "faces 20 for train, 1 for test" in capsys.readouterr().out
    faces = FaceSet(tmp_path / "ict")
    assert (len(faces), len(FaceSet(tmp_path / "ict", split="test"))) == (20, 1)
    assert faces.manifest["labelled_by"]["head_pose"] == "render"
    for task in ("head_pose", "landmarks", "visibility", "action_units"):
        assert np.isfinite(faces.columns[task]).all()
    mask = faces.mask("parsing", 0)
    assert mask is not None
    assert {"skin", "nose"} <= {CATALOGUE["parsing"].labels[i] for i in np.unique(mask) if i != 255}
    # The crop is the served one: eyes level, the face's middle in the middle.
    eyes = faces.columns["landmarks"][:, 36:48].mean(axis=1)
    assert np.abs(np.median(eyes[:, 0]) - 0.5) < 0.06
    # The same command finds it done; another seed makes other pictures.
    assert main(command) == 0
    assert "is there already" in capsys.readouterr().out
    before = faces.columns["head_pose"].copy()
    assert main([*command, "--seed", "5"]) == 0
    assert not np.allclose(FaceSet(tmp_path / "ict").columns["head_pose"], before)


def test_two_processes_draw_what_one_does(tmp_path: Path) -> None:
    write_tiny_head(tmp_path / "head.npz")
    for processes in ("1", "2"):
        command = [
            "--head",
            str(tmp_path / "head.npz"),
            "--photos",
            str(tmp_path / processes),
            "--count",
            "3",
        ]
        assert main([*command, "--size", "32", "--processes", processes]) == 0
    for name in ("0000002.png", "0000002.parsing.png", "sheet.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    labels = json.loads((tmp_path / "1" / "0000001.json").read_text())
    assert labels == json.loads((tmp_path / "2" / "0000001.json").read_text())
    assert len(labels["landmarks"]) == 68

"""Miniature releases of the sets that the papers use, each in its makers' layout, of the rendered heads.

`RELEASES` has a function by set that writes some pictures, with made-up labels and with points and poses as
rendered, into a folder that `training.data prepare NAME --subset` reads.
"""

import functools
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from tests.helpers.faces.reader_files import pts
from tests.helpers.paths import ASSETS
from training.data.readers.lapa import LAPA_OF_68
from training.tasks import CATALOGUE

COUNT = 10  # pictures of each set but UTKFace, of which the last ones are for testing
_TRAIN = 8
_CAMERA = np.array([[517.679, 0, 320], [0, 517.679, 240.5], [0, 0, 1]])  # BIWI's colour camera


@functools.cache
def _heads() -> Sequence[dict[str, Any]]:
    """The heads that are turned aside least, with their pixels BGR [256, 256, 3] and class ids [256, 256]."""
    labels = json.loads((ASSETS / "heads" / "labels.json").read_text())["heads"]
    frontal = sorted(labels, key=lambda head: float(np.abs(head["head_pose"]).max()))[:COUNT]
    return [
        head
        | {
            "pixels": cv2.imread(str(ASSETS / "heads" / head["file"])),
            "ids": cv2.imread(str(ASSETS / "heads" / head["mask"]), cv2.IMREAD_UNCHANGED),
        }
        for head in frontal
    ]


def _picture(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), _heads()[number]["pixels"])
    return path


def _lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _points(number: int) -> NDArray[np.float64]:
    return np.array(_heads()[number]["landmarks"], np.float64)


def rafdb(root: Path) -> None:
    names = [f"{'test' if i >= _TRAIN else 'train'}_{i + 1:05d}" for i in range(COUNT)]
    lines = [f"{name}.jpg {i % 7 + 1}" for i, name in enumerate(names)]
    _lines(root / "EmoLabel" / "list_patition_label.txt", lines)
    for i, name in enumerate(names):
        _picture(root / "Image" / "aligned" / f"{name}_aligned.jpg", i)


def emotionet(root: Path) -> None:
    units = CATALOGUE["action_units"].labels
    header = ["'URL'", "'URL orig'", *(f"'AU {unit.removeprefix('AU')}'" for unit in units)]
    rows = [",".join(header)]
    for i in range(COUNT):
        name = f"N_0000000001_{i:05d}.jpg"
        _picture(root / "images" / name, i)
        flags = [str(int((i + k) % 2)) for k in range(len(units))]
        rows.append(",".join([f"'http://host/Images/{name}'", "''", *flags]))
    _lines(root / "EmotioNet_FACS.csv", rows)


def celeba(root: Path) -> None:
    labels = CATALOGUE["attributes"].labels
    names = [f"{i + 1:06d}.jpg" for i in range(COUNT)]
    values = [" ".join("1" if (i + k) % 2 else "-1" for k in range(len(labels))) for i in range(COUNT)]
    rows = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
    _lines(root / "Anno" / "list_attr_celeba.txt", [str(COUNT), " ".join(labels), *rows])
    _lines(
        root / "Eval" / "list_eval_partition.txt",
        [f"{name} {2 * int(i >= _TRAIN)}" for i, name in enumerate(names)],
    )
    for i, name in enumerate(names):
        _picture(root / "Img" / "img_align_celeba" / name, i)


def agedb(root: Path) -> None:
    for i in range(COUNT):
        _picture(root / f"{i}_Person{i}_{20 + 5 * i}_{'fm'[i % 2]}.jpg", i)


def biwi(root: Path) -> None:
    folder = root / "hpdb" / "01"
    folder.mkdir(parents=True, exist_ok=True)
    matrix = "\n".join(" ".join(str(value) for value in row) for row in _CAMERA)
    (folder / "rgb.cal").write_text(f"{matrix}\n\n0 0 0 0\n\n1 0 0\n0 1 0\n0 0 1\n\n0 0 0\n\n640 480\n")
    for i in range(COUNT):
        scene = np.zeros((480, 640, 3), np.uint8)
        scene[112:368, 192:448] = _heads()[i]["pixels"]
        assert cv2.imwrite(str(folder / f"frame_{i + 3:05d}_rgb.png"), scene)
        angle = np.radians(5.0 * (i - 4))
        turn = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        rows = [" ".join(f"{value:.6f}" for value in row) for row in (*turn, (0.0, 0.0, 600.0))]
        (folder / f"frame_{i + 3:05d}_pose.txt").write_text("\n".join([*rows[:3], "", rows[3], ""]))


def glint360k(root: Path) -> None:
    """MXNet's records: a head (flag, label, two numbers), the picture; the first states what follows."""
    magic, records = struct.pack("<I", 0xCED7230A), [struct.pack("<IfQQ2f", 2, 0.0, 7, 0, COUNT + 1.0, 0.0)]
    for i in range(COUNT):
        done, encoded = cv2.imencode(".jpg", cv2.resize(_heads()[i]["pixels"], (112, 112)))
        assert done
        records.append(struct.pack("<IfQQ", 0, float(i), 7, 0) + encoded.tobytes())
    root.mkdir(parents=True, exist_ok=True)
    content, lines = b"", []
    for i, record in enumerate(records):
        lines.append(f"{i}\t{len(content)}")
        content += magic + struct.pack("<I", len(record)) + record + b"\0" * (-len(record) % 4)
    (root / "train.rec").write_bytes(content)
    _lines(root / "train.idx", lines)
    _lines(root / "property", [f"{COUNT},112,112"])


def lapa(root: Path) -> None:
    ours, theirs = CATALOGUE["parsing"].labels, list(CATALOGUE["parsing_lapa"].labels)
    same = {"mouth": "inner_mouth"}
    class_ids = np.array(
        [theirs.index(same.get(name, name)) if same.get(name, name) in theirs else 0 for name in ours]
    )
    for i in range(COUNT):
        part, name = "test" if i >= _TRAIN else "train", f"{10009865324 + i}_0"
        _picture(root / part / "images" / f"{name}.jpg", i)
        known = np.where(_heads()[i]["ids"] < len(ours), _heads()[i]["ids"], 0)
        (root / part / "labels").mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / part / "labels" / f"{name}.png"), class_ids[known].astype(np.uint8))
        points = np.zeros((106, 2))
        for indices, point in zip(LAPA_OF_68, _points(i), strict=True):
            points[list(indices)] = point
        rows = [f"{x:.3f} {y:.3f}" for x, y in points]
        _lines(root / part / "landmarks" / f"{name}.txt", ["106", *rows])


def ibug_300w(root: Path) -> None:
    places = ["afw/a", "helen/trainset/a", "lfpw/trainset/a", "afw/b", "helen/testset/a", "lfpw/testset/a"]
    places += ["afw/c", "afw/d"]
    for i, place in enumerate([*places, "ibug/a", "ibug/b"]):
        _picture(root / f"{place}.jpg", i)
        pts(root / f"{place}.pts", _points(i) + 1)


def faces_300w_lp(root: Path) -> None:
    for i in range(COUNT):
        path = _picture(root / "AFW" / f"AFW_{i}_0.jpg", i)
        yaw, pitch, roll = np.radians(_heads()[i]["head_pose"])
        pose = np.array([[pitch, -yaw, roll, 0, 0, 0, 1]])
        scipy.io.savemat(path.with_suffix(".mat"), {"Pose_Para": pose, "pt2d": _points(i).T + 1})


def cofw(root: Path) -> None:
    places = list((CATALOGUE["visibility"].aligned_labels or {}).values())
    for name, suffix, numbers in (("train", "Tr", range(_TRAIN)), ("test", "T", range(_TRAIN, COUNT))):
        root.mkdir(parents=True, exist_ok=True)
        with h5py.File(root / f"COFW_{name}_color.mat", "w", userblock_size=512) as mat:
            cell = mat.create_dataset(f"Is{suffix}", (1, len(numbers)), dtype=h5py.ref_dtype)
            rows = []
            for k, i in enumerate(numbers):
                pixels = np.ascontiguousarray(_heads()[i]["pixels"][..., ::-1])
                cell[0, k] = mat.create_dataset(f"#refs#/{k}", data=pixels.T).ref
                # Points that iBUG has not, the pupils among them, lie between the corners of an eye.
                points = np.array([_points(i)[37 if place is None else place] for place in places]) + 1
                points[16], points[17] = (
                    _points(i)[36:42].mean(axis=0) + 1,
                    _points(i)[42:48].mean(axis=0) + 1,
                )
                rows.append(np.concatenate([points[:, 0], points[:, 1], np.arange(29) % 3 == i % 3]))
            mat.create_dataset(f"phis{suffix}", data=np.stack(rows).astype(np.float64).T)


def utkface(root: Path) -> None:
    # Of so few pictures half are for testing, by their names: enough that either half has every class.
    for i in range(2 * COUNT):
        name = f"{4 * i + 1}_{i % 2}_{i % 5}_2017010918{i:07d}.jpg.chip.jpg"
        _picture(root / "UTKFace" / name, i % COUNT)


def fairface(root: Path) -> None:
    bins = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
    for file, part, numbers in (("train", "train", range(_TRAIN)), ("val", "val", range(_TRAIN, COUNT))):
        rows = [f"{part}/{i}.jpg,{bins[(i + 1) % 9]},Female,White,TRUE" for i in numbers]
        _lines(root / f"fairface_label_{file}.csv", ["file,age,gender,race,service_test", *rows])
        for i in numbers:
            _picture(root / part / f"{i}.jpg", i)


RELEASES: dict[str, Callable[[Path], None]] = {
    "rafdb": rafdb,
    "emotionet": emotionet,
    "celeba": celeba,
    "agedb": agedb,
    "biwi": biwi,
    "glint360k": glint360k,
    "lapa": lapa,
    "300w": ibug_300w,
    "300w_lp": faces_300w_lp,
    "cofw": cofw,
    "utkface": utkface,
    "fairface": fairface,
}

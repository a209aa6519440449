"""Labels from teachers for unlabelled photos.

    python -m training.teachers.pseudolabel PICTURES --teacher mediapipe --model FILE --output DIR

runs a teacher (training.teachers) on every picture under a folder, and writes
OUTPUT/mediapipe/labels-000000.npz and so on (training.data.teacher_labels has the format). `python -m
training.data prepare ... --teacher OUTPUT/mediapipe` then stores the labels, with their confidence, in the
same shards as people's.

--teacher and --model may be given several times; a teacher gets the face's landmarks
from those before it, or, for teachers that need separate environments, from those of an earlier run:
`--teacher face_api --model FOLDER --faces OUTPUT/mediapipe`.
The same command continues a stopped run. Several runs share the work with
--share 1/3, --share 2/3 and --share 3/3. mediapipe needs an environment of its own
(requirements/teachers.txt).
"""

import argparse
import contextlib
import pathlib
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidInput
from runtime.image.decode import decode_image
from training.data.labels import column_shape
from training.data.teacher_labels import TeacherFile, TeacherLabels, read_teacher_file, write_teacher_file
from training.tasks import CATALOGUE
from training.teachers import TEACHERS, FaceLabels, Teacher, open_teacher

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
PICTURES_A_FILE = 1000


class PseudolabelError(ValueError):
    """A user's error: what is wrong, with which input, and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="training.teachers.pseudolabel", description=__doc__.splitlines()[0]
    )
    parser.add_argument("pictures", type=pathlib.Path, help="a folder of photos, with all folders in it")
    parser.add_argument("--teacher", action="append", required=True, help=f"one of {', '.join(TEACHERS)}")
    parser.add_argument(
        "--model",
        action="append",
        type=pathlib.Path,
        required=True,
        help="a teacher's weights, in that order",
    )
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument(
        "--share", default="1/1", help="which share of the work to do: 2/3 is the second of three"
    )
    parser.add_argument(
        "--faces", type=pathlib.Path, help="a teacher's labels of these pictures: where it saw the face"
    )
    parser.add_argument(
        "--max-unreadable", type=float, default=0.01, help="share of pictures that may be unreadable"
    )
    args = parser.parse_args(arguments)
    try:
        if len(args.teacher) != len(args.model):
            raise PseudolabelError(
                f"{len(args.teacher)} teachers and {len(args.model)} models are named: give each its --model"
            )
        if len(set(args.teacher)) != len(args.teacher):
            raise PseudolabelError(f"a teacher is named twice in {', '.join(args.teacher)}: name each once")
        paths = pictures_under(args.pictures)
        share = _share(args.share)
        faces = None if args.faces is None else TeacherLabels(args.faces)
        with contextlib.ExitStack() as stack:
            teachers = {}
            for name, model in zip(args.teacher, args.model, strict=True):
                teachers[name] = open_teacher(name, model=model)
                stack.callback(teachers[name].close)
            label_pictures(
                args.pictures,
                paths,
                teachers=teachers,
                output=args.output,
                faces=faces,
                share=share,
                max_unreadable=args.max_unreadable,
            )
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def pictures_under(folder: pathlib.Path) -> list[pathlib.Path]:
    """All pictures under a folder, sorted; PseudolabelError where there is none."""
    if not folder.is_dir():
        raise PseudolabelError(f"{folder} is not a folder: name the folder with the photos")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise PseudolabelError(
            f"there is no picture ({', '.join(sorted(SUFFIXES))}) under {folder}: "
            "name the folder with the photos"
        )
    return paths


def label_pictures(
    folder: pathlib.Path,
    paths: Sequence[pathlib.Path],
    *,
    teachers: dict[str, Teacher],
    output: pathlib.Path,
    faces: TeacherLabels | None = None,
    share: tuple[int, int] = (0, 1),
    max_unreadable: float = 0.01,
) -> None:
    """Write every teacher's files for the pictures `paths` under `folder`.

    `faces` are an earlier teacher's labels: their landmarks locate the faces. `share` (i, n) does every
    n-th file from the i-th on. PseudolabelError: more unreadable pictures than `max_unreadable` of them, or
    files of other pictures in `output`.
    """
    for name in teachers:
        (output / name).mkdir(parents=True, exist_ok=True)
    parts = range(0, len(paths), PICTURES_A_FILE)[share[0] :: share[1]]
    count = sum(len(paths[start : start + PICTURES_A_FILE]) for start in parts)
    processed = found = fresh = unreadable = 0
    began = time.monotonic()
    for start in parts:
        part = paths[start : start + PICTURES_A_FILE]
        names = np.array([_name(path, folder=folder) for path in part])
        targets = {name: output / name / f"labels-{start // PICTURES_A_FILE:06d}.npz" for name in teachers}
        files = _finished(targets, names=names)
        if files is None:
            files = _label_part(part, names, teachers=teachers, faces=faces)
            for name, file in files.items():
                _write(targets[name], file)
            fresh += len(part)
        any_file = next(iter(files.values()))
        bad = np.flatnonzero(any_file.sizes[:, 0] == 0)
        processed, found, unreadable = (
            processed + len(part),
            found + int(any_file.found.sum()),
            unreadable + len(bad),
        )
        if unreadable > max_unreadable * count:
            raise PseudolabelError(
                f"{unreadable} of {processed} pictures under {folder} can't be read, the last "
                f"{names[bad[-1]]}: mend or remove them, or allow more than {max_unreadable:g} of them with "
                "--max-unreadable"
            )
        _log_progress(processed, count, fresh=fresh, found=found, unreadable=unreadable, began=began)
    print(f"{count} pictures, {found / count:.1%} with a face, {unreadable} unreadable: {output}")


def _label_part(
    paths: Sequence[pathlib.Path],
    names: NDArray[np.str_],
    *,
    teachers: dict[str, Teacher],
    faces: TeacherLabels | None,
) -> dict[str, TeacherFile]:
    """The content of one file a teacher."""
    count = len(paths)
    sizes = np.zeros((count, 2), np.int32)
    found = {name: np.zeros(count, bool) for name in teachers}
    five = {name: np.full((count, 5, 2), np.nan, np.float32) for name in teachers}
    values = {
        name: {
            task: np.full((count, *column_shape(CATALOGUE[task])), np.nan, np.float32)
            for task in teacher.tasks
        }
        for name, teacher in teachers.items()
    }
    confidence = {
        name: {task: np.zeros(count, np.float32) for task in teacher.tasks}
        for name, teacher in teachers.items()
    }
    for i, path in enumerate(paths):
        try:
            picture = decode_image(path.read_bytes())
        except (OSError, InvalidInput) as error:
            print(f"skipped {path}: {error}", file=sys.stderr)
            continue
        sizes[i] = picture.shape[1], picture.shape[0]
        known = (
            None if faces is None else faces.labels(str(names[i]), size=(picture.shape[1], picture.shape[0]))
        )
        landmarks: NDArray[np.float32] | None = None if known is None else known.five
        for name, teacher in teachers.items():
            face: FaceLabels | None = teacher.label(picture, five=landmarks)
            if face is None:
                continue
            found[name][i] = True
            five[name][i] = face.five
            if landmarks is None and not np.isnan(face.five[:2]).any():
                landmarks = face.five
            for task, label in face.values.items():
                values[name][task][i] = label
                confidence[name][task][i] = face.confidence[task]
    return {
        name: TeacherFile(
            teacher=teacher.title,
            names=names,
            sizes=sizes,
            found=found[name],
            five=five[name],
            values=values[name],
            confidence=confidence[name],
        )
        for name, teacher in teachers.items()
    }


def _finished(targets: dict[str, pathlib.Path], *, names: NDArray[np.str_]) -> dict[str, TeacherFile] | None:
    """The files of an earlier run, or None where one of them is missing."""
    if not all(path.exists() for path in targets.values()):
        return None
    files = {name: read_teacher_file(path) for name, path in targets.items()}
    for name, file in files.items():
        if not np.array_equal(file.names, names):
            raise PseudolabelError(
                f"{targets[name]} holds the labels of other pictures: give another --output, or remove it"
            )
    return files


def _write(path: pathlib.Path, file: TeacherFile) -> None:
    try:
        write_teacher_file(path, file)
    except OSError as error:
        raise PseudolabelError(
            f"{path} can't be written ({error.strerror or error}): make room, and give the same command again"
        ) from None


def _name(path: pathlib.Path, *, folder: pathlib.Path) -> str:
    """A picture's name in a teacher file: its path below the folder, that folder's own name in front."""
    return (pathlib.Path(folder.resolve().name) / path.relative_to(folder)).as_posix()


def _share(text: str) -> tuple[int, int]:
    """(i, n), from 0, of "i/n", from 1."""
    number, _, total = text.partition("/")
    if not (number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total)):
        raise PseudolabelError(f"--share {text} is no share: write 2/3 for the second of three")
    return int(number) - 1, int(total)


def _log_progress(
    processed: int, count: int, *, fresh: int, found: int, unreadable: int, began: float
) -> None:
    """One line on standard error; the time left from the pictures that this run itself labelled."""
    left = (time.monotonic() - began) / fresh * (count - processed) if fresh else 0
    print(
        f"{processed}/{count} pictures, {found / max(processed, 1):.1%} with a face, "
        f"{unreadable} unreadable, {left / 60:.0f} min left",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

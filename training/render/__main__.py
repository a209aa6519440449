"""`python -m training.render`: a prepared set of rendered heads with exact labels."""

import argparse
import errno
import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.detect.detector_engine import load_detector
from runtime.detect.detector_file import find_detector
from training.data.prepared.face_set import read_manifest
from training.data.prepared.writer import SIZE, ShardWriter
from training.data.readers import reader_of
from training.render import workers
from training.render.contact_sheet import annotated, contact_sheet
from training.render.head.head_file import load_head
from training.render.scene.background import find_photos

_SET = "ict"
_ON_SHEET = 24


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        if args.count < 1 or args.size < 16 or args.processes < 1:
            raise ValueError("--count and --processes take 1 or more, --size 16 or more")
        backgrounds = find_photos(args.backgrounds) if args.backgrounds else []
        load_head(args.head)  # an error is reported before any process starts
        if args.photos:
            _write_photos(args, backgrounds)
        else:
            _write_set(args, backgrounds)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            folder = args.photos or args.output
            print(f"the disk under {folder} is full: make room and repeat the command", file=sys.stderr)
        else:
            print(f"{error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _write_set(args: argparse.Namespace, backgrounds: list[Path]) -> None:
    reader = reader_of(_SET)
    detector = args.detector or find_detector()
    digest = hashlib.sha256(detector.read_bytes()).hexdigest()
    options = {
        "layout": _SET,
        "made_from": workers.digest(args.head, backgrounds),
        "count": args.count,
        "seed": args.seed,
        "detector": digest,
    }
    folder = args.output / _SET
    if _is_prepared(folder, options | {"size": args.size}):
        print(f"{folder}: is there already")
        return
    with (
        ShardWriter(
            folder,
            title=reader.title,
            licence=reader.licence,
            size=args.size,
            options=options,
            detector=digest,
            labelled_by="render",
            shard_faces=2_000,  # a killed process loses minutes, not an hour
        ) as writer,
        tqdm(total=args.count, initial=writer.processed, desc=_SET, unit=" heads", mininterval=1) as bar,
    ):
        engine = load_detector(detector, precision="fp32")
        drawing = workers.pictures(
            range(writer.processed, args.count),
            head=args.head,
            backgrounds=backgrounds,
            size=workers.picture_side(args.size),
            seed=args.seed,
            processes=args.processes,
        )
        for key, face in workers.faces(drawing, infer=engine.infer, size=args.size):
            if face is None:
                writer.skip("no_face", key)
            else:
                writer.add(face)
            bar.update()
        manifest = writer.finish(tasks_of_layout=list(reader.tasks), expected={})
    counts = ", ".join(f"{count} for {split}" for split, count in manifest["faces"].items())
    print(f"{folder}: faces {counts}; labels {', '.join(manifest['tasks'])}")


def _is_prepared(folder: Path, options: dict[str, object]) -> bool:
    if not (folder / "manifest.json").exists():
        return False
    try:
        return bool(read_manifest(folder)["options"] == options)
    except ValueError:
        return False


def _write_photos(args: argparse.Namespace, backgrounds: list[Path]) -> None:
    """Pictures, labels (.json) and masks (.png) before the crop, and a contact sheet."""
    args.photos.mkdir(parents=True, exist_ok=True)
    tiles: list[NDArray[np.uint8]] = []
    drawing = workers.pictures(
        range(args.count),
        head=args.head,
        backgrounds=backgrounds,
        size=workers.picture_side(args.size),
        seed=args.seed,
        processes=args.processes,
    )
    for number, picture in tqdm(drawing, total=args.count, desc="photos", mininterval=1):
        key = workers.key_of(number)
        _write(args.photos / f"{key}.png", picture.pixels)
        _write(args.photos / f"{key}.parsing.png", picture.mask)
        (args.photos / f"{key}.json").write_text(json.dumps(picture.labels))
        if len(tiles) < _ON_SHEET:
            tiles.append(annotated(picture))
    _write(args.photos / "sheet.png", contact_sheet(tiles, columns=4))
    print(f"{args.photos}: {args.count} pictures; sheet.png shows labels")


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    done, content = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    if not done:
        raise RuntimeError(f"OpenCV could not write a PNG of {pixels.shape}")
    path.write_bytes(content.tobytes())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.render", description=__doc__)
    parser.add_argument(
        "--head",
        type=Path,
        required=True,
        help="the head: an .npz file, or the FaceXModel folder of ICT-FaceKit's release",
    )
    parser.add_argument("--count", type=int, default=20_000, help="of pictures (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("data/prepared"), help=f"OUTPUT/{_SET} is written (%(default)s)"
    )
    parser.add_argument("--size", type=int, default=SIZE, help="of the crop in pixels (%(default)s)")
    parser.add_argument(
        "--backgrounds", type=Path, help="a folder of photos to stand before, best without faces"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="that draw at a time (%(default)s)")
    parser.add_argument(
        "--photos", type=Path, help="write whole pictures and a sheet with labels here, instead of a set"
    )
    parser.add_argument("--detector", type=Path, help="the face detector's .tflite file")
    return parser


if __name__ == "__main__":
    sys.exit(main())

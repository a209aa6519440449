"""Labels from a teacher for photos that nobody has labelled.

`python -m training.pseudolabel PICTURES --model face_landmarker.task --output labels.npz` runs
MediaPipe's face landmarker (Apache-2.0) over a folder. mediapipe brings its own OpenCV: run this in
an environment of its own (requirements/teachers.txt).

The file holds, for N pictures in sorted order: `names` [N], `found` [N] bool, `points` [N, 478, 2]
in pixels, `matrices` [N, 4, 4] (canonical face to camera; x right, y up, z toward the viewer) and
`blendshapes` [N, 52] in [0, 1] with `blendshape_names` [52]. Where no face was found, NaN.
"""

import argparse
import pathlib
import sys

import numpy as np

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
# The landmarker wants room around a face; chips are cut close.
_MARGIN = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--upscale", type=int, default=1, help="enlarge tiny pictures by this factor first")
    args = parser.parse_args()
    if not args.model.is_file():
        print(f"{args.model} is missing: it is MediaPipe's face landmarker with blendshapes", file=sys.stderr)
        return 2
    try:
        import cv2
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        print(f"{error}: install requirements/teachers.txt into an environment of its own", file=sys.stderr)
        return 2

    paths = sorted(path for path in args.pictures.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        print(f"no pictures under {args.pictures}", file=sys.stderr)
        return 2
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(args.model)),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
        min_face_detection_confidence=0.3,
        min_face_presence_confidence=0.3,
    )
    count = len(paths)
    found = np.zeros(count, bool)
    points = np.full((count, 478, 2), np.nan, np.float16)
    matrices = np.full((count, 4, 4), np.nan, np.float32)
    blendshapes = np.full((count, 52), np.nan, np.float16)
    names: list[str] = []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for i, path in enumerate(paths):
            if i % 1000 == 0:
                print(f"{i}/{count} pictures, {found[:i].mean() if i else 0:.1%} with a face", flush=True)
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is None:
                print(f"skipped {path}: not a readable picture", file=sys.stderr)
                continue
            height, width = picture.shape[:2]
            if args.upscale > 1:
                picture = cv2.resize(
                    picture, None, fx=args.upscale, fy=args.upscale, interpolation=cv2.INTER_CUBIC
                )
            margin = int(_MARGIN * max(picture.shape[:2]))
            picture = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb))
            if not result.face_landmarks:
                continue
            found[i] = True
            size = np.array([picture.shape[1], picture.shape[0]])
            relative = np.array([[point.x, point.y] for point in result.face_landmarks[0]])
            points[i] = (relative * size - margin) * np.array([width, height]) / (size - 2 * margin)
            matrices[i] = result.facial_transformation_matrixes[0]
            blendshapes[i] = [shape.score for shape in result.face_blendshapes[0]]
            names = names or [shape.category_name for shape in result.face_blendshapes[0]]
    partial = args.output.with_name(args.output.name + ".partial.npz")
    np.savez(
        partial,
        names=np.array([str(path.relative_to(args.pictures)) for path in paths]),
        found=found,
        points=points,
        matrices=matrices,
        blendshapes=blendshapes,
        blendshape_names=np.array(names),
    )
    partial.replace(args.output)
    print(f"{count} pictures, {found.mean():.1%} with a face: {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

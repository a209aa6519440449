"""How well faces are found, and for how much processor time: `python -m deploy.benchmark.detector`.

Photos are put together of faces (--faces: pictures of one face each, such as FairFace's) and of photos
without a face (--no-faces), and searched as face_detect does it, in this process. Prints Markdown tables: for
each row the share of its faces that are found with its 95 % interval, how exact boxes and landmarks are, and
what it cost; then the cost of single photos. With --head (ICT-FaceKit's, see `python -m training.render`)
rendered heads too: landmarks against exact ones, and faces from the side.
Compare two runs: --output FILE in both, and --beside BEFORE.json.
"""

import argparse
import functools
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from deploy.benchmark.detector.chips import choose_chips
from deploy.benchmark.detector.finder import Finder
from deploy.benchmark.detector.measuring import (
    Cost,
    Meter,
    Row,
    measure_cost,
    measure_faces,
    measure_false_finds,
)
from deploy.benchmark.detector.photos import Backgrounds, Wanted, photo_of
from deploy.benchmark.detector.report import Run, beside, read_run, table, write_run
from deploy.benchmark.detector.rows import FaceRow, Material, face_rows
from deploy.embedded.environment import PROJECT
from deploy.measuring.command import parser_of
from runtime.detect.search import MIN_SCORE

TRUTH = PROJECT / "benchmarks" / "detector-truth.json"
_CACHE = PROJECT / "var" / "detector-benchmark"
_FACES, _QUICK_FACES = 330, 110
_HEADS = 110  # drawing one takes as long as searching ten photos
_RENDERED = (("towards the camera", (0.0, 30.0)), ("from the side", (60.0, 90.0)))
_COST_PHOTOS = 4
_COST_SHAPES = {"512 x 384": (512, 384, 1), "1920 x 1080": (1920, 1080, 2), "4000 x 3000": (4000, 3000, 4)}
_COST_FACES: dict[str, tuple[float, ...]] = {
    "no face": (),
    "one face of 35 %": (0.35,),
    "one face of 8 %": (0.08,),
    "ten faces of 4 to 15 %": (0.15, 0.12, 0.1, 0.1, 0.08, 0.08, 0.06, 0.06, 0.04, 0.04),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(arguments)
    cv2.setNumThreads(args.threads)
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    try:
        before = read_run(args.beside) if args.beside else None
        run = _run(args)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if args.output:
        write_run(run, args.output)
    print("\n".join(table(run)))
    if before:
        print()
        print("\n".join(beside(before, run)))
    return 0


def _run(args: argparse.Namespace) -> Run:
    finder = Finder(precision=args.precision, threads=args.threads, min_score=args.min_score)
    chips = choose_chips(
        args.faces, count=_FACES, seed=args.seed, truth=args.truth, find=Finder(precision="fp32", threads=1)
    )
    material = Material(
        chips=chips[: _QUICK_FACES if args.quick else _FACES],
        backgrounds=Backgrounds.of(args.no_faces),
        seed=args.seed,
    )
    meter = Meter(finder, canvases=lambda: finder.canvases)
    rows = [
        _shown(measure_faces(row, meter))
        for row in [*face_rows(material), *_rendered_rows(args, material)]
        if args.only in row.group
    ]
    every = 3 if args.quick else 1
    if args.only in "no face":
        rows.append(_shown(measure_false_finds("as they are", list(material.backgrounds)[::every], meter)))
        rows.append(_shown(measure_false_finds("1080p of four", _mosaics(material, every=every), meter)))
    costs = list(_costs(material, meter)) if args.only in "cost" else []
    return Run(
        made_with={
            "precision": args.precision,
            "arithmetic": finder.arithmetic,
            "threads": args.threads,
            "min_score": args.min_score,
            "faces": material.faces,
            "seed": args.seed,
            "processor": _processor(),
            "python": platform.python_version(),
            "opencv": cv2.__version__,
        },
        rows=tuple(rows),
        costs=tuple(costs),
    )


def _shown(row: Row) -> Row:
    """Passes a row on; who waits sees how far it is."""
    print(f"{row.group}, {row.name}: {row.share.value:.1%} of {len(row.hits)}", file=sys.stderr, flush=True)
    return row


def _rendered_rows(args: argparse.Namespace, material: Material) -> Iterator[FaceRow]:
    if not args.head:
        return
    # Drawing heads needs packages that the other rows do without.
    from deploy.benchmark.detector.renders import rendered

    for name, yaw in _RENDERED:
        yield FaceRow(
            group="rendered heads, 512 px",
            name=name,
            shots=functools.partial(
                rendered,
                args.head,
                backgrounds=args.no_faces,
                yaw=yaw,
                count=_HEADS,
                seed=args.seed,
                cache=_CACHE,
            ),
        )


def _mosaics(material: Material, *, every: int) -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(material.seed)
    for _ in range(len(material.backgrounds.files) // 4 // every):
        yield material.backgrounds.draw(random, width=1920, height=1080, across=2)


def _costs(material: Material, meter: Meter) -> Iterator[Cost]:
    for shape, (width, height, across) in _COST_SHAPES.items():
        for faces, shares in _COST_FACES.items():
            random = np.random.default_rng([material.seed, width])
            photos = []
            for number in range(_COST_PHOTOS):
                background = material.backgrounds.draw(random, width=width, height=height, across=across)
                chips = material.chips[number : number + len(shares)]
                wanted = [Wanted(share=share) for share in shares]
                photos.append(photo_of(chips, wanted, background=background, random=random).pixels)
            yield measure_cost(f"{shape}, {faces}", photos, meter)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    known = [name for name in ("avx512_bf16", "amx_bf16") if name in flags]
    return ", ".join([names[0] if names else platform.machine(), *known])


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("deploy.benchmark.detector", __doc__)
    parser.add_argument(
        "--faces", type=Path, required=True, metavar="DIR", help="square pictures of one face each"
    )
    parser.add_argument("--no-faces", type=Path, required=True, metavar="DIR", help="photos without a face")
    parser.add_argument(
        "--head", type=Path, metavar="FILE", help="ICT-FaceKit's head, for rendered rows (drawn once)"
    )
    parser.add_argument(
        "--truth",
        type=Path,
        default=TRUTH,
        metavar="FILE",
        help="where the faces are in their pictures; what it lacks is found and added (%(default)s)",
    )
    parser.add_argument("--precision", default="fp32", help="of the detector (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the detector (%(default)s)")
    parser.add_argument("--min-score", type=float, default=MIN_SCORE, help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a third of the faces, and of the other photos")
    parser.add_argument("--only", default="", metavar="WORDS", help="rows whose group has these words")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the run as JSON")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="an earlier run, to compare with")
    return parser


if __name__ == "__main__":
    sys.exit(main())

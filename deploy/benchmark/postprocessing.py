"""What postprocessing takes of the processor: `python -m deploy.benchmark.postprocessing`.

Core-milliseconds a face, in this process and without a server, from the network's heads to the tensors that
are answered, for several faces at once: with all tasks, and without masks, whose compression is most of it.
The heads are the network's own, of crops of the portrait that are moved a little.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from build.serving.pbtxt import parse
from deploy.measuring.command import command, parser_of
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.processor_time import core_ms
from runtime.contract import Contract
from runtime.engines import load_engine
from runtime.heads import heads_of
from runtime.image.crops import crop_of
from runtime.image.decode import decode_image
from runtime.postprocess import Postprocessor

BATCHES = (1, 8, 32)
_SHARE = 0.6  # of the portrait's sides, that a crop shows


def crops_of(photo: Path, contract: Contract, *, count: int) -> tuple[NDArray[np.uint8], NDArray[Any], Any]:
    """`count` crops of a photo's middle, each moved a little; their maps; the photo's width and height."""
    image = decode_image(np.frombuffer(photo.read_bytes(), dtype=np.uint8))
    height, width = image.shape[:2]
    crop, moved = crop_of(contract.crop), np.random.default_rng(0).uniform(-0.05, 0.05, (count, 2))
    half = np.array([width, height]) * _SHARE / 2
    cut = []
    for move in moved:
        centre = np.array([width, height]) * (0.5 + move)
        box = np.concatenate([centre - half, centre + half])
        cut.append(crop(image, box=box, size=contract.input_size))
    return np.stack([pixels for pixels, _ in cut]), np.stack([back for _, back in cut]), (width, height)


def measure(*, repository: Path, photo: Path, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """One row for each number of faces; OSError or ValueError where nothing can be measured."""
    folder = repository / "models" / "face_engine"
    config = parse((folder / "configs" / "cpu.pbtxt").read_text())
    engine = load_engine(
        folder / "1", {name: value.string_value for name, value in config.parameters.items()}
    )
    answers = parse((repository / "models" / "face_postprocess" / "config.pbtxt").read_text())
    contract = Contract.parse(answers.parameters["contract"].string_value)
    pixels, maps, size = crops_of(photo, contract, count=max(BATCHES))
    of_contract = heads_of(contract)
    heads = engine.infer({"pixels": pixels}, outputs=list(of_contract))
    sizes = np.array([size] * len(pixels), dtype=np.int32)
    # Those that need the photo's size are the masks: they mark where it ends.
    without = {name: head for name, head in heads.items() if not of_contract[name].kind.needs_photo_size}
    made = Postprocessor(contract)

    def call(given: Mapping[str, NDArray[Any]], batch: int) -> Callable[[], object]:
        part = {name: head[:batch] for name, head in given.items()}
        return lambda: made.answers(part, maps[:batch], photo_size=sizes[:batch])

    rows = []
    for batch in BATCHES:
        calls = {"all": call(heads, batch), "without masks": call(without, batch)}
        taken = core_ms(calls, rounds=rounds, seconds=seconds)
        rows.append({"faces": batch, **{name: round(each / batch, 4) for name, each in taken.items()}})
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| faces at once | all tasks | without masks |", "|---:|---:|---:|"]
    lines += [f"| {row['faces']} | {row['all']:.3f} | {row['without masks']:.3f} |" for row in rows]
    return "\n".join(lines)


@command("postprocessing")
def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of(
        "deploy.benchmark.postprocessing",
        __doc__,
        repository=True,
        rounds=5,
        seconds=0.2,
        seconds_of="of processor time, of each in each round",
    )
    parser.add_argument("--photo", type=Path, default=PORTRAIT)
    parser.add_argument("--json", action="store_true", help="the same numbers as JSON")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    rows = measure(
        repository=options.repository, photo=options.photo, seconds=options.seconds, rounds=options.rounds
    )
    print(json.dumps(rows) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

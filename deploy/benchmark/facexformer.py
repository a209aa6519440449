"""One request with all tasks, FaceXFormer's released way and ours: `make bench-facexformer`.

    python -m deploy.benchmark.facexformer [--checkpoint facexformer.safetensors] [--rounds 5]

A request is a JPEG with a face's box; every way answers all nine outputs of it. Finding the face is left
out of both. The released way ("recipe") reads the photo with Pillow, cuts, resizes and normalises it as the
released command does, runs the whole network once for each of its six task ids in eager torch, and decodes
each id's answer; reading and cutting are counted once, though the released command does both for each id.
Ours is what the server does: decode, cut, one inference of the exported network by OpenVINO in fp32 on
uint8 pixels, postprocess (the mask becomes a PNG). Both have the same weights and the same cores; all ways
take turns, round after round, and a way's figure is its median. Torch runs with all cores and with one, and
the faster counts.

The network is exported once, below var/build. Without a checkpoint its weights are random ones: how fast
it is does not depend on them.
"""

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from build.acceptance.speed import faces_per_second
from build.errors import BuildError
from build.stages.artifacts import NETWORK
from build.stages.common_options import PHOTO
from build.stages.export import ExportStage
from build.stages.random_weights import UntrainedStage
from build.stages.stage import perform
from deploy.embedded.environment import PROJECT
from deploy.measuring.command import command, parser_of
from runtime.contract import Contract
from runtime.engines.openvino import OpenVinoEngine
from runtime.image.crops import crop_of
from runtime.image.decode import decode_image
from runtime.postprocess import postprocess_all
from training.models import FaceXFormer, load_checkpoint
from training.models.network import PIXEL_MEAN, PIXEL_STD

NAME = "facexformer"
BOX = (173.0, 69.0, 277.0, 172.0)  # of the face in the default photo
GROWTH = 0.25
# What the released command calls its six runs, in the order of their ids.
TASK_IDS = ("parsing", "landmarks", "head pose", "attributes", "age, gender and race", "visibility")

RECIPE, OURS = "recipe", "ours"

Answers = dict[str, NDArray[Any]]
Network = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]


def recipe(network: Network, photos: Sequence[bytes], *, box: Sequence[float], size: int) -> Answers:
    """The released way: a forward call for each task id, over all the photos at once.

    Answers, by the heads' names: mask ids [B, S, S], points [B, 68, 2] in the crop's pixels, degrees [B, 3]
    (pitch, yaw, roll), and of the rest decisions.
    """
    images = torch.stack([_prepared(photo, box=box, size=size) for photo in photos])
    answers: Answers = {}
    with torch.no_grad():
        for task in range(len(TASK_IDS)):
            answers |= _decoded(task, network(images), size=size)
    return answers


def _prepared(photo: bytes, *, box: Sequence[float], size: int) -> torch.Tensor:
    """The crop that the released command makes, normalised: [3, S, S]."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    x0, y0, x1, y1 = box
    more_x, more_y = GROWTH * (x1 - x0), GROWTH * (y1 - y0)
    left, top = int(max(0, x0 - more_x)), int(max(0, y0 - more_y))
    right, bottom = int(min(image.width, x1 + more_x)), int(min(image.height, y1 + more_y))
    crop = image.crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(PIXEL_MEAN)[:, None, None]) / torch.tensor(PIXEL_STD)[:, None, None]


def _decoded(task: int, heads: Mapping[str, torch.Tensor], *, size: int) -> Answers:
    """The answer to one task id."""
    match task:
        case 0:
            found = {"parsing": heads["parsing"].softmax(dim=1).argmax(dim=1)}
        case 1:
            found = {"landmarks": ((heads["landmarks"].reshape(-1, 68, 2) + 1) * size - 1) / 2}
        case 2:
            found = {"head_pose": heads["head_pose"].rad2deg()}
        case 3:
            found = {"attributes": heads["attributes"].sigmoid() >= 0.5}
        case 4:
            found = {name: heads[name].argmax(dim=1) for name in ("age", "gender", "race")}
        case _:
            found = {"visibility": heads["visibility"].sigmoid() >= 0.5}
    return {name: values.numpy() for name, values in found.items()}


def served(
    engine: OpenVinoEngine, photos: Sequence[bytes], *, box: Sequence[float], contract: Contract
) -> Answers:
    """The steps of the served pipeline on these photos, as one batch: the server's answer tensors."""
    crop, size = crop_of(contract.crop), contract.input_size
    pixels, maps, sizes = [], [], []
    for photo in photos:
        image = decode_image(photo)
        cut, back = crop(image, box=box, size=size)
        pixels.append(cut)
        maps.append(back)
        sizes.append(image.shape[1::-1])
    heads = engine.infer({"pixels": np.stack(pixels)})
    return postprocess_all(contract, heads, np.stack(maps), photo_size=np.array(sizes))


def measure(
    checkpoint: Path,
    network: Path,
    *,
    photo: bytes,
    box: Sequence[float],
    batch: int,
    rounds: int,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Faces a second of each way, by its name: recipe and ours, one face at a time and `batch` at once."""
    loaded = load_checkpoint(checkpoint)
    model = loaded.model
    if not isinstance(model, FaceXFormer):
        raise BuildError(f"{checkpoint} is no FaceXFormer: convert the released one, or name none")
    model.set_explicit_attention()  # as the released code has it
    engine = OpenVinoEngine(network, precision="fp32", threads=threads)
    cores = threads or torch.get_num_threads()
    contract = loaded.contract

    def released(photos: Sequence[bytes], *, threads: int) -> int:
        torch.set_num_threads(threads)
        recipe(model.released, photos, box=box, size=contract.input_size)
        return len(photos)

    def ours(photos: Sequence[bytes]) -> int:
        served(engine, photos, box=box, contract=contract)
        return len(photos)

    ways: dict[str, Callable[[], int]] = {}
    for count in sorted({1, batch}):
        photos = [photo] * count
        for number in sorted({1, cores}):
            ways[f"{_way(RECIPE, count)} with {number} threads"] = partial(released, photos, threads=number)
        ways[_way(OURS, count)] = partial(ours, photos)
    try:
        rates = faces_per_second(ways, rounds=rounds, seconds=0.01, progress=progress)
    finally:
        torch.set_num_threads(cores)
    found: dict[str, float] = {}
    for name, value in rates.items():
        way = name.partition(" with ")[0]
        found[way] = max(value, found.get(way, 0.0))
    return found


def _way(name: str, batch: int) -> str:
    return f"{name}, batch {batch}"


def table(rates: Mapping[str, float]) -> str:
    """Seconds a face of each way, and how many times faster than the recipe at batch 1 it is."""
    first = rates[_way(RECIPE, 1)]
    lines = ["| way | seconds a face | against the recipe, batch 1 |", "|---|---:|---:|"]
    lines += [f"| {name} | {1 / value:.3f} | {value / first:.1f}x |" for name, value in rates.items()]
    return "\n".join(lines)


@command("bench-facexformer", BuildError)
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    parser = parser_of("deploy.benchmark.facexformer", __doc__, rounds=5)
    parser.add_argument("--checkpoint", type=Path, help="a converted one (default: random weights)")
    parser.add_argument("--photo", type=Path, help="a JPEG; then --box too")
    parser.add_argument("--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"), help="of its face")
    parser.add_argument("--batch", type=int, default=4, help="faces at once, beside one (default: 4)")
    parser.add_argument("--threads", type=int, help="cores for each way (default: all)")
    parser.add_argument("--output", type=Path, default=PROJECT / "var", help="where the export is kept")
    options = parser.parse_args(arguments)
    log = partial(print, file=sys.stderr, flush=True)
    if (options.photo is None) != (options.box is None):
        raise ValueError("a photo and the box of its face go together: give both --photo and --box")
    if options.batch < 1:
        raise ValueError(f"a batch of {options.batch} holds no face: take at least 1")
    photo = (options.photo or PHOTO).read_bytes()
    checkpoint, place = options.checkpoint, options.output / "build"
    if checkpoint is None:
        directory = place / f"{NAME}-untrained" / "checkpoint"
        done = perform(UntrainedStage(configuration=NAME, directory=directory), log=log)
        checkpoint = done.directory / done.report["checkpoint"]
    export = ExportStage(checkpoint=checkpoint, directory=place / checkpoint.stem / "onnx")
    rates = measure(
        checkpoint,
        perform(export, log=log).directory / NETWORK,
        photo=photo,
        box=options.box or BOX,
        batch=options.batch,
        rounds=options.rounds,
        threads=options.threads,
        progress=log,
    )
    print(table(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())

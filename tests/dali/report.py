"""The report of `make check-dali`, in Markdown."""

import importlib.metadata
import platform
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2

from build.preprocessing.dali_pipeline import PACKAGE
from tests.dali.measure import LARGEST_MEAN, BatchRow, CropRow

_CROPS = (
    "picture",
    "upright pixels",
    "decoded by",
    "mean difference",
    "largest",
    "answers moved, of bf16's tolerance",
    "by bf16 itself",
)
_BATCHES = ("requests", "right answers", "refused", "runs of the pipeline (rows)", "runs that failed")
_COSTS = ("JPEG", "by itself", "beside DALI")

_LEFT = (
    "Triton's DALI backend itself: that it loads the file, batches ragged pictures, and answers a "
    "failed run with an error for every request of it (its sources do, in "
    "`DaliModelInstance::Execute`; the stand-in here does the same). The backend's own DALI has to "
    "read the file: write it with that version.",
    "nvJPEG in place of libjpeg-turbo: its transform, its upsampling of colour, and decoding a part "
    "only. The same bounds are to hold there; `jpeg_fancy_upsampling` asks for libjpeg's upsampling.",
    "DALI's resizing and warping on a GPU, which are other code than those on the CPU.",
    "Memory: each decoded part stays on the GPU until its batch is done. 32 whole pictures of 50 "
    "million pixels are 4.8 GB; the parts around faces are a fraction of it. A run without memory "
    "fails, and the CPU decodes.",
    "Speed: JPEGs a second, by the numbers of instances and threads of face_warp, and how large its "
    "batches become.",
    "CUDA graphs: none are recorded over DALI. The engine's own begin behind the copy of the crops to it.",
    "The crops' way: they come back to the CPU and go to the engine from there, 37,632 bytes a face "
    "of 112 pixels. To stay on the GPU they would have to be joined there.",
    "`photo_analysis` decodes and crops on the CPU as before, and so does a network whose crops are "
    "not aligned.",
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found. size, sha256: of the pipeline for a GPU."""

    size: int
    sha256: str
    crops: Sequence[CropRow]
    batches: Sequence[BatchRow]
    costs: Sequence[tuple[str, float, float]]
    failures: Sequence[str]

    def faults(self) -> list[str]:
        """A line for everything that is not as it should be."""
        return [
            *(f"{row.case.name}: its crop or its answers differ" for row in self.crops if not row.passed),
            *(f"{row.name}: a request came to another end" for row in self.batches if not row.passed),
        ]

    def text(self) -> str:
        """The whole report."""
        by_dali = [row for row in self.crops if row.by_dali]
        furthest = max(by_dali, key=lambda row: row.mean)
        moved = max((row for row in by_dali if row.case.shows_face), key=lambda row: row.share)
        others = [row for row in by_dali if not row.case.shows_face]
        version = importlib.metadata.version
        refusal = next((row.message for row in self.batches if row.message), "")
        return "\n\n".join(
            (
                "# Decoding and warping by DALI, beside the CPU's own step",
                _filled(
                    f"""Written by `make check-dali ARGS="--report FILE"`: {PACKAGE} {version(PACKAGE)}
                    (Apache-2.0) in an environment of its own, OpenCV {cv2.__version__}, OpenVINO
                    {version("openvino")}, Python {platform.python_version()}; no GPU."""
                ),
                _filled(
                    f"""The pipeline of `build/preprocessing/dali_pipeline.py` is built twice. For a GPU
                    (decoding `mixed`) it is only serialised: {self.size:,} bytes, sha256
                    `{self.sha256[:16]}`, the same at every run. Where no device is named, DALI writes
                    it without a GPU; reading it needs one. For a CPU the same stages are serialised,
                    read again from that form, and run behind the real `face_preprocess`; a stand-in for
                    Triton batches as its DALI backend does."""
                ),
                "## Crops",
                _filled(
                    f"""Of {len(by_dali)} JPEGs that DALI decodes the crop differs from that of the
                    CPU's own step by at most {furthest.mean:.2f} of 255 on average
                    ({furthest.case.name}; allowed: {LARGEST_MEAN:g}). The shipped network's answers
                    (fp32) about a face move by at most {moved.share:.2f} of what bf16 may move them
                    ({moved.task}, {moved.case.name}). The {len(others)} crops marked * show no face as
                    the network knows it, and their answers are not held: DALI moves them by up to
                    {max(row.share for row in others):.2f} of that tolerance, bf16 itself by up to
                    {max(row.rounded for row in others):.2f}."""
                ),
                _filled(
                    f"""{len(self.crops) - len(by_dali)} pictures are of kinds that decoders differ on.
                    They never reach DALI, and the step decodes them as on a CPU. The maps back to the
                    photo are equal everywhere."""
                ),
                _table(_CROPS, map(_crop_cells, self.crops), numbers=(3, 4, 6)),
                "## Batches",
                _filled(
                    """Requests that come at once. One that is cut short never reaches DALI, and gets an
                    error of its own. A run of the pipeline that fails answers none of its requests;
                    `face_preprocess` then decodes each of them itself."""
                ),
                _table(_BATCHES, map(_batch_cells, self.batches), numbers=(1, 2, 4)),
                _filled(f'The refusal: "{refusal}"{_failure_note(self.failures)}'),
                "## What stays on the CPU",
                _filled(
                    """Core-ms of one face (median of 20): `face_preprocess` by itself, and what it does
                    where DALI decodes. It walks the file's structure and computes the map. The call to
                    face_warp comes on top: `python -m tests.dali.call_cost` measures it, in a server."""
                ),
                _table(_COSTS, map(_cost_cells, self.costs), numbers=(1, 2)),
                "## Left for a machine with a GPU",
                "\n".join(_filled(f"- {line}", later="  ") for line in _LEFT) + "\n",
            )
        )


def _filled(text: str, *, later: str = "") -> str:
    """A paragraph in lines of 118 characters."""
    words = " ".join(text.split())
    return textwrap.fill(
        words, width=118, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int]) -> str:
    line = ["---:" if column in numbers else "---" for column in range(len(titles))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, line, *rows))


def _crop_cells(row: CropRow) -> Sequence[str]:
    width, height = row.size
    moved = f"{row.share:.2f} ({row.task})" if row.share else "equal"
    return (
        row.case.name if row.case.shows_face else f"{row.case.name} *",
        f"{width} x {height}",
        "DALI" if row.by_dali else "the step",
        f"{row.mean:.2f}",
        str(row.most),
        moved if row.passed else f"{moved} **too far**",
        f"{row.rounded:.2f}",
    )


def _batch_cells(row: BatchRow) -> Sequence[str]:
    right = f"{row.right} of {row.requests}"
    return (
        row.name,
        right if row.passed else f"{right} **wrong**",
        str(row.refused),
        " + ".join(map(str, row.batches)) or "none",
        str(row.failed_runs),
    )


def _cost_cells(row: tuple[str, float, float]) -> Sequence[str]:
    name, whole, light = row
    return (name, f"{whole:.2f}", f"{light:.2f}")


def _failure_note(failures: Sequence[str]) -> str:
    if not failures:
        return ""
    first = next((line for line in failures[0].splitlines() if line.startswith("Failed")), failures[0])
    return f' DALI\'s reason for the run that failed: "{first.strip(" :")}"'

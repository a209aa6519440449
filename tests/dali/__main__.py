"""DALI's pipeline for faces, serialised, read again and run on a CPU: `make check-dali`.

    make check-dali                                   # prints the report
    make check-dali ARGS="--report docs/reports/X.md"

The status is 1 where a crop lies more than 1 of 255 from the CPU's on average, the answers about a face move
by more than bf16 may move them, or a request of a batch came to anything but what it should. The pipeline for
a GPU is left in var/dali.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from build.config import WEIGHTS
from build.onnx_interface import read_graph
from build.preprocessing.dali_pipeline import check_pipeline, serialised
from tests.dali.measure import Network, batch_rows, costs, crop_rows
from tests.dali.pictures import cases
from tests.dali.pipeline import CpuPipeline, steps
from tests.dali.report import Report
from tests.helpers.paths import ROOT

PIPELINE = ROOT / "var" / "dali" / "face_warp.dali"


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make check-dali", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--report", type=Path, help="a file for the report (default: standard output)")
    options = parser.parse_args()
    content = serialised()
    PIPELINE.parent.mkdir(parents=True, exist_ok=True)
    PIPELINE.write_bytes(content)
    check_pipeline(content, source=PIPELINE)
    contract = read_graph(WEIGHTS).contract
    pictures = list(cases())
    warp = CpuPipeline()
    with steps(warp, size=contract.input_size) as (alone, helped):
        crops = list(crop_rows(pictures, alone, helped, warp, Network(contract)))
        batches = batch_rows(pictures, alone, helped, warp)
        cost = list(costs(pictures, alone))
    report = Report(
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        crops=crops,
        batches=batches,
        costs=cost,
        failures=warp.failures,
    )
    if options.report is None:
        print(report.text())
    else:
        options.report.write_text(report.text())
        print(options.report)
    for line in report.faults():
        print(f"check-dali: {line}", file=sys.stderr)
    return int(bool(report.faults()))


if __name__ == "__main__":
    sys.exit(main())

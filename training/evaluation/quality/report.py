"""What was measured of face_quality, as tables."""

import dataclasses
from collections.abc import Mapping

from training.evaluation.quality.coverage import COVERAGES, RiskCoverage
from training.evaluation.quality.minimum import Minimum
from training.evaluation.tables import format_metric, markdown_table

Part = tuple[float, int]  # a share, and of how many


@dataclasses.dataclass(frozen=True, kw_only=True)
class QualityReport:
    """Everything that is measured."""

    minimum: Minimum
    held_out: Mapping[str, Part]  # by set, of the faces that the minimum was chosen on: which it loses
    tested: Mapping[str, Part]  # the same of the test splits
    curves: tuple[RiskCoverage, ...]
    area: float  # under the ROC curve of "usable", of the measured set's test crops
    area_of_faces: float  # the same of its degraded faces alone
    found: float  # part of the photos without a face in which the usual search finds one
    answered: float  # the part that is left by the minimum
    faceless_photos: int
    photos: Mapping[str, Part]  # of further photos, by folder: which finds the minimum leaves out


def as_markdown(report: QualityReport) -> str:
    """The report's tables."""
    chosen = report.minimum
    lines = [
        f"Minimum: **{chosen.value:g}**, which loses {chosen.lost:.2%} of held-out faces (each set counts "
        f"the same; {chosen.worst:.2%} of the worst) and answers {chosen.answered:.2%} of the photos without "
        "a face that it was chosen on.",
        "",
        f"Of {report.faceless_photos} other photos without a face, the search finds one in "
        f"{report.found:.2%}, and {report.answered:.2%} are answered. Area under the curve of usable: "
        f"{report.area:.4f}, of degraded faces alone {report.area_of_faces:.4f}.",
        "",
        markdown_table(
            ["faces", "lost", "of"],
            [
                *(
                    [f"{name}, held out", f"{lost:.2%}", f"{of:,}"]
                    for name, (lost, of) in report.held_out.items()
                ),
                *([f"{name}, test", f"{lost:.2%}", f"{of:,}"] for name, (lost, of) in report.tested.items()),
                *(
                    [f"found in {name}", f"{lost:.2%}", f"{of:,}"]
                    for name, (lost, of) in report.photos.items()
                ),
            ],
        ),
        "",
        markdown_table(
            ["task", "set", "metric", "faces", *(f"best {share:.0%}" for share in COVERAGES)],
            [
                [
                    curve.task,
                    curve.set,
                    curve.metric,
                    f"{curve.faces:,}",
                    *(format_metric(curve.task, curve.metric, value) for value in curve.values),
                ]
                for curve in report.curves
            ],
        ),
    ]
    return "\n".join(lines) + "\n"

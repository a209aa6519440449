"""What the second generation of the shipped networks is to reach: the table's rows.

Whoever trains another generation writes its rows here. Sets are those that `training.data prepare` makes of
the data sets of the same names, on their test split; faces of several sets are put together.
"""

from training.evaluation.targets.figures import LabelsFrom, MetricOf, ShareAnswered, ShareNotAnswered
from training.evaluation.targets.target import Bounds, Condition, Target


def _at_least(number: float) -> Bounds:
    return Bounds(low=number)


def _at_most(number: float) -> Bounds:
    return Bounds(high=number)


def _within(number: float) -> Bounds:
    return Bounds(low=-number, high=number)


_MALE = Condition(task="attributes", label="Male", low=0.5)
_FEMALE = Condition(task="attributes", label="Male", high=0.49)
_SMILING = Condition(task="attributes", label="Smiling", low=0.5)
_NOT_SMILING = Condition(task="attributes", label="Smiling", high=0.49)


def _happiness(whom: str, gender: Condition) -> tuple[Target, Target]:
    """Who smiles is happy to the network, and who does not is not."""
    share = ShareAnswered(label="happiness")
    return (
        Target(
            name=f"expression: happiness of smiling {whom}",
            task="expression",
            sets=("celeba",),
            where=(_SMILING, gender),
            figure=share,
            least=_at_least(0.80),
            goal=_at_least(0.88),
        ),
        Target(
            name=f"expression: happiness of {whom} who don't smile",
            task="expression",
            sets=("celeba",),
            where=(_NOT_SMILING, gender),
            figure=share,
            least=_at_most(0.15),
            goal=_at_most(0.08),
        ),
    )


def _coverage(task: str, name: str) -> Target:
    return Target(
        name=f"{task}: within its 80 % interval",
        task=task,
        sets=(name,),
        figure=MetricOf(metric="interval_coverage_80"),
        least=Bounds(low=0.75, high=0.85),
        goal=Bounds(low=0.78, high=0.82),
    )


_UNITS_FROM = ("fairface", "utkface", "celeba", "ict")

TARGETS: tuple[Target, ...] = (
    Target(
        name="expression: accuracy",
        task="expression",
        sets=("ferplus",),
        figure=MetricOf(metric="top1_accuracy"),
        least=_at_least(0.78),
        goal=_at_least(0.85),
        open_least=_at_least(0.62),
    ),
    Target(
        name="expression: macro recall",
        task="expression",
        sets=("ferplus",),
        figure=MetricOf(metric="mean_class_accuracy"),
        least=_at_least(0.70),
        goal=_at_least(0.77),
    ),
    *(
        Target(
            name=f"expression: recall of {label}",
            task="expression",
            sets=("ferplus",),
            figure=MetricOf(metric=f"recall/{label}"),
            open_least=_at_least(0.20),
        )
        for label in ("disgust", "fear")
    ),
    *_happiness("women", _FEMALE),
    *_happiness("men", _MALE),
    Target(
        name="gender: accuracy",
        task="gender",
        sets=("fairface",),
        figure=MetricOf(metric="top1_accuracy"),
        least=_at_least(0.905),
        goal=_at_least(0.93),
    ),
    Target(
        name="race: accuracy",
        task="race",
        sets=("fairface",),
        figure=MetricOf(metric="top1_accuracy"),
        least=_at_least(0.65),
        goal=_at_least(0.68),
    ),
    Target(
        name="age: in the bin",
        task="age",
        sets=("fairface",),
        figure=MetricOf(metric="bin_accuracy"),
        least=_at_least(0.54),
        goal=_at_least(0.58),
    ),
    Target(
        name="age: mean error",
        task="age",
        sets=("utkface",),
        figure=MetricOf(metric="mean_absolute_error"),
        least=_at_most(4.9),
        goal=_at_most(4.4),
    ),
    Target(
        name="age: bias from 70 on",
        task="age",
        sets=("utkface",),
        where=(Condition(task="age", label="years", low=70),),
        figure=MetricOf(metric="bias"),
        least=_within(6),
        goal=_within(4),
        open_least=_within(9),
    ),
    Target(
        name="age: mean error from 70 on",
        task="age",
        sets=("utkface",),
        where=(Condition(task="age", label="years", low=70),),
        figure=MetricOf(metric="mean_absolute_error"),
    ),
    Target(
        name="attributes: accuracy",
        task="attributes",
        sets=("celeba",),
        figure=MetricOf(metric="mean_accuracy"),
        least=_at_least(0.900),
        goal=_at_least(0.907),
    ),
    Target(
        name="head pose: error of yaw from 60 to 90 degrees",
        task="head_pose",
        sets=("ict",),
        where=(Condition(task="head_pose", label="yaw", low=60, high=90, absolute=True),),
        figure=MetricOf(metric="euler_mean_absolute_error/yaw"),
        least=_at_most(6),
        goal=_at_most(3),
    ),
    Target(
        name="landmarks: error over the distance of the eyes' outer corners",
        task="landmarks",
        sets=("youtube68",),
        figure=MetricOf(metric="normalized_mean_error"),
        least=_at_most(0.051),
        goal=_at_most(0.047),
    ),
    Target(
        name="parsing: mean F1 in the photo's pixels",
        task="parsing",
        sets=("celebamask_hq",),
        in_photo=True,
        figure=MetricOf(metric="mean_f1"),
        least=_at_least(0.77),
        goal=_at_least(0.81),
    ),
    Target(
        name="action units: macro AUC",
        task="action_units",
        sets=_UNITS_FROM,
        figure=MetricOf(metric="mean_auc"),
        least=_at_least(0.94),
        goal=_at_least(0.95),
    ),
    Target(
        name="action units: those with an F1 of 0.4 or more",
        task="action_units",
        sets=_UNITS_FROM,
        figure=LabelsFrom(metric="f1", least=0.4),
        least=_at_least(10),
        goal=_at_least(12),
    ),
    _coverage("age", "utkface"),
    _coverage("head_pose", "ict"),
    _coverage("landmarks", "youtube68"),
    Target(
        name="photos without a face: answered",
        task="face_quality",
        sets=(),
        faceless=True,
        figure=ShareAnswered(label="usable"),
        least=_at_most(0.02),
        goal=_at_most(0.01),
    ),
    Target(
        name="face_quality: true faces lost",
        task="face_quality",
        sets=("fairface", "utkface", "celeba", "celebamask_hq"),
        figure=ShareNotAnswered(label="usable"),
        least=_at_most(0.02),
        goal=_at_most(0.01),
    ),
)

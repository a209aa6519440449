"""The task catalogue: every task, its labels in order, and how it is learned and answered.

This is the only place in the project that spells out a label. From here the labels travel as data:
checkpoint metadata -> ONNX metadata -> `parameters` of the served models -> client. A new task is
one entry in `CATALOGUE` (and a data set).

Sources: queries and label orders of Q-Face, sections 4.2 to 4.6; FairFace (race); iBUG 300-W (68
points); COFW (29 points); CelebAMask-HQ and LaPa (parsing).
"""

import dataclasses
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CONTRACT_VERSION = 1
# How a face is cut out of its photo: upright by its eyes and mouth (runtime.image.align), or its box, grown by a
# quarter of each side and stretched to a square, as FaceXFormer does it.
ALIGNED = "aligned"
CROPS = (ALIGNED, "box")


class Kind(enum.StrEnum):
    """What an answer is. A client that has never heard of a task answers it by its kind."""

    CLASSES = "classes"  # one label of K: probabilities that sum to 1
    MULTILABEL = "multilabel"  # K independent labels: a probability each
    VALUE = "value"  # one number in `unit`
    ROTATION = "rotation"  # a rotation matrix in the graph, angles in degrees in the answer
    POINTS = "points"  # K points (x, y) in pixels
    MASK = "mask"  # a class id a pixel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One thing that the network can say of a face.

    `queries` is the number of learnable queries, which differs from the number of labels where one
    answer is made of several numbers (head pose: six numbers make a rotation) or where one query
    answers several (a point's two coordinates).
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    queries: int
    loss: str
    metric: str
    sensitive: bool = False  # served only where it is named; everything else is served by default
    told_by: tuple[str, str] | None = None  # of two classes: another task's label that says the first one
    aligned_labels: Mapping[str, int | None] | None = None  # label -> index in the 68 landmarks
    mirror: tuple[tuple[str, str], ...] = ()  # labels that change places in a mirrored picture

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"task {self.name!r} names a label twice: make the labels unique")
        unknown = {label for pair in self.mirror for label in pair} - set(self.labels)
        if unknown:
            raise ValueError(f"task {self.name!r} mirrors labels that it does not have: {sorted(unknown)}")

    def mirrored_order(self) -> list[int]:
        """For each label, the index of the label that it becomes in a mirrored picture."""
        order = list(range(len(self.labels)))
        for left, right in self.mirror:
            i, j = self.labels.index(left), self.labels.index(right)
            order[i], order[j] = j, i
        return order


def by_name(tasks: Iterable[Task]) -> dict[str, Task]:
    """The tasks by their names, in order; ValueError for two of one name."""
    named: dict[str, Task] = {}
    for task in tasks:
        if task.name in named:
            raise ValueError(f"two tasks are called {task.name!r}: give one of them another name")
        named[task.name] = task
    return named


_AGE_UNIT = "years"

_LANDMARK_NAMES = (
    *(f"jaw_{i}" for i in range(17)),
    *(f"right_brow_{i}" for i in range(5)),
    *(f"left_brow_{i}" for i in range(5)),
    *(f"nose_bridge_{i}" for i in range(4)),
    *(f"nose_base_{i}" for i in range(5)),
    *(f"right_eye_{i}" for i in range(6)),
    *(f"left_eye_{i}" for i in range(6)),
    *(f"outer_lip_{i}" for i in range(12)),
    *(f"inner_lip_{i}" for i in range(8)),
)

# iBUG's points in a mirrored picture: each pair changes places, all others stay.
_LANDMARK_MIRROR_INDEX = (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    (31, 35),
    (32, 34),
    (36, 45),
    (37, 44),
    (38, 43),
    (39, 42),
    (40, 47),
    (41, 46),
    (48, 54),
    (49, 53),
    (50, 52),
    (59, 55),
    (58, 56),
    (60, 64),
    (61, 63),
    (67, 65),
)

# COFW's 29 points in the order of its release and the iBUG point at the same place (None: iBUG has
# none there). COFW says left and right as seen in the picture.
_COFW_TO_IBUG: dict[str, int | None] = {
    "left_brow_outer": 17,
    "right_brow_outer": 26,
    "left_brow_inner": 21,
    "right_brow_inner": 22,
    "left_brow_upper": 19,
    "left_brow_lower": None,
    "right_brow_upper": 24,
    "right_brow_lower": None,
    "left_eye_outer": 36,
    "right_eye_outer": 45,
    "left_eye_inner": 39,
    "right_eye_inner": 42,
    "left_eye_upper": None,
    "left_eye_lower": None,
    "right_eye_upper": None,
    "right_eye_lower": None,
    "left_pupil": None,
    "right_pupil": None,
    "nose_left": 31,
    "nose_right": 35,
    "nose_tip": 30,
    "nose_lower": 33,
    "mouth_left": 48,
    "mouth_right": 54,
    "upper_lip_top": 51,
    "upper_lip_bottom": 62,
    "lower_lip_top": 66,
    "lower_lip_bottom": 57,
    "chin": 8,
}


def _pairs(labels: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The (left, right) pairs among labels that say so in their first word or a later one."""
    known = list(labels)
    return tuple((name, name.replace("left", "right")) for name in known if "left" in name)


_PARSING_19 = (
    "background",
    "skin",
    "nose",
    "glasses",
    "left_eye",
    "right_eye",
    "left_brow",
    "right_brow",
    "left_ear",
    "right_ear",
    "mouth",
    "upper_lip",
    "lower_lip",
    "hair",
    "hat",
    "earring",
    "necklace",
    "neck",
    "cloth",
)
_PARSING_11 = (
    "background",
    "skin",
    "right_brow",
    "left_brow",
    "right_eye",
    "left_eye",
    "nose",
    "upper_lip",
    "inner_mouth",
    "lower_lip",
    "hair",
)

CATALOGUE: dict[str, Task] = by_name(
    (
        Task(
            name="expression",
            kind=Kind.CLASSES,
            labels=("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
            unit="probability",
            queries=7,
            loss="cross_entropy",
            metric="top1_accuracy",
        ),
        Task(
            name="action_units",
            kind=Kind.MULTILABEL,
            labels=tuple(f"AU{i}" for i in (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43)),
            unit="probability",
            queries=12,
            loss="binary_cross_entropy",
            metric="mean_f1",
        ),
        Task(
            name="attributes",
            kind=Kind.MULTILABEL,
            labels=(
                "5_o_Clock_Shadow",
                "Arched_Eyebrows",
                "Attractive",
                "Bags_Under_Eyes",
                "Bald",
                "Bangs",
                "Big_Lips",
                "Big_Nose",
                "Black_Hair",
                "Blond_Hair",
                "Blurry",
                "Brown_Hair",
                "Bushy_Eyebrows",
                "Chubby",
                "Double_Chin",
                "Eyeglasses",
                "Goatee",
                "Gray_Hair",
                "Heavy_Makeup",
                "High_Cheekbones",
                "Male",
                "Mouth_Slightly_Open",
                "Mustache",
                "Narrow_Eyes",
                "No_Beard",
                "Oval_Face",
                "Pale_Skin",
                "Pointy_Nose",
                "Receding_Hairline",
                "Rosy_Cheeks",
                "Sideburns",
                "Smiling",
                "Straight_Hair",
                "Wavy_Hair",
                "Wearing_Earrings",
                "Wearing_Hat",
                "Wearing_Lipstick",
                "Wearing_Necklace",
                "Wearing_Necktie",
                "Young",
            ),
            unit="probability",
            queries=40,
            loss="binary_cross_entropy",
            metric="mean_accuracy",
        ),
        Task(
            name="age",
            kind=Kind.VALUE,
            labels=(_AGE_UNIT,),
            unit=_AGE_UNIT,
            queries=1,
            loss="smooth_l1",
            metric="mean_absolute_error",
        ),
        Task(
            name="gender",
            kind=Kind.CLASSES,
            labels=("male", "female"),
            unit="probability",
            queries=2,
            loss="cross_entropy",
            metric="top1_accuracy",
            told_by=("attributes", "Male"),
        ),
        Task(
            name="head_pose",
            kind=Kind.ROTATION,
            labels=("yaw", "pitch", "roll"),
            unit="degrees",
            queries=6,
            loss="geodesic",
            metric="euler_mean_absolute_error",
        ),
        Task(
            name="race",
            kind=Kind.CLASSES,
            labels=(
                "White",
                "Black",
                "Latino_Hispanic",
                "East_Asian",
                "Southeast_Asian",
                "Indian",
                "Middle_Eastern",
            ),
            unit="probability",
            queries=7,
            loss="cross_entropy",
            metric="top1_accuracy",
            sensitive=True,
        ),
        # What FaceXFormer answers of age and race beside or instead of the above.
        Task(
            name="age_group",
            kind=Kind.CLASSES,
            labels=("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
            unit="probability",
            queries=8,
            loss="cross_entropy",
            metric="top1_accuracy",
        ),
        # UTKFace's five, in its order. FaceXFormer's author names no order, and this is the likely one.
        Task(
            name="race_utkface",
            kind=Kind.CLASSES,
            labels=("White", "Black", "Asian", "Indian", "Others"),
            unit="probability",
            queries=5,
            loss="cross_entropy",
            metric="top1_accuracy",
            sensitive=True,
        ),
        Task(
            name="landmarks",
            kind=Kind.POINTS,
            labels=_LANDMARK_NAMES,
            unit="pixels",
            queries=68,
            loss="wing",
            metric="normalized_mean_error",
            mirror=tuple((_LANDMARK_NAMES[i], _LANDMARK_NAMES[j]) for i, j in _LANDMARK_MIRROR_INDEX),
        ),
        Task(
            name="visibility",
            kind=Kind.MULTILABEL,
            labels=tuple(_COFW_TO_IBUG),
            unit="probability",
            queries=29,
            loss="binary_cross_entropy",
            metric="recall_at_80_precision",
            aligned_labels=_COFW_TO_IBUG,
            mirror=_pairs(_COFW_TO_IBUG),
        ),
        Task(
            name="parsing",
            kind=Kind.MASK,
            labels=_PARSING_19,
            unit="class",
            queries=19,
            loss="dice_cross_entropy",
            metric="mean_f1",
            mirror=_pairs(_PARSING_19),
        ),
        Task(
            name="parsing_lapa",
            kind=Kind.MASK,
            labels=_PARSING_11,
            unit="class",
            queries=11,
            loss="dice_cross_entropy",
            metric="mean_f1",
            mirror=_pairs(_PARSING_11),
        ),
    )
)

# The paper's: 68 queries.
QFACE_TASKS: tuple[str, ...] = ("expression", "action_units", "attributes", "age", "gender", "head_pose")
# One network's answer to everything: 191 queries.
TEN_TASKS: tuple[str, ...] = (*QFACE_TASKS, "race", "landmarks", "visibility", "parsing")
# What the heads of FaceXFormer answer; `age` is the expectation over its age groups.
FACEXFORMER_TASKS: tuple[str, ...] = (
    "landmarks",
    "head_pose",
    "attributes",
    "visibility",
    "age_group",
    "age",
    "gender",
    "race_utkface",
    "parsing_lapa",
)


def select(names: Sequence[str]) -> tuple[Task, ...]:
    """The catalogue's tasks of these names, in the order given; ValueError names what is unknown."""
    unknown = [name for name in names if name not in CATALOGUE]
    if unknown:
        raise ValueError(f"unknown task {', '.join(unknown)}: the catalogue has {', '.join(CATALOGUE)}")
    if len(set(names)) != len(names):
        raise ValueError(f"a task is named twice: {', '.join(names)}")
    return tuple(CATALOGUE[name] for name in names)


def contract_hash(contract: Mapping[str, Any]) -> str:
    """16 hexadecimal digits over everything in the contract that gives an answer its meaning."""
    meaning = {key: value for key, value in contract.items() if key != "hash"}
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def make_contract(
    tasks: Sequence[Task],
    *,
    input_size: int,
    trained: Mapping[str, Sequence[str]] | None = None,
    crop: str = ALIGNED,
) -> dict[str, Any]:
    """What a model promises to answer, as plain data.

    `trained` gives, for each task, the labels that the weights have really learned (None: all); the
    others are left out, and a task without any is left out too. `crop` is one of `CROPS`. Returned keys:
    `version`, `input_size` (pixels), `crop` (left out when aligned), `tasks` (a list of {name, kind, labels,
    unit}; `threshold` for multilabel; `visible_points` where each label says whether a point can be seen:
    the points' task, and each label's index there or None; `default` = False for what is served only where
    it is named) and `hash`.
    """
    if crop not in CROPS:
        raise ValueError(f"unknown crop {crop!r}: choose from {', '.join(CROPS)}")
    entries = []
    for task in tasks:
        kept = [label for label in task.labels if trained is None or label in trained.get(task.name, ())]
        if not kept:
            continue
        if len(kept) != len(task.labels) and task.kind is not Kind.MULTILABEL:
            raise ValueError(
                f"task {task.name!r} was trained on some of its labels only, which its kind can't serve"
            )
        entry: dict[str, Any] = {"name": task.name, "kind": str(task.kind), "labels": kept, "unit": task.unit}
        if task.kind is Kind.MULTILABEL:
            entry["threshold"] = 0.5
        if task.aligned_labels is not None:
            points = [task.aligned_labels[label] for label in kept]
            entry["visible_points"] = {"task": "landmarks", "indices": points}
        if task.sensitive:
            entry["default"] = False  # served only where it is named
        entries.append(entry)
    contract: dict[str, Any] = {"version": CONTRACT_VERSION, "input_size": input_size, "tasks": entries}
    if crop != ALIGNED:
        contract["crop"] = crop
    contract["hash"] = contract_hash(contract)
    return contract

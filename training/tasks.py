"""The task catalogue: every task, its labels in order, and how it is learned and answered.

This is the only place in the project that spells out a label. From here the labels travel as data:
checkpoint metadata -> ONNX metadata -> `parameters` of the served models -> client. A new task is one
entry in `CATALOGUE` (and a data set); training.task_type documents the fields.

Everything reads `CATALOGUE` when it is used, so that a program or a test may add a task to it:
`CATALOGUE["pain"] = Task(name="pain", ...)`.

Sources: queries and label orders of Q-Face, sections 4.2 to 4.6; FairFace (race); iBUG 300-W (68
points); COFW (29 points); CelebAMask-HQ and LaPa (parsing).
"""

from collections.abc import Iterable, Sequence

from training.task_type import Implication
from training.task_type import Task as Task


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

FACE_QUALITY = "face_quality"  # what training.data.quality_set measures and training.evaluation.quality reads

CATALOGUE: dict[str, Task] = by_name(
    (
        Task(
            name="expression",
            kind="classes",
            labels=("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
            unit="probability",
            queries=7,
            loss="cross_entropy",
            metric="top1_accuracy",
            implied_by=(Implication(task="attributes", label="Smiling", labels=("happiness",)),),
        ),
        Task(
            name="action_units",
            kind="multilabel",
            labels=tuple(f"AU{i}" for i in (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43)),
            unit="probability",
            queries=12,
            loss="binary_cross_entropy",
            metric="mean_f1",
            implied_by=(
                Implication(task="attributes", label="Smiling", labels=("AU12",)),
                Implication(task="attributes", label="Mouth_Slightly_Open", labels=("AU25",)),
            ),
        ),
        Task(
            name="attributes",
            kind="multilabel",
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
            kind="value",
            labels=(_AGE_UNIT,),
            unit=_AGE_UNIT,
            queries=1,
            loss="smooth_l1",
            metric="mean_absolute_error",
            center=35.0,
            spread=20.0,
            limits=(0.0, 130.0),
            label_step=1.0,
            levels=(0.0, 100.0, 101),
            label_noise=1.0,  # section 4.5
        ),
        Task(
            name="gender",
            kind="classes",
            labels=("male", "female"),
            unit="probability",
            queries=2,
            loss="cross_entropy",
            metric="top1_accuracy",
            derived_from=("attributes", "Male"),
        ),
        Task(
            name="head_pose",
            kind="rotation",
            labels=("yaw", "pitch", "roll"),
            unit="degrees",
            queries=6,
            loss="geodesic",
            metric="euler_mean_absolute_error",
            label_noise=0.01,  # section 4.6
        ),
        Task(
            name="race",
            kind="classes",
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
            kind="classes",
            labels=("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
            unit="probability",
            queries=8,
            loss="cross_entropy",
            metric="top1_accuracy",
            derived_from=("age", ""),
        ),
        # UTKFace's five, in its order. FaceXFormer's author names no order, and this is the likely one.
        Task(
            name="race_utkface",
            kind="classes",
            labels=("White", "Black", "Asian", "Indian", "Others"),
            unit="probability",
            queries=5,
            loss="cross_entropy",
            metric="top1_accuracy",
            sensitive=True,
        ),
        Task(
            name="landmarks",
            kind="points",
            labels=_LANDMARK_NAMES,
            unit="pixels",
            queries=68,
            loss="wing",
            metric="normalized_mean_error",
            error_reference=("right_eye_0", "left_eye_3"),  # 300-W's: the outer corners of the eyes
            alignment_points=(
                tuple(f"right_eye_{i}" for i in range(6)),
                tuple(f"left_eye_{i}" for i in range(6)),
                ("nose_bridge_3",),
                ("outer_lip_0",),
                ("outer_lip_6",),
            ),
            mirror=tuple((_LANDMARK_NAMES[i], _LANDMARK_NAMES[j]) for i, j in _LANDMARK_MIRROR_INDEX),
        ),
        Task(
            name="visibility",
            kind="multilabel",
            labels=tuple(_COFW_TO_IBUG),
            unit="probability",
            queries=29,
            loss="binary_cross_entropy",
            metric="recall_at_80_precision",
            aligned_labels=_COFW_TO_IBUG,
            aligned_to="landmarks",
            frontal_by="head_pose",
            mirror=_pairs(_COFW_TO_IBUG),
        ),
        Task(
            name="parsing",
            kind="mask",
            labels=_PARSING_19,
            unit="class",
            queries=19,
            loss="dice_cross_entropy",
            metric="mean_f1",
            mirror=_pairs(_PARSING_19),
            background="background",
        ),
        Task(
            name="parsing_lapa",
            kind="mask",
            labels=_PARSING_11,
            unit="class",
            queries=11,
            loss="dice_cross_entropy",
            metric="mean_f1",
            mirror=_pairs(_PARSING_11),
            background="background",
        ),
        # Learned on top of a network (training.train.extend) from how well that network answers
        # (training.data.quality_set): what a crop is good for depends on who looks at it.
        Task(
            name=FACE_QUALITY,
            kind="multilabel",
            labels=("usable",),
            unit="probability",
            queries=1,
            loss="binary_cross_entropy",
            metric="mean_auc",
            exact_pixels=True,
        ),
    )
)

BUILT_IN = frozenset(CATALOGUE)  # before anything is added

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

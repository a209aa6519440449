"""The training runs that have a name, as typed objects. `RECIPES` makes each by its name.

A recipe's docstring has the command, the time it takes and what it reaches.
"""

import dataclasses
from collections.abc import Callable

from runtime.contract import ALIGNED
from training.data.sampling.augmentation import Augmentation
from training.data.sampling.balance import Balance
from training.kinds import kind_of
from training.models import FaceXFormerConfig, QFaceConfig
from training.models.qface import CONFIGS
from training.tasks import select
from training.train.objectives.distillation import Distillation
from training.train.run_config import Run, Source

# Children, old people, and expressions that are rare in a set come round more often.
_BY_AGE = (Balance(task="age", power=0.5),)
_BY_EXPRESSION = (Balance(task="expression", power=0.5),)
# A first try's: what is rare comes round more often.
_FIRST_SETS = (
    Source(name="fairface", batch=20, surround=True),
    Source(name="utkface", batch=8, surround=True),
    Source(name="celeba", batch=16),
    Source(name="ferplus", batch=20, surround=True),
    Source(name="celebamask_hq", batch=8),
    Source(name="youtube68", batch=12),
    Source(name="ict", batch=16),
)
_TEN_TASK_SETS = (
    Source(name="fairface", batch=26, surround=True, balance=_BY_AGE),
    Source(name="utkface", batch=12, surround=True, balance=_BY_AGE),
    Source(name="celeba", batch=12),
    Source(name="ferplus", batch=18, surround=True, balance=_BY_EXPRESSION),
    Source(name="celebamask_hq", batch=14),
    Source(name="youtube68", batch=8),
    Source(name="ict", batch=10),
)
_BY_DISTRIBUTION = {"age": "label_distribution"}
_WEIGHTS = {"action_units": 2.0, "attributes": 2.0, "head_pose": 2.0, "parsing": 2.0}
_RECOGNISER = Distillation(path="data/teachers/face_api", weight=2.0, without=("ict",))


def qface_tiny() -> Run:
    """The larger model that ships: all ten tasks (191 queries), from what fits into 230 MB.

        python -m training.train.finetune qface_tiny_encoder --data data/prepared --run var/encoder
        python -m training.train.finetune qface_tiny --data data/prepared --run var/tiny \\
            --set init=var/encoder/model.safetensors

    The first run trains the encoder under the multi-head baseline, whose gradients reach it directly and at
    four times the speed; the second one puts Q-Face on top.
    """
    return Run(
        name="qface_tiny",
        model=CONFIGS["qface_tiny"],
        sources=_TEN_TASK_SETS,
        weights=_WEIGHTS,
        losses=_BY_DISTRIBUTION,
        steps=5200,
        warmup_steps=200,
        learning_rate=5e-4,
        betas=(0.9, 0.99),
        clip=2.0,
        ema_decay=0.998,
        distillation=_RECOGNISER,
        assumed_visible=0.1,
        implied_labels=0.5,
        holdout_fraction=0.04,
    )


def qface_tiny_encoder() -> Run:
    """The encoder of `qface_tiny` under the multi-head baseline (figure 1b), which has no masks."""
    return dataclasses.replace(
        qface_tiny(),
        name="qface_tiny_encoder",
        model=_pooled(CONFIGS["qface_tiny"]),
        sources=tuple(source for source in _TEN_TASK_SETS if source.name != "celebamask_hq"),
        assumed_visible=0.0,
        steps=14000,
        warmup_steps=400,
        learning_rate=1e-3,
        end_learning_rate=1e-5,
        ema_decay=0.999,
    )


def qface_tiny_open() -> Run:
    """A smaller network of nine tasks, from what may be used for anything: FairFace and renders of a head.

    Expressions, action units, poses and landmarks of FairFace's faces are teachers'
    (`training.teachers.pseudolabel`); attributes nobody labelled. Two commands, as for `qface_tiny`.
    """
    return dataclasses.replace(
        qface_tiny(),
        name="qface_tiny_open",
        model=CONFIGS["qface_tiny_open"],
        sources=(
            # Fear and disgust are one face in 250 and one in 110 there, old people one in 100.
            Source(
                name="fairface",
                batch=48,
                surround=True,
                balance=(Balance(task="age", power=0.7), Balance(task="expression", power=0.7)),
            ),
            Source(name="ict", batch=16, balance=_BY_EXPRESSION),
        ),
        steps=4000,
    )


def qface_tiny_open_encoder() -> Run:
    """The encoder of `qface_tiny_open` under the multi-head baseline, which has no masks."""
    return dataclasses.replace(
        qface_tiny_encoder(),
        name="qface_tiny_open_encoder",
        model=_pooled(CONFIGS["qface_tiny_open"]),
        sources=qface_tiny_open().sources,
        steps=8000,
    )


def qface_paper() -> Run:
    """The paper's fine-tuning (section 4.1): ViT-B/16 at 224 pixels, five sets, 68 queries.

        torchrun --nproc-per-node 4 -m training.train.finetune qface_paper --data data/prepared \\
            --output var/paper --set init=var/pretrained/encoder.safetensors

    Its batch of 512 is taken as all sets' together. Learning rate, warm-up, shares of the sets and weights
    are not in the paper. Stored crops want 224 pixels: `training.data prepare ... --size 224`.
    """
    return Run(
        name="qface_paper",
        model=CONFIGS["qface_base"],
        sources=(
            Source(name="rafdb", batch=64),
            Source(name="emotionet", batch=96),
            Source(name="celeba", batch=192),
            Source(name="agedb", batch=96),
            Source(name="biwi", batch=64),
        ),
        epochs=100,
        warmup_epochs=5,
        learning_rate=5e-4,
        end_learning_rate=1e-6,
        layer_decay=0.85,
        clip=3.0,
        ema_decay=0.9999,
        workers=8,
        checkpoint_every=1000,
    )


def facexformer() -> Run:
    """FaceXFormer as its article trains it: wing, geodesic and cross-entropy losses, all weights 1.

        torchrun --nproc-per-node 8 -m training.train.finetune facexformer --data data/prepared \\
            --output var/facexformer

    Small sets come round more often, so that every batch holds every set; the batch of 48 is one GPU's
    there, and all of them's here. Which set has which share is not published. The augmentation is the
    landmarks', for all; a mirrored face's labels are mirrored with it. Crops are aligned as everywhere here
    (`training.data prepare ... --size 224`), so its checkpoint states it, and is served with such crops.

    LaPa and 300W-LP hold photos of 300-W's own test part, so only those of their parts are taken that have
    none: LaPa's pictures of MegaFace, and 300W-LP's of AFW, which 300-W trains on too.
    """
    return Run(
        name="facexformer",
        # The stochastic depth that torchvision's swin_b comes with.
        model=FaceXFormerConfig(crop=ALIGNED, drop_path=0.5),
        sources=(
            Source(name="lapa", batch=8, subset="megaface"),
            Source(name="300w", batch=8),
            Source(name="300w_lp", batch=8, subset="afw"),
            Source(name="celeba", batch=8),
            Source(name="cofw", batch=8),
            Source(name="utkface", batch=4, surround=True),
            Source(name="fairface", batch=4, surround=True),
        ),
        weights={"age": 0.0},  # the age group implies it
        losses={"parsing_lapa": "pixel_cross_entropy"},
        init="imagenet",
        noise=False,
        augmentation=Augmentation(
            rotation=18,
            scale=0.10,
            shift=0.05,
            colour=0,
            tint=0,
            grey=0.2,
            blur=0.3,
            erase=0.4,
            gamma=0.2,
            surround=0,
        ),
        epochs=12,
        learning_rate=1e-4,
        weight_decay=1e-5,
        milestones=(6 / 12, 10 / 12),
        workers=8,
        checkpoint_every=1000,
    )


def facexformer_v3() -> Run:
    """The same with the losses of the article's version 3, but for landmarks.

    Masks: the mean of Dice and cross-entropy; age: the mean of L1 and cross-entropy. Its STAR loss is for
    heat maps, which this network does not make; landmarks keep the wing loss.
    """
    return dataclasses.replace(
        facexformer(),
        name="facexformer_v3",
        weights={"parsing_lapa": 0.5, "age": 0.5, "age_group": 0.5},
        losses={},
    )


def qface_quick() -> Run:
    """All ten tasks in about half an hour on two CPU cores, at 64 pixels, to see the whole path.

        python -m training.train.pretrain qface_quick --data data/prepared --sets fairface \\
            --run var/pretrained
        python -m training.train.finetune qface_quick --data data/prepared --run var/quick \\
            --set init=var/pretrained/encoder.safetensors
    """
    return dataclasses.replace(
        qface_tiny(),
        name="qface_quick",
        model=CONFIGS["qface_quick"],
        sources=_FIRST_SETS,
        distillation=None,
        assumed_visible=0.0,
        holdout_fraction=0.0,
        steps=1200,
        warmup_steps=60,
        learning_rate=1e-3,
        ema_decay=0.99,
        checkpoint_every=100,
        kept_out=1500,
    )


def qface_demo() -> Run:
    """`make train-demo`: what renders label, learned from a few hundred of them in two minutes."""
    tasks = ("head_pose", "landmarks", "visibility", "action_units", "parsing")
    return dataclasses.replace(
        qface_test(),
        name="qface_demo",
        model=CONFIGS["qface_test"].with_tasks(tasks),
        sources=(Source(name="ict", batch=32),),
        steps=300,
        warmup_steps=30,
        holdout_fraction=0.1,
        samples_every=100,
    )


def qface_test() -> Run:
    """A minute's trial of everything: a network of less than a million parameters at 64 pixels."""
    return Run(
        name="qface_test",
        model=CONFIGS["qface_test"],
        sources=_FIRST_SETS,
        weights=_WEIGHTS,
        steps=200,
        warmup_steps=20,
        learning_rate=1e-3,
        clip=2.0,
        ema_decay=0.98,
        bf16=False,
        checkpoint_every=50,
        progress_every=10,
        kept_out=200,
    )


RECIPES: dict[str, Callable[[], Run]] = {
    make.__name__: make
    for make in (
        qface_tiny,
        qface_tiny_encoder,
        qface_tiny_open,
        qface_tiny_open_encoder,
        qface_paper,
        facexformer,
        facexformer_v3,
        qface_quick,
        qface_demo,
        qface_test,
    )
}


def run_named(name: str) -> Run:
    """The run of this name; ValueError names those that there are."""
    if name not in RECIPES:
        raise ValueError(f"there is no run {name!r}: choose from {', '.join(RECIPES)}")
    return RECIPES[name]()


def _pooled(config: QFaceConfig) -> QFaceConfig:
    """The multi-head baseline of a configuration; an average over places answers no masks."""
    tasks = tuple(task.name for task in select(config.tasks) if not kind_of(task).needs_places)
    return dataclasses.replace(config, name=f"{config.name}_pooled", head="pooled", tasks=tasks)

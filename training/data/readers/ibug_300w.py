"""300-W: 68 points in the photos of LFPW, HELEN, AFW and IBUG, as iBUG re-annotated them.

Sagonas, Antonakos, Tzimiropoulos, Zafeiriou, Pantic, 300 Faces In-The-Wild Challenge: Database and
Results, Image and Vision Computing 47, 2016. The field's split: AFW and the training parts of LFPW and
HELEN are for training (3,148); their test parts are the subset "common" (554), IBUG is "challenge"
(135), and both together, the whole test split, are what papers call the full set (689). The 600
pictures of the challenge's own private test are no part of it.
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.point_files import points_label, read_pts
from training.data.reader_tools.source_files import picture_beside
from training.data.sample import BadSample, Sample

# Folder below --source -> split, subset.
_PARTS = {
    "afw": ("train", ""),
    "helen/trainset": ("train", ""),
    "lfpw/trainset": ("train", ""),
    "helen/testset": ("test", "common"),
    "lfpw/testset": ("test", "common"),
    "ibug": ("test", "challenge"),
}


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture with a .pts file, folder by folder, in the order of the names.

    A missing folder is skipped as long as another one exists; the counts show it.
    """
    # The four folders lie by themselves or, as in mmpose, in images/.
    root = next((place for place in (source, source / "images") if any(_present(place))), None)
    if root is None:
        raise LayoutError(f"300W's pictures are missing: folders {', '.join(_PARTS)} belong in {source}")
    for folder in _present(root):
        split, subset = _PARTS[folder]
        for path in sorted((root / folder).glob("*.pts")):
            # Some copies hold mirrored pictures that people made for training.
            if path.stem.endswith("_mirror"):
                continue
            key = path.relative_to(source).as_posix()
            picture = picture_beside(path)
            if picture is None:
                yield BadSample(key=key, reason="its picture is not beside it")
                continue
            try:
                points = read_pts(path)
            except ValueError as error:
                yield BadSample(key=key, reason=str(error))
                continue
            yield Sample(
                key=picture.relative_to(source).as_posix(),
                picture=picture,
                labels={"landmarks": points_label(points)},
                split=split,
                subset=subset,
            )


def _present(root: Path) -> list[str]:
    return [folder for folder in _PARTS if (root / folder).is_dir()]


READER = Reader(
    name="300w",
    title="300-W (Sagonas et al., 2016): AFW, HELEN, IBUG, LFPW",
    licence="research only",
    page="https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/: downloads for research",
    tasks=("landmarks",),
    tree="""\
afw/134212_1.jpg, 134212_1.pts
helen/trainset/100032540_1.jpg, .pts
helen/testset/296814969_3.jpg, .pts
ibug/image_003_1.jpg, .pts
lfpw/trainset/image_0001.png, .pts
lfpw/testset/image_0001.png, .pts""",
    expected=Expected(counts={"train": 3148, "test": 689}),
    read=read,
)

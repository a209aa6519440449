"""Masks of a server's answers, compared with the labels in the whole photo's pixels.

There a network also answers for what lies outside its crop: what its mask does not reach is background.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from qface_client import QFaceError
from training.evaluation.evaluate import chunks
from training.evaluation.evaluated_task import EvaluatedTask
from training.evaluation.metric_accumulator import FaceStatistics
from training.evaluation.predictors import AnalyzePhoto
from training.evaluation.served_photos import SetPhotos, matching_face
from training.kinds import kind_of
from training.kinds.forms import PerFace

_IN_FLIGHT = 8


def photo_mask_statistics(
    photos: SetPhotos,
    analyze: AnalyzePhoto,
    evaluated: EvaluatedTask,
    indices: NDArray[np.int64],
    *,
    limit: int | None = None,
) -> tuple[FaceStatistics | None, int]:
    """The numbers of those of these faces that were found and have a mask, and how many were not found.

    ValueError for a photo that the server does not answer.
    """
    kind = kind_of(evaluated.task)

    def of_one(i: int) -> PerFace | None:
        """None: the face was not found."""
        picture, truth = photos[i], photos.mask(i)
        try:
            analysis = analyze(picture, [evaluated.task.name])
        except QFaceError as error:
            raise ValueError(
                f"the server did not answer about {photos.faces.key(i)} of {photos.faces.name}: {error}"
            ) from None
        size = evaluated.input_size
        face = matching_face(analysis, photos.to_crop(i, size=size), size=size)
        if face is None:
            return None
        height, width = truth.shape
        answered = kind.client_answer_in_photo(face[evaluated.task.name], width=width, height=height)
        return kind.per_face(evaluated, answered[None], kind.in_order(evaluated, truth[None]))

    rows = np.concatenate([np.empty(0, np.int64), *(indices[at] for at in chunks(len(indices), limit=limit))])
    rows = rows[[photos.has_mask(i) for i in rows.tolist()]] if len(rows) else rows
    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        parts = list(pool.map(of_one, rows.tolist()))
    found = [part for part in parts if part is not None]
    if not found:
        return None, len(parts)
    stats = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    chosen = rows[[part is not None for part in parts]]
    return FaceStatistics(evaluated=evaluated, indices=chosen, stats=stats), len(parts) - len(found)

"""Whether a server answers yet: by reading a model, past what bounds the tries of other calls."""

import math

from .._telemetry import LOG, described
from ..contract import ModelInfo
from ..errors import NotServed, QFaceError
from .deadline import Deadline
from .retries import SHORTEST_TRY
from .server_models import ServerModels
from .steps import Pause, ReadModel, Steps

# Between two tries, unless the server wants a longer pause; and of one try.
PAUSE_SECONDS, TRY_SECONDS = 0.5, 10.0


def read_once(models: ServerModels, model: str, deadline: Deadline) -> Steps[bool]:
    """Whether a model can be read now and is by the right contract: one try."""
    try:
        yield from _read(models, model, models.left(deadline))
    except QFaceError as error:
        LOG.info("not ready: %s", described(error))
        return False
    return True


def wait_until_read(models: ServerModels, model: str, deadline: Deadline) -> Steps[None]:
    """Read a model as soon as it can be read.

    It waits for the whole time also where nothing listens yet, unlike a first call. At the deadline it raises
    the last try's error, and at once one that no waiting mends.
    """
    while True:
        try:
            yield from _read(models, model, min(TRY_SECONDS, models.left(deadline)))
            return
        except QFaceError as error:
            # A Triton that still loads its models names them unknown.
            if not error.retryable and not isinstance(error, NotServed):
                raise
            least = getattr(error, "retry_after", None) or 0.0
            pause = max(PAUSE_SECONDS, least if math.isfinite(least) else 0.0)
            if deadline.left() - pause < SHORTEST_TRY:
                raise
            LOG.info("not ready, another try in %.1f s: %s", pause, described(error))
        yield Pause(seconds=pause)


def _read(models: ServerModels, model: str, seconds: float) -> Steps[None]:
    info: ModelInfo = yield from models.retries.once(ReadModel(model=model, timeout=seconds))
    models.keep(info, model=model)

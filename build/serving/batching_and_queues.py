"""How many faces are batched, and how many requests may wait."""

from build.errors import BuildError

MAX_BATCH = 32
COMPARED_BATCHES = (1, 3, MAX_BATCH)  # at which a network's and an engine's answers are compared with torch's

# Requests that may wait for the first step of an ensemble before further ones are refused: some seconds of
# work for a CPU.
MAX_QUEUED_FACES = 256
# The same for photos. They take longer than crops and are held in memory as they were sent.
MAX_QUEUED_PHOTOS = 64


def check_max_batch(max_batch: int) -> None:
    """Raises BuildError where an engine for batches of up to `max_batch` can't be served."""
    if max_batch < MAX_BATCH:
        raise BuildError(
            f"an engine for batches of up to {max_batch} can't serve the {MAX_BATCH} faces that are put "
            f"together: build it with --max-batch {MAX_BATCH} or more"
        )

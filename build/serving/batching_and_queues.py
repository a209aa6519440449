"""How many faces are batched, and how many requests may wait."""

from build.errors import BuildError

MAX_BATCH = 32
COMPARED_BATCHES = (1, 3, MAX_BATCH)  # at which a network's and an engine's answers are compared with torch's

# Requests that may wait within Triton for the first step of an ensemble, or for a model of whole photos,
# where a host's settings have no other bound. How many make sense depends on the host, so the gateway
# measures that and keeps Triton below it: this is what its --in-flight is at most, and bounds a server
# without a gateway. Later steps have no bound: a request that is refused there would hang.
MAX_QUEUED = 1024


def check_max_batch(max_batch: int) -> None:
    """Raises BuildError where an engine for batches of up to `max_batch` can't be served."""
    if max_batch < MAX_BATCH:
        raise BuildError(
            f"an engine for batches of up to {max_batch} can't serve the {MAX_BATCH} faces that are put "
            f"together: build it with --max-batch {MAX_BATCH} or more"
        )

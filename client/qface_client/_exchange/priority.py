"""The priority that a call is sent with."""

from typing import Any

import numpy as np

from ..errors import InvalidInput


def check_priority(priority: Any) -> int | None:
    """The priority as it is sent; InvalidInput for what the protocol can't send. Servers bound it further."""
    if priority is None:
        return None
    if isinstance(priority, bool) or not isinstance(priority, int | np.integer):
        raise InvalidInput(f"priority is a whole number, 1 for what goes first, not {priority!r}")
    if not 0 <= priority < 1 << 64:
        raise InvalidInput(f"priority is 0 (the server's default) or more, not {priority}")
    return int(priority)

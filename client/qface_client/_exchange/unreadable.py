"""What an answer may be that no server of the protocol makes: one error, whatever reading it runs into."""

import contextlib
import struct
from collections.abc import Iterator

from ..errors import QFaceError, ServerError

# What reading damaged data may raise; not what ends a program (KeyboardInterrupt, Abandoned).
DAMAGE = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, struct.error, TypeError,
    ValueError,
)  # fmt: skip


@contextlib.contextmanager
def unreadable_is_a_server_error() -> Iterator[None]:
    """ServerError for any way in which an answer can't be read."""
    try:
        yield
    except QFaceError:
        raise
    except DAMAGE as error:
        raise ServerError(
            f"the answer can't be read ({type(error).__name__}: {error}): look at the server's log, and at "
            "what else answers at its address"
        ) from error

"""What an operator sees of a client: its log and, where they are wanted, spans of OpenTelemetry.

Neither has a picture, a crop, an answer or a key in it.
"""

from .log import LOG, described, one_line
from .traced import Tracing, traced, tracing_of
from .tries import Tries, counted_tries, further_try

__all__ = [
    "LOG",
    "Tracing",
    "Tries",
    "counted_tries",
    "described",
    "further_try",
    "one_line",
    "traced",
    "tracing_of",
]

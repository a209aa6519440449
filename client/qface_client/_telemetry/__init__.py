"""What an operator sees of a client: its log and, where they are wanted, spans of OpenTelemetry.

Neither has a picture, a crop, an answer or a key in it.
"""

from .log import LOG, described, one_line
from .traced import Tracing, traced, tracing_of

__all__ = ["LOG", "Tracing", "described", "one_line", "traced", "tracing_of"]

"""What `qface analyze` makes of answers, a module an output.

An output takes each photo's outcome in the order of the photos and is closed at the end, however that comes:
what was answered until then is kept.
"""

from .answered import Answered, Output
from .chosen import ChosenOutputs, can_be_resumed, mistake
from .earlier import Earlier

__all__ = ["Answered", "ChosenOutputs", "Earlier", "Output", "can_be_resumed", "mistake"]

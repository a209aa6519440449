"""What `qface analyze` makes of answers, a module an output.

An output takes each photo's outcome in the order of the photos and is closed at the end, however that comes:
what was answered until then is kept.
"""

from .answered import Answered, Output
from .chosen import ChosenOutputs, mistake

__all__ = ["Answered", "ChosenOutputs", "Output", "mistake"]

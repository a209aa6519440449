"""The parameters that every model takes, and the sentence about one that can't be used."""

from runtime.parameters import Parameter

PRIORITY = "priority"
# Triton's: 1 goes before the others, 0 is the model's default.
PRIORITIES = Parameter(type="integer", minimum=0, maximum=1)


def unusable(model: str, name: str, range_text: str) -> str:
    """Of a request to a model whose parameter has a value that is not taken."""
    return f"the request to model {model} has a parameter {name!r} that can't be used: it is {range_text}"

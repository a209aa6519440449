"""Questions to a model of any V2 server: tensors of the shapes that it declares, filled at random."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import triton_to_np_dtype

from deploy.loadtest.work.options import WorkOptions
from deploy.loadtest.work.question import Question

OPEN_SIZE = 64  # of a dimension that a model leaves open
OPEN_TEXTS = 1  # the same of texts
_SEED = 17
_TEXT = b"what is sent is made"

# By the kind of a numpy type: elements of a shape.
_ELEMENTS: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], NDArray[Any]]] = {
    "b": lambda random, shape: random.integers(0, 2, shape),
    "f": lambda random, shape: random.uniform(0.0, 1.0, shape),
    "i": lambda random, shape: random.integers(0, 10, shape),  # few are an index that a model lacks
    "u": lambda random, shape: random.integers(0, 10, shape),
    "O": lambda random, shape: np.full(shape, _TEXT, np.object_),
}


def question_to(name: str, model: Mapping[str, Any], options: WorkOptions) -> Question:
    """A request to a model, of its description in `Door.describe`.

    ValueError with a sentence for shapes, batches and types that it can't get.
    """
    declared = [tensor for tensor in model["inputs"] if not tensor["optional"]]
    if unknown := options.shapes.keys() - {tensor["name"] for tensor in model["inputs"]}:
        names = ", ".join(tensor["name"] for tensor in model["inputs"])
        raise ValueError(f"{name} has no input {', '.join(sorted(unknown))}: it has {names or 'none'}")
    declared += [each for each in model["inputs"] if each["optional"] and each["name"] in options.shapes]
    most: int | None = model["max_batch_size"]
    if most is not None and options.batch > max(1, most):
        raise ValueError(
            f"{name} takes batches of {max(1, most)} at most, not of {options.batch}: give --batch "
            f"{max(1, most)}"
        )
    random = np.random.default_rng(_SEED)
    return Question(
        kind=name if options.batch == 1 else f"{name}, batch {options.batch}",
        model=name,
        inputs={
            tensor["name"]: _made(name, tensor, _shape(name, tensor, options, most), random)
            for tensor in declared
        },
    )


def _made(
    model: str, tensor: Mapping[str, Any], shape: tuple[int, ...], random: np.random.Generator
) -> NDArray[Any]:
    dtype = triton_to_np_dtype(tensor["datatype"])
    if dtype is None:
        raise ValueError(
            f"the input {tensor['name']} of {model} is {tensor['datatype']}, which is not made here: "
            "load another model"
        )
    kind = np.dtype(dtype).kind
    if tensor["datatype"] == "UINT8":  # of a picture
        return random.integers(0, 256, shape, dtype=np.uint8)
    return _ELEMENTS[kind](random, shape).astype(dtype)


def _shape(model: str, tensor: Mapping[str, Any], options: WorkOptions, most: int | None) -> tuple[int, ...]:
    """The whole shape of an input, with the batch's dimension where it has one.

    most    the model's largest batch, 0: it has none; None: unknown, and a first size left open is the batch
    """
    name, declared = tensor["name"], list(tensor["shape"])
    given: Sequence[int] | None = options.shapes.get(name)
    batched = most > 0 if most is not None else declared[:1] == [-1] and len(given or ()) < len(declared)
    rest = declared[1:] if batched else declared
    if given is None:
        size = OPEN_TEXTS if tensor["datatype"] == "BYTES" else OPEN_SIZE
        given = [size if each < 0 else each for each in rest]
    fits = len(given) == len(rest) and all(want in (-1, size) for want, size in zip(rest, given, strict=True))
    if not fits:
        raise ValueError(
            f"the input {name} of {model} has the shape {rest}, not {list(given)}: "
            f"give --shape {name}:{','.join('N' if each < 0 else str(each) for each in rest)}"
        )
    if options.batch > 1 and not batched:
        raise ValueError(f"the input {name} of {model} has no room for a batch: leave --batch out")
    return (options.batch, *given) if batched else tuple(given)

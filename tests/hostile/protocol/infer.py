"""Variants of an inference over gRPC: the valid request with one thing changed."""

import math
from collections.abc import Callable, Iterator, Sequence

from tritonclient.grpc import service_pb2 as v2

from tests.helpers import hostile_requests as changes
from tests.helpers.hostile_requests import DATATYPES, SERVICE
from tests.hostile.protocol.variant import OK, End, Target, Variant, unary

BAD, MISSING = ("INVALID_ARGUMENT",), ("NOT_FOUND",)
PARAMETER = "parameter|min_score|max_faces|min_face"
_LARGE = 2**20
# Values of a parameter by the field that has them.
_OF_ANOTHER_KIND: Sequence[tuple[str, object]] = (
    ("int64_param", -1),
    ("int64_param", -(2**63)),
    ("uint64_param", 2**64 - 1),
    ("string_param", "1"),
    ("double_param", 1.0),
    ("double_param", math.nan),
    ("bool_param", True),
)
_NO_COUNT: Sequence[tuple[str, object]] = (
    ("int64_param", -1),
    ("int64_param", 2**63 - 1),
    ("uint64_param", 2**64 - 1),
    ("double_param", 2.5),
    ("double_param", math.nan),
    ("string_param", "3"),
    ("bool_param", True),
)

Change = Callable[[v2.ModelInferRequest], object]


def sent(change: Change, *, crops: bool = False) -> Callable[[Target], End]:
    """Sends the photo's request, or that of the crops, changed."""

    def send(target: Target) -> End:
        request = v2.ModelInferRequest()
        request.CopyFrom(target.crops if crops else target.photo)
        change(request)
        return unary(f"{SERVICE}ModelInfer", request.SerializeToString(), target)

    return send


Case = tuple[str, Change, tuple[str, ...], str]


def inferences() -> Iterator[Variant]:
    """All of them."""
    for kind, crops, cases in (
        ("gRPC, what is as it should be", False, _right()),
        ("gRPC, datatypes", False, _datatypes()),
        ("gRPC, shapes of a photo", False, _shapes()),
        ("gRPC, shapes of crops", True, _crop_shapes()),
        ("gRPC, contents", False, _contents()),
        ("gRPC, parameters", False, _parameters()),
        ("gRPC, parameters of tensors", False, _tensor_parameters()),
        ("gRPC, names and ids", False, _names()),
        ("gRPC, inputs and outputs", False, _tensors()),
    ):
        for name, change, codes, words in cases:
            yield Variant(
                name=f"{kind}: {name}", kind=kind, send=sent(change, crops=crops), codes=codes, words=words
            )


def _set(attribute: str, value: object) -> Change:
    return lambda request: setattr(request, attribute, value)


def _set_input(attribute: str, value: object) -> Change:
    return lambda request: setattr(request.inputs[0], attribute, value)


def _shape(*sizes: int) -> Change:
    def change(request: v2.ModelInferRequest) -> None:
        request.inputs[0].shape[:] = sizes

    return change


def _raw(make: Callable[[bytes], Sequence[bytes]]) -> Change:
    def change(request: v2.ModelInferRequest) -> None:
        request.raw_input_contents[:] = make(request.raw_input_contents[0])

    return change


def _typed(field: str, make: Callable[[bytes], Sequence[object]], *, datatype: str = "UINT8") -> Change:
    def change(request: v2.ModelInferRequest) -> None:
        data = request.raw_input_contents[0]
        del request.raw_input_contents[:]
        request.inputs[0].datatype = datatype
        getattr(request.inputs[0].contents, field).extend(make(data))

    return change


def _parameter(name: str, kind: str, value: object) -> Change:
    return lambda request: setattr(request.parameters[name], kind, value)


def _right() -> Iterator[Case]:
    yield "nothing changed", lambda request: None, (OK,), ""
    yield "version 1", _set("model_version", "1"), (OK,), ""
    yield "an id of 128 characters", _set("id", "i" * 128), (OK,), ""
    yield "typed contents", _typed("uint_contents", list), (OK,), ""
    for name in ("priority", "timeout"):
        yield f"{name} 0", _parameter(name, "int64_param", 0), (OK,), ""
    yield "binary_data of an output", _output_parameter("binary_data", "bool_param", True), (OK,), ""
    final = "triton_enable_empty_final_response"
    yield final, _parameter(final, "bool_param", True), (OK,), ""


def _datatypes() -> Iterator[Case]:
    odd = ["", "uint8", "UINT8 ", "UINT8\0", "TYPE_UINT8", "INVALID", "UINT", "\u2075", "%s%n"]
    for name in (*(name for name in DATATYPES if name != "UINT8"), *odd):  # that one is right
        yield repr(name), _set_input("datatype", name), BAD, "has the datatype"
    yield "100,000 letters", _set_input("datatype", "F" * 100_000), BAD, "has the datatype"


def _shapes() -> Iterator[Case]:
    shape, size = "has the shape", "bytes; its shape"
    for number in (2**31, 2**32, 2**40, 2**62, 2**63 - 1, 1):
        yield f"[{number}]", _shape(number), BAD, size
    for number in (-1, -2, -(2**31), -(2**62), -(2**63)):
        yield f"[{number}]", _shape(number), BAD, shape
    for sizes in ((), (1, 1), (2**32, 2**32), (2**62, 4), (-1, -1), (0, 2**62), (1,) * 64):
        name = ", ".join(map(str, sizes[:4]))
        yield f"[{name}] of {len(sizes)}", _shape(*sizes), BAD, shape
    for length in (65, 100_000):
        yield f"{length:,} dimensions", _shape(*[1] * length), BAD, "dimensions"
    yield "[0] and all the bytes", _shape(0), BAD, size


def _crop_shapes() -> Iterator[Case]:
    yield "nothing changed", lambda request: None, (OK,), ""
    for rows in (0, -1, 33, 1000, 2**31, 2**62, 2**63 - 1, -(2**63)):
        yield f"{rows} rows", _first_size(rows), BAD, "has a batch of|has the shape"
    for sizes in ((1, 2**62, 4, 3), (1, 2**31, 2**31, 3), (4, 2**62, 1, 3), (1, 2**63 - 1, 2**63 - 1, 3)):
        yield f"{sizes} overflows", _shape(*sizes), BAD, "bytes; its shape"
    for others in ((1, 8, 8), (1, 8, 8, 4), (1, 8, 8, 3, 1), (8, 8, 3), (1, -1, -1, 3), (1, 8, 8, -3)):
        yield f"{others}", _shape(*others), BAD, "has the shape"
    yield "a crop without height", _nothing(1, 0, 8, 3), BAD, "pixels|empty"
    yield "a crop without width", _nothing(1, 8, 0, 3), BAD, "pixels|empty"
    yield "32 crops without pixels", _nothing(32, 0, 0, 3), BAD, "pixels|empty"


def _first_size(rows: int) -> Change:
    def change(request: v2.ModelInferRequest) -> None:
        request.inputs[0].shape[0] = rows

    return change


def _nothing(*sizes: int) -> Change:
    def change(request: v2.ModelInferRequest) -> None:
        request.inputs[0].shape[:] = sizes
        request.raw_input_contents[0] = b""

    return change


def _contents() -> Iterator[Case]:
    size = "bytes; its shape"
    yield "a byte less", _raw(lambda data: [data[:-1]]), BAD, size
    yield "a byte more", _raw(lambda data: [data + b"\0"]), BAD, size
    yield "none of its bytes", _raw(lambda data: [b""]), BAD, size
    yield "no buffer", _raw(lambda data: []), BAD, "has no data"
    yield "two buffers", _raw(lambda data: [data, b"more"]), BAD, "1 inputs and 2 raw_input_contents"
    yield "a thousand buffers", _raw(lambda data: [data] + [b""] * 1000), BAD, "1024|and 1001 raw"
    yield "ten thousand buffers", _raw(lambda data: [data] + [b""] * 10_000), BAD, "1024"
    yield "no photo at all", _nothing(0), BAD, "empty"
    yield "both sorts", changes.both_sorts_of_contents, BAD, "in one of the two ways"
    wrong = "they belong in"
    for field in ("bool", "int", "int64", "uint64", "fp32", "fp64"):
        yield f"in {field}_contents", _typed(f"{field}_contents", lambda data: [1] * 8), BAD, wrong
    yield "in bytes_contents", _typed("bytes_contents", lambda data: [data]), BAD, wrong
    yield "elements of 256", _typed("uint_contents", lambda data: [256] * len(data)), BAD, "outside of UINT8"
    yield "elements of 2^32 - 1", _typed("uint_contents", lambda data: [2**32 - 1]), BAD, "outside of UINT8"
    yield "too few elements", _typed("uint_contents", lambda data: list(data[:-1])), BAD, size
    yield "100,000 elements", _typed("uint_contents", lambda data: [1] * 100_000), BAD, "over 65536"
    half = _typed("fp32_contents", lambda data: [1.0] * len(data), datatype="FP16")
    yield "typed FP16", half, BAD, "for which there are no typed contents"
    strings = _typed("bytes_contents", lambda data: [data], datatype="BYTES")
    yield "typed BYTES", strings, BAD, "has the datatype"


def _parameters() -> Iterator[Case]:
    for name in ("classification", "binary_data_size", "shared_memory_byte_size", "shared_memory_offset",
                 "sequence_id"):  # fmt: skip
        for value in (0, -1, 3, 2**63 - 1):
            yield f"{name} {value}", _parameter(name, "int64_param", value), BAD, PARAMETER
    for name in ("shared_memory_region", "sequence_id", "headers", "", " ", "\0", "__class__", "x" * 1000):
        yield f"{name[:20]!r}", _parameter(name, "string_param", "value"), BAD, PARAMETER
    for name in ("sequence_start", "sequence_end", "binary_data_output", "triton_final_response"):
        yield name, _parameter(name, "bool_param", True), BAD, PARAMETER
    yield "a name of a megabyte", _parameter("x" * _LARGE, "bool_param", True), BAD, "may have 1048576"
    yield (
        "a value of a megabyte",
        _parameter("timeout", "string_param", "1" * _LARGE),
        BAD,
        "may have 1048576",
    )
    yield "2,000 of them", _many_parameters, BAD, "more than 1024"
    yield "one without a value", lambda request: request.parameters["timeout"].SetInParent(), BAD, "no value"
    for name in ("priority", "timeout"):
        for kind, given in _OF_ANOTHER_KIND:
            yield f"{name} as {kind} {given}", _parameter(name, kind, given), BAD, PARAMETER
    yield "priority 2", _parameter("priority", "int64_param", 2), BAD, PARAMETER
    yield (
        "timeout of a microsecond",
        _parameter("timeout", "int64_param", 1),
        (OK, "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"),
        "time",
    )
    for name in ("min_score", "min_face"):
        for number in (math.nan, math.inf, -math.inf, -1.0, 1e308, 1.5):
            yield f"{name} {number}", _parameter(name, "double_param", number), BAD, PARAMETER
        yield f"{name} as text", _parameter(name, "string_param", "0.5"), BAD, PARAMETER
        yield f"{name} as a bool", _parameter(name, "bool_param", True), BAD, PARAMETER
    for kind, given in _NO_COUNT:
        yield f"max_faces as {kind} {given}", _parameter("max_faces", kind, given), BAD, PARAMETER


def _many_parameters(request: v2.ModelInferRequest) -> None:
    for number in range(2000):
        request.parameters[f"p{number}"].int64_param = number


def _output_parameter(name: str, kind: str, value: object) -> Change:
    def change(request: v2.ModelInferRequest) -> None:
        for output in request.outputs:
            setattr(output.parameters[name], kind, value)

    return change


def _input_parameter(name: str, kind: str, value: object) -> Change:
    return lambda request: setattr(request.inputs[0].parameters[name], kind, value)


def _tensor_parameters() -> Iterator[Case]:
    taken = "which is not taken"
    for value in (0, 1, 3, -1, 2**63 - 1):
        yield (
            f"classification {value} of outputs",
            _output_parameter("classification", "int64_param", value),
            BAD,
            taken,
        )
    yield (
        "classification of outputs as text",
        _output_parameter("classification", "string_param", "3"),
        BAD,
        taken,
    )
    for name in ("binary_data_size", "shared_memory_byte_size", "shared_memory_offset", "unknown", ""):
        yield f"{name!r} of outputs", _output_parameter(name, "int64_param", 8), BAD, taken
        yield f"{name!r} of an input", _input_parameter(name, "int64_param", 8), BAD, taken
    for where, change in (("outputs", changes.shared_memory_output), ("inputs", changes.shared_memory_input)):
        yield f"shared memory of {where}", change, BAD, taken
    yield (
        "shared memory beside the bytes",
        _input_parameter("shared_memory_region", "string_param", "/dev/shm/x"),
        BAD,
        taken,
    )


def _names() -> Iterator[Case]:
    for name in ("", ".", "..", "../photo_analysis", "photo_analysis/", "photo_analysis/1", "/etc/passwd",
                 "photo_analysis\0", " photo_analysis", "PHOTO_ANALYSIS", "photo\u200b_analysis",
                 "ph\u043eto_analysis", "photo_analysis\r\nX: y", "*", "%s%n", "\U0001f600" * 50,
                 "x" * 100_000):  # fmt: skip
        yield f"model {name[:30]!r}", _set("model_name", name), MISSING, "unknown model"
    yield "a model of a megabyte", _set("model_name", "x" * _LARGE), BAD, "may have 1048576"
    for version in ("0", "2", "-1", "01", "1.0", "1 ", "1\0", "../1", "latest", "9" * 1000, "\u0661"):
        yield f"version {version[:30]!r}", _set("model_version", version), MISSING, "unknown model"
    for name, value in (("of 129 characters", "i" * 129), ("with NUL", "a\0b"), ("with a line end", "a\nb"),
                        ("in Cyrillic", "\u0444"), ("of terminal codes", "\x1b[2J")):  # fmt: skip
        yield f"an id {name}", _set("id", value), BAD, "id "
    yield "an id of a megabyte", _set("id", "i" * _LARGE), BAD, "may have 1048576"


def _tensors() -> Iterator[Case]:
    yield "no input", _without_inputs, BAD, "lacks the input"
    yield "the input twice", changes.doubled_tensor, BAD, "twice"
    yield "an unknown input", changes.unknown_tensor, BAD, "unexpected inference input"
    for name in ("", "IMAGE", "image\0", "image ", "../image", "im\u0430ge"):
        yield f"an input called {name!r}", _set_input("name", name), BAD, "unexpected inference input"
    yield "an input's name of a megabyte", changes.name_of_a_megabyte, BAD, "may have 1048576"
    yield "an input's name of markup", changes.name_that_is_markup, BAD, "unexpected inference input"
    yield "2,000 inputs", _many_inputs, BAD, "more than 1024"
    for name in ("no_such_output", "", "boxes\0", "BOXES", "x" * 10_000):
        yield f"an output called {name[:20]!r}", _output(name), BAD, "unexpected inference output"
    yield "each output twice", changes.doubled_output, BAD, "twice"
    yield "2,000 outputs", _many_outputs, BAD, "more than 1024"


def _without_inputs(request: v2.ModelInferRequest) -> None:
    del request.inputs[:]
    del request.raw_input_contents[:]


def _many_inputs(request: v2.ModelInferRequest) -> None:
    for number in range(2000):
        request.inputs.add(name=f"x{number}", datatype="UINT8", shape=[0])


def _output(name: str) -> Change:
    return lambda request: request.outputs.add(name=name)


def _many_outputs(request: v2.ModelInferRequest) -> None:
    for number in range(2000):
        request.outputs.add(name=f"x{number}")

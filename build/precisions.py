"""The number formats that an engine can multiply in. They are named and described here only."""

import dataclasses
from typing import Final, Literal

Precision = Literal["fp32", "fp16", "bf16", "int8", "fp8"]
# On a command line: the precision is chosen here, by what the processor has and the acceptance gate finds.
AUTOMATIC: Final = "auto"
PrecisionChoice = Literal["auto", "fp32", "fp16", "bf16", "int8", "fp8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """What follows from a precision, whichever engine has it."""

    name: Precision
    bits: int
    # Values are stored with a scale that is fitted to calibration faces.
    quantised: bool = False
    # It reaches as far as fp32, so its effect does not depend on how large trained weights make the values.
    fp32_range: bool = False

    @property
    def full(self) -> bool:
        """Whether it is the precision in which the network is trained and exported."""
        return self.name == FULL_PRECISION


FULL_PRECISION: Precision = "fp32"
FORMATS: dict[str, NumberFormat] = {
    form.name: form
    for form in (
        NumberFormat(name="fp32", bits=32, fp32_range=True),
        NumberFormat(name="fp16", bits=16),
        NumberFormat(name="bf16", bits=16, fp32_range=True),
        NumberFormat(name="int8", bits=8, quantised=True),
        NumberFormat(name="fp8", bits=8, quantised=True),
    )
}
PRECISIONS: tuple[Precision, ...] = tuple(form.name for form in FORMATS.values())


def format_of(precision: str) -> NumberFormat:
    """The format of this name; ValueError names the known ones."""
    if precision not in FORMATS:
        raise ValueError(f"the precision {precision!r} is unknown: choose from {', '.join(FORMATS)}")
    return FORMATS[precision]

"""Whether an engine's file is small enough for its precision."""

from build.precisions import format_of

# Beside its weights a plan holds kernels and tables: of TensorRT-RTX 1.7 they were 8 to 9 MB.
_KERNELS = 12 << 20


def size_fault(size: int, *, parameters: int, precision: str) -> str | None:
    """Whether a file of `size` bytes can't be at this precision with so many parameters; None if it can."""
    if format_of(precision).full:
        return None
    limit = 2.2 * parameters + _KERNELS  # two bytes a parameter, and a tenth for what stays fp32
    if size <= limit:
        return None
    return (
        f"it is {size / 1e6:.0f} MB, but {parameters / 1e6:.1f} million parameters in {precision} need less"
    )

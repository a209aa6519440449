"""What a million requests cost, in hours and in the prices that a reader puts in."""

import dataclasses

SECONDS_OF_DAY = 86_400
FORMULA = "replicas x price an hour x 1,000,000 / (3,600 x mean requests a second)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hours:
    """Of a million requests.

    replica     hours of a replica; core: of its cores; device: of its GPUs
    """

    replica: float
    core: float
    device: float


def hours_of_a_million(*, replicas: int, mean_rate: float, cores: int, devices: int) -> Hours:
    """mean_rate: requests a second over the time that the replicas are paid for, the peak's or less."""
    replica = replicas * 1e6 / (3600 * mean_rate)
    return Hours(replica=replica, core=replica * cores, device=replica * devices)


def check_price(price: float) -> None:
    """ValueError for a price that is none."""
    if not 0 <= price < float("inf"):
        raise ValueError(f"a price of {price:g} an hour can't be: give 0 or more")

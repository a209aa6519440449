"""What happens to one of several services while it is asked, and what was seen meanwhile."""

import dataclasses
import time
from collections.abc import Callable, Sequence

from deploy.benchmark.several_services.service import Service

_SECONDS = 5.0  # that callers see of it, and of what comes after
# Longer than pings take to find that a network is gone, by all ways of balancing.
_CUT_SECONDS = 35.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """`happen` gets the services, and leaves all of them well."""

    name: str
    happen: Callable[[Sequence[Service]], None]
    needs_network: bool = False  # a namespace for each service


def _nothing(services: Sequence[Service]) -> None:
    time.sleep(2 * _SECONDS)


def _killed(services: Sequence[Service]) -> None:
    services[0].kill()
    time.sleep(_SECONDS)
    _start_again(services[0])


def _drained(services: Sequence[Service]) -> None:
    services[1 % len(services)].drain()
    time.sleep(_SECONDS)
    _start_again(services[1 % len(services)])


def _slowed(services: Sequence[Service]) -> None:
    with services[-1].slow():
        time.sleep(2 * _SECONDS)


def _cut_off(services: Sequence[Service]) -> None:
    services[-1].place.cut()
    try:
        time.sleep(_CUT_SECONDS)
    finally:
        services[-1].place.join()
    time.sleep(_SECONDS)


def _start_again(service: Service) -> None:
    service.start()
    service.wait_until_ready()
    time.sleep(_SECONDS)


FAULTS = (
    Fault(name="nothing", happen=_nothing),
    Fault(name="one killed, started again", happen=_killed),
    Fault(name="one drained, started again", happen=_drained),
    Fault(name="one slowed", happen=_slowed),
    Fault(name="one cut off, joined again", happen=_cut_off, needs_network=True),
)

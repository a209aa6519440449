"""When the generator says that not the server but itself may have been the limit."""

import math
from typing import Any

import pytest

from deploy.loadtest.generator.meter import BUSIEST_SHARE, LATE_SECONDS, limit_of

WELL: dict[str, Any] = {
    "busiest": 0.3,
    "late": 0.001,
    "lag": 0.001,
    "median": 0.02,
    "codes": {"OK": 100},
}


def test_a_generator_that_keeps_up_says_nothing() -> None:
    assert limit_of(**WELL) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"busiest": BUSIEST_SHARE + 0.1}, "its busiest process took 90% of a core; give more --processes"),
        ({"late": 0.030}, "went out 30 ms late"),
        ({"lag": 0.030}, "event loops lagged by 30 ms"),
        ({"codes": {"OK": 5, "NO_DESCRIPTORS": 7}}, "7 requests found no file descriptor left"),
        ({"codes": {"OK": 5, "NOT_SENT": 9}}, "9 requests were not sent"),
        (
            {"deaths": ["generator process 2 was ended by SIGKILL"]},
            "generator process 2 was ended by SIGKILL",
        ),
    ],
)
def test_what_the_generator_lacked_is_said_with_what_to_do(change: dict[str, Any], words: str) -> None:
    assert words in limit_of(**{**WELL, **change})


def test_lateness_is_measured_against_the_latency_that_it_is_in() -> None:
    late = 2 * LATE_SECONDS
    assert limit_of(**{**WELL, "late": late, "median": 0.02})
    assert limit_of(**{**WELL, "late": late, "median": 1.0}) == ""
    assert limit_of(**{**WELL, "late": late, "median": math.nan})

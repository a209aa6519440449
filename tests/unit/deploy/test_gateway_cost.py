"""What the gateway costs is read from its own clock."""

import os
import time

from deploy.benchmark.gateway_cost import Row, table
from deploy.benchmark.processor_time import cpu_seconds


def test_another_processs_time_is_read_by_its_id() -> None:
    before = time.process_time()
    read = cpu_seconds(os.getpid())
    assert before <= read <= time.process_time()
    assert cpu_seconds(os.getppid()) != read


def test_the_table_has_both_ways() -> None:
    row = Row(model="photos", clients=16, alone=20.04, through=19.5, core_ms=1.234)
    assert table([row]).splitlines()[-1] == "| photos | 16 | 20.0/s | 19.5/s | 1.23 |"

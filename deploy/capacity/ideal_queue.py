"""Latencies of an ideal queue under a load that arrives by itself: `python -m deploy.capacity.ideal_queue`.

Requests arrive at random (Poisson), wait in one line, and each takes one of the cores for the same time,
which is the unit of all latencies: an M/D/c queue. A real server can't be expected to have shorter tails
at the same share of its capacity, unless it spreads a request over several cores.
"""

import argparse
import heapq
import os
import statistics
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.measuring.percentiles import percentile


def latencies(*, cores: int, load: float, requests: int, seed: int) -> NDArray[np.float64]:
    """The time from arrival to answer of each request [requests], in units of what one takes a core.

    The queue is empty at first; `load` is the share of the cores' capacity that arrives, below 1.
    """
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / (load * cores), size=requests))
    free = [0.0] * cores  # when each core is done with what it has
    ends = np.empty(requests)
    for number, arrival in enumerate(arrivals.tolist()):
        ends[number] = max(arrival, free[0]) + 1
        heapq.heapreplace(free, ends[number])
    spent: NDArray[np.float64] = ends - arrivals
    return spent


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table of latencies by load, as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.capacity.ideal_queue", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--loads", type=float, nargs="+", default=[0.8, 0.85, 0.9, 0.95])
    parser.add_argument("--requests", type=int, default=240, help="of a short round (default: 240)")
    options = parser.parse_args(arguments)
    if options.cores < 1 or options.requests < 1 or not all(0 < load < 1 for load in options.loads):
        parser.error("--cores and --requests are 1 or more, --loads lie between 0 and 1")
    print(f"| {options.cores} cores, load | p50 | p99 | p99 of {options.requests} requests, median |")
    print("|---:|---:|---:|---:|")
    for load in options.loads:
        long = latencies(cores=options.cores, load=load, requests=1_000_000, seed=0)
        rounds = [
            percentile(latencies(cores=options.cores, load=load, requests=options.requests, seed=n), 0.99)
            for n in range(1, 1001)
        ]
        p50, p99 = (percentile(long, share) for share in (0.5, 0.99))
        print(f"| {load:.0%} | {p50:.1f} | {p99:.1f} | {statistics.median(rounds):.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

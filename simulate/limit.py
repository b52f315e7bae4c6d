"""What nobody can beat: the least server time in which given jobs can have run at given times."""

import heapq
from collections.abc import Mapping
from itertools import pairwise

from controller.model import Room, Seconds
from simulate.trace import Trace


def least(
    trace: Trace, started: Mapping[int, float], offer: Room, jobs_per_slave: int, kept: Seconds = Seconds(0)
) -> Seconds:
    """Server time that any policy needs to have these jobs start at these times.

    At each moment there must be as many slaves as hold what runs then, if it could be cut and poured: as many as the
    scarcest of CPUs, memory and places asks for, rounded up. A policy that keeps every slave until it has been idle for
    `kept` has, besides, at least as many as at any moment of that time before. Boots and the impossibility of moving a
    running job come on top.

    Args:
        trace: the jobs.
        started: when each began, by its place in the trace.
        offer: what one slave has.
        jobs_per_slave: how many jobs it runs at once.
        kept: how long a slave stays when it is idle.
    """
    needs = _needs(trace, started, offer, jobs_per_slave)
    steps = [(now, then + kept, need) for (now, need), (then, _) in pairwise(needs)]
    total, since = 0.0, 0
    standing: list[tuple[int, float]] = []
    for now, then in pairwise(sorted({time for begin, end, _ in steps for time in (begin, end)})):
        while since < len(steps) and steps[since][0] <= now:
            heapq.heappush(standing, (-steps[since][2], steps[since][1]))
            since += 1
        while standing and standing[0][1] <= now:
            heapq.heappop(standing)
        if standing:
            total -= (then - now) * standing[0][0]
    return Seconds(total)


def _needs(trace: Trace, started: Mapping[int, float], offer: Room, jobs_per_slave: int) -> list[tuple[float, int]]:
    """From which time on how many slaves are needed."""
    changes: dict[float, list[int]] = {}
    for number, at in started.items():
        job = trace[number]
        for time, sign in ((at, 1), (at + job.runs, -1)):
            change = changes.setdefault(time, [0, 0, 0])
            change[0] += sign * job.request.cpus
            change[1] += sign * job.request.memory_mib
            change[2] += sign
    needs, used = [], [0, 0, 0]
    sizes = (offer.cpus, offer.memory_mib, jobs_per_slave)
    for time in sorted(changes):
        used = [a + b for a, b in zip(used, changes[time], strict=True)]
        needs.append((time, max(-(-amount // size) for amount, size in zip(used, sizes, strict=True))))
    return needs

"""What nobody can beat: the least server time in which given jobs can have run at given times."""

from collections.abc import Mapping
from itertools import pairwise

from controller.model import Room, Seconds
from simulate.trace import Trace


def least(trace: Trace, started: Mapping[int, float], offer: Room, jobs_per_slave: int) -> Seconds:
    """Server time that any policy needs to have these jobs start at these times.

    At each moment there must be as many slaves as hold what runs then, if it could be cut and poured: as many as the
    scarcest of CPUs, memory and places asks for, rounded up. Boots, idle time and the impossibility of moving a running
    job come on top of that. With each job started when it was submitted this is the clairvoyant limit: what a policy
    would pay that knows the future, whose servers boot in no time, and that lets nobody wait.

    Args:
        trace: the jobs.
        started: when each began, by its place in the trace.
        offer: what one slave has.
        jobs_per_slave: how many jobs it runs at once.
    """
    changes: dict[float, list[int]] = {}
    for number, at in started.items():
        job = trace[number]
        for time, sign in ((at, 1), (at + job.runs, -1)):
            change = changes.setdefault(time, [0, 0, 0])
            change[0] += sign * job.request.cpus
            change[1] += sign * job.request.memory_mib
            change[2] += sign
    total, used = 0.0, [0, 0, 0]
    sizes = (offer.cpus, offer.memory_mib, jobs_per_slave)
    for now, then in pairwise(sorted(changes)):
        used = [a + b for a, b in zip(used, changes[now], strict=True)]
        total += (then - now) * max(-(-amount // size) for amount, size in zip(used, sizes, strict=True))
    return Seconds(total)

"""One run of a policy over a trace, and what is counted of it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.model import Seconds
from simulate.limit import least
from simulate.policies import Policy
from simulate.pool import Moment, Pool, Site
from simulate.trace import Trace

HOUR = 3600.0
STUCK = 24 * HOUR
"""When nothing has happened for so long although jobs wait, nothing will: the policy doesn't want slaves for them."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run cost, and how long jobs waited in it."""

    label: str
    jobs: int
    never_ran: int
    """Jobs that no slave can hold, or that the policy makes no slave for; they count in nothing else."""
    vm_hours: float
    wait_mean: Seconds
    wait_95: Seconds
    """95 of 100 jobs waited no longer."""
    boots: int
    wasted: int
    """Slaves that went without ever having run a job."""
    moments: tuple[Moment, ...]
    started: Mapping[int, float] = field(default_factory=dict)
    """When each job began, by its place among those that a slave can hold."""


def run(trace: Trace, policy: Policy, site: Site, seed: int = 0) -> Result:
    """Plays a trace from its first job until the last has ended and the slaves are gone, down to the minimum.

    The seed is that of the boot times; the same for two policies gives the same to both.
    """
    possible = tuple(job for job in trace if site.offer.holds(job.request))
    pool = Pool(possible, site, seed)
    policy.start(pool)
    while not (pool.done and not policy.busy and len(pool.servers) <= policy.minimum) and not _stuck(pool):
        pool.step()
    last = max(pool.now, pool.moments[-1].at) if pool.moments else pool.now
    vm_seconds = pool.server_seconds + sum(last - server.created for server in pool.servers.values())
    waits = [at - possible[number].at for number, at in pool.started.items()]
    return Result(
        label=policy.label,
        jobs=len(trace),
        never_ran=len(trace) - len(pool.started),
        vm_hours=vm_seconds / HOUR,
        wait_mean=Seconds(statistics.fmean(waits) if waits else 0.0),
        wait_95=Seconds(percentile(waits, 95)),
        boots=pool.boots,
        wasted=pool.wasted + sum(not server.used for server in pool.servers.values()),
        moments=tuple(pool.moments),
        started=pool.started,
    )


def clairvoyant(
    trace: Trace, site: Site, kept: Seconds = Seconds(0), started: Mapping[int, float] | None = None
) -> Result:
    """The limit as if it were a run: what one would pay who knows the future and lets nobody wait.

    Every job starts when it comes, servers boot in no time, jobs are packed as if they could be cut, and there is no
    maximum. With `kept`, every slave stays until it has been idle for so long, as with an `idleTime`. With `started`,
    of some run's result, jobs start when they did there.
    """
    possible = tuple(job for job in trace if site.offer.holds(job.request))
    starts = {number: job.at for number, job in enumerate(possible)} if started is None else started
    hours = least(possible, starts, site.offer, site.jobs_per_slave, kept) / HOUR
    label = f"limit, slaves kept for {kept:.0f} s" if kept else "limit"
    nothing = Seconds(0)
    return Result(label, len(trace), len(trace) - len(possible), hours, nothing, nothing, 0, 0, ())


def percentile(values: Sequence[float], share: int) -> float:
    """The smallest of the values that so many of a hundred don't exceed; 0 of no values."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)] if ordered else 0.0


def _stuck(pool: Pool) -> bool:
    if pool.arrived < len(pool.trace) or any(server.jobs for server in pool.servers.values()):
        return False
    return pool.now - (pool.moments[-1].at if pool.moments else 0.0) > STUCK

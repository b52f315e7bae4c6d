"""What the rule costs and how long jobs wait for it, beside elastiq's rule and what nobody can beat.

All play the same traces with the same slaves and the same maximum. elastiq as it is published keeps slaves for an
hour and leaves the configuration of HTCondor alone; it is tried with our idle time and on our pool as well. Ours is
tried as it is by default, and as one sets it who wants jobs to wait no longer than with that elastiq: that is the pair
whose ratios are the results.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import common
from controller.model import Limits, Room, Seconds
from demo.user import StepFailedError
from simulate.policies import Controller, Elastiq
from simulate.pool import Site
from simulate.run import Result, clairvoyant, run
from simulate.trace import Trace, read
from simulate.workloads import WORKLOADS

SITE = Site(Room(cpus=4, memory_mib=7_680, disk_kib=80 * 2**20), jobs_per_slave=4)
STOCK = replace(SITE, negotiation=Seconds(19), depth_first=False, last_used_first=False)
"""With HTCondor's own configuration: with it a job was seen to start on a free slot after 19 s."""
IDLE = Seconds(600)
MOST = 50
LIMITS = Limits(0, MOST, SITE.jobs_per_slave, IDLE, Seconds(600), 0, SITE.offer)
"""Of `OURS`: the defaults."""
READY_IDLE, READY_SLOTS = Seconds(1800), 1
"""One setting for what is made up and for real pools' logs."""
THEIR_IDLE = Seconds(3600)
SEEDS = 5
OURS = "elastic-condor"
READY = "elastic-condor, ready"
"""With `spareSlots` and a longer `idleTime`: as short waits as elastiq's."""
THEIRS = "elastiq"
THEIR_STARTS = "limit, elastiq's starts"
"""What elastiq's jobs, started when it starts them, need with its idle time at least."""
THEIRS_STOCK = "elastiq, stock HTCondor"
THEIRS_HOUR = "elastiq, idle 3600 s"
THEIRS_PUBLISHED = "elastiq, stock, idle 3600 s"
"""Nothing set but what its cloud makes it set."""
PAIRS = {
    "published": (READY, THEIRS_PUBLISHED),
    "same_pool": (READY, THEIRS_HOUR),
    "defaults": (OURS, THEIRS_PUBLISHED),
    "same_idle_time": (OURS, THEIRS_STOCK),
    "same_idle_time_and_pool": (OURS, THEIRS),
    "limit_of_same_idle_time_and_pool": (THEIR_STARTS, THEIRS),
}
"""Of whose to whose results there are ratios."""


def play(trace: Trace, seed: int, ready: Limits) -> dict[str, Result]:
    """Everything that is compared, over one trace; `READY` with these limits.

    Raises:
        StepFailedError: a job that fits was never run by somebody: who strands jobs has low costs and short waits.
    """
    results = _played(trace, seed, ready)
    large = sum(not SITE.offer.holds(job.request) for job in trace)
    for label, result in results.items():
        if result.never_ran > large or large == len(trace):
            raise StepFailedError(f"{label}: {result.never_ran} of {len(trace)} jobs never ran")
    return results


def _played(trace: Trace, seed: int, ready: Limits) -> dict[str, Result]:
    elastiq = Elastiq(MOST, 0, SITE.jobs_per_slave, IDLE)
    theirs = run(trace, replace(elastiq), SITE, seed)
    return {
        "limit": clairvoyant(trace, SITE),
        "limit with idle time": clairvoyant(trace, SITE, IDLE),
        THEIR_STARTS: replace(theirs, vm_hours=clairvoyant(trace, SITE, IDLE, theirs.started).vm_hours),
        OURS: run(trace, Controller(LIMITS), SITE, seed),
        READY: run(trace, Controller(ready), SITE, seed),
        THEIRS: theirs,
        THEIRS_STOCK: run(trace, replace(elastiq), STOCK, seed),
        THEIRS_HOUR: run(trace, replace(elastiq, idle_for_time_s=THEIR_IDLE), SITE, seed),
        THEIRS_PUBLISHED: run(trace, replace(elastiq, idle_for_time_s=THEIR_IDLE), STOCK, seed),
    }


def show(name: str, runs: Sequence[Mapping[str, Result]]) -> None:
    """The medians over the seeds, with least and most of the VM hours."""
    rows = []
    for label in runs[0]:
        results = [results[label] for results in runs]
        hours = [result.vm_hours for result in results]
        to_theirs = [results[label].vm_hours / results[THEIRS_PUBLISHED].vm_hours for results in runs]
        times_and_numbers = zip(*((r.wait_mean, r.wait_95, r.boots, r.wasted) for r in results), strict=True)
        rows.append(
            (
                label,
                f"{statistics.median(hours):.1f}",
                f"{min(hours):.1f}-{max(hours):.1f}",
                f"{statistics.median(to_theirs):.2f}",
                *(f"{statistics.median(values):.0f}" for values in times_and_numbers),
            )
        )
    jobs = statistics.median(results[OURS].jobs - results[OURS].never_ran for results in runs)
    columns = ("", "VM hours", "from - to", "to elastiq", "mean wait s", "95 % s", "boots", "unused")
    common.tell(f"{name}: {jobs:.0f} jobs, median of {len(runs)} seeds", columns, rows, timed=False)


def ratios(runs: Sequence[Mapping[str, Result]], ours: str, other: str) -> dict[str, float]:
    """Medians over the seeds of what is ours to what is the other's; times of waiting below a second count as one."""
    pairs = [(results[ours], results[other]) for results in runs]

    def median(values: Iterable[float]) -> float:
        return round(statistics.median(values), 3)

    return {
        "vm_hours": median(ours.vm_hours / theirs.vm_hours for ours, theirs in pairs),
        "wait_mean": median(max(ours.wait_mean, 1) / max(theirs.wait_mean, 1) for ours, theirs in pairs),
        "wait_95": median(max(ours.wait_95, 1) / max(theirs.wait_95, 1) for ours, theirs in pairs),
    }


def largest(runs: Iterable[Mapping[str, Result]], pair: str) -> dict[str, float]:
    """The largest of these ratios over the seeds."""
    each = [ratios([results], *PAIRS[pair]) for results in runs]
    return {key: max(found[key] for found in each) for key in each[0]}


def recorded(paths: Sequence[Path]) -> dict[str, Trace]:
    """Traces by the names of their files; by the whole paths where a name is taken twice.

    Raises:
        TraceError: one can't be read.
        StepFailedError: one has no jobs.
    """
    taken = Counter((*WORKLOADS, *(path.name for path in paths)))
    traces = {}
    for path in paths:
        trace = read(path)
        if not trace:
            raise StepFailedError(f"{path} has no jobs - take one of a time when some ran")
        traces[path.name if taken[path.name] == 1 else str(path)] = trace
    return traces


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.options("VM hours and waiting: the rule, elastiq's, and the limit.")
    parser.add_argument("--trace", type=Path, action="append", default=[], help="a recorded trace, too (repeatable)")
    parser.add_argument("--first-seed", type=int, default=0, help="other traces of the same kinds, and boot times")
    parser.add_argument("--idle-time", type=common.number, default=READY_IDLE, help=f"seconds, of {READY!r}")
    parser.add_argument("--spare-slots", type=int, default=READY_SLOTS, help=f"of {READY!r}")
    options = parser.parse_args(arguments)
    ready = replace(LIMITS, idle_time=Seconds(options.idle_time), spare_slots=options.spare_slots)
    count, scale = (1, 0.05) if options.small else (SEEDS, 1.0)
    seeds = range(options.first_seed, options.first_seed + count)
    traces = {name: [make(seed, scale) for seed in seeds] for name, make in WORKLOADS.items()}
    traces |= {name: [trace] * count for name, trace in recorded(options.trace).items()}
    by_trace: dict[str, Any] = {}
    for name, of_seeds in traces.items():
        runs = [play(trace, seed, ready) for seed, trace in zip(seeds, of_seeds, strict=True)]
        show(name, runs)
        by_trace[name] = {pair: ratios(runs, *who) for pair, who in PAIRS.items()}
        by_trace[name]["published_largest"] = largest(runs, "published")
    published = [ratio["published"] for ratio in by_trace.values()]
    worst = [ratio["published_largest"] for ratio in by_trace.values()]
    results = {
        "vm_hours_ratio_max": max(ratio["vm_hours"] for ratio in published),
        "wait_ratio_max": max(max(ratio["wait_mean"], ratio["wait_95"]) for ratio in published),
        "vm_hours_ratio_max_of_seeds": max(ratio["vm_hours"] for ratio in worst),
        "wait_ratio_max_of_seeds": max(max(ratio["wait_mean"], ratio["wait_95"]) for ratio in worst),
        "ready": {"idle_time": options.idle_time, "spare_slots": options.spare_slots},
        "traces": by_trace,
    }
    print(f"largest ratios of {READY!r} to {THEIRS_PUBLISHED!r}, by the median of the seeds and of all seeds:")
    print("VM hours {vm_hours_ratio_max}, {vm_hours_ratio_max_of_seeds};".format(**results), end=" ")
    print("waiting {wait_ratio_max}, {wait_ratio_max_of_seeds}".format(**results))
    common.save(options.json, "policy", results)


if __name__ == "__main__":
    common.run(main)

"""How long one decision takes, and how much memory, by the number of idle jobs and of slaves.

Nothing is asked of HTCondor or OpenStack here: this is the part of a tick that comes after `observe`.
"""

import random
import statistics
import time
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime

from bench import common
from controller.decide import decide
from controller.model import JobGroup, Limits, Phase, Room, Seconds, Slave, Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OFFER = Room(cpus=8, memory_mib=15_000, disk_kib=80 * 2**20)
JOBS = (1_000, 10_000, 100_000)
SLAVES = (10, 100, 1_000)
REQUESTS = 400
"""Distinct requests among 100,000 jobs: with HTCondor's default, a job asks for the memory that it was seen to use."""
ROUNDS = 7


def snapshot(jobs: int, slaves: int) -> Snapshot:
    """A pool in the midst of its work: most slaves full, some with room, some idle, some on their way."""
    chance = random.Random(f"{jobs} {slaves}")
    distinct = max(1, jobs * REQUESTS // 100_000)
    rooms = {
        Room(chance.choice((1, 1, 1, 2, 4, 8)), chance.randrange(200, 12_000), chance.randrange(2**16, 2**23))
        for _ in range(distinct)
    }
    each, more = divmod(jobs, len(rooms))
    groups = tuple(
        JobGroup(room, each + (number < more), each // 2) for number, room in enumerate(sorted(rooms, key=str))
    )
    return Snapshot(groups, tuple(_slave(f"slave-{number:04}", chance) for number in range(slaves)), quota_left=slaves)


def _slave(name: str, chance: random.Random) -> Slave:
    phase = chance.choices((Phase.BUSY, Phase.IDLE, Phase.BOOTING, Phase.DRAINED), weights=(85, 5, 8, 2))[0]
    jobs = chance.choice((8, 8, 8, 3, 5)) if phase is Phase.BUSY else 0
    free = OFFER.less(Room(1, 1_800, 2**22), jobs)
    return Slave(
        name=name,
        phase=phase,
        created_at=NOW,
        server_id=name,
        idle_for=Seconds(chance.randrange(900) if phase is Phase.IDLE else 0),
        free=None if phase is Phase.BOOTING else free,
        jobs=jobs,
        revivable=phase is Phase.DRAINED,
    )


def limits(slaves: int) -> Limits:
    return Limits(0, 2 * slaves, OFFER.cpus, Seconds(600), Seconds(600), 0, OFFER)


def measure(jobs: int, slaves: int, rounds: int) -> tuple[list[float], float]:
    """Times of single decisions (seconds), and the most memory that one takes beside its snapshot (MiB)."""
    seen, within = snapshot(jobs, slaves), limits(slaves)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        decide(seen, within, NOW)
        times.append(time.perf_counter() - began)
    tracemalloc.start()
    decide(seen, within, NOW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return times, peak / 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    options = common.options("Time and memory of one decision.").parse_args(arguments)
    sizes = [(1_000, 10)] if options.small else [(jobs, slaves) for jobs in JOBS for slaves in SLAVES]
    rows, results = [], {}
    for jobs, slaves in sizes:
        times, peak = measure(jobs, slaves, ROUNDS)
        middle = statistics.median(times)
        requests = len(snapshot(jobs, slaves).jobs)
        spread = (f"{value * 1000:.1f}" for value in (middle, min(times), max(times)))
        rows.append((f"{jobs:,}", f"{requests}", f"{slaves:,}", *spread, f"{peak:.2f}"))
        results[f"decide_s_{jobs}_{slaves}"] = round(middle, 5)
        results[f"decide_mb_{jobs}_{slaves}"] = round(peak, 2)
    columns = ("idle jobs", "requests", "slaves", "median ms", "least", "most", "MiB more")
    common.tell("One decision", columns, rows)
    common.save(options.json, {"decision": results})


if __name__ == "__main__":
    main()

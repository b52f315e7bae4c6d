"""Traces made up by the rules of chance: what the work of a research group looks like. Same seed, same trace."""

import math
from collections.abc import Callable, Iterator
from random import Random

from controller.model import Room, Seconds
from simulate.trace import Job, Trace, in_order

HOUR = 3600.0
DAY = 24 * HOUR
MEMORY_PER_CPU = 1800
"""MiB: a little less than the 2 GiB for each CPU that most clouds' flavors have."""


def bursty(seed: int, scale: float = 1.0) -> Trace:
    """A day of analysis: every hour or so somebody submits some tens or hundreds of like jobs at once."""
    chance = Random(f"bursty {seed}")
    jobs: list[Job] = []
    for at in _arrivals(chance, DAY, lambda _: 1 / HOUR):
        usual = _about(chance, 600, 0.8)
        jobs += (_job(at, _about(chance, usual, 0.3), 1) for _ in range(max(1, round(scale * _about(chance, 60, 1)))))
    return in_order(jobs)


def diurnal(seed: int, scale: float = 1.0) -> Trace:
    """Two days: single jobs and small sets, of one to four CPUs, most of them in the afternoon, few at night."""
    chance = Random(f"diurnal {seed}")

    def rate(time: float) -> float:
        return scale * (2 + 58 * max(0.0, math.sin(math.pi * ((time % DAY) / HOUR - 8) / 12))) / HOUR

    return tuple(_job(at, _about(chance, 900, 0.8), _cpus(chance)) for at in _arrivals(chance, 2 * DAY, rate))


def long_tail(seed: int, scale: float = 1.0) -> Trace:
    """Two days of a steady stream in which most jobs take minutes, some hours and a few the best part of a day."""
    chance = Random(f"long tail {seed}")
    arrivals = _arrivals(chance, 2 * DAY, lambda _: 20 * scale / HOUR)
    return tuple(_job(at, min(120 * chance.paretovariate(0.9), 18 * HOUR), 1) for at in arrivals)


def campaign(seed: int, scale: float = 1.0) -> Trace:
    """A day and a half of a production: sets of long jobs after one another, each with a merge, beside short tests."""
    chance = Random(f"campaign {seed}")
    jobs: list[Job] = []
    at = _about(chance, HOUR, 0.3)
    while at < 1.5 * DAY:
        run = _about(chance, 2 * HOUR, 0.3)
        jobs += (_job(at, _about(chance, run, 0.15), 2) for _ in range(max(1, round(24 * scale))))
        at += 1.5 * run
        jobs.append(_job(at, run / 4, 4))
        at += _about(chance, 2 * HOUR, 0.5)
    for moment in _arrivals(chance, 1.5 * DAY, lambda _: 6 * scale / HOUR):
        jobs.append(_job(moment, _about(chance, 90, 0.7), 1))
    return in_order(jobs)


WORKLOADS: dict[str, Callable[[int, float], Trace]] = {
    "bursty": bursty,
    "diurnal": diurnal,
    "long tail": long_tail,
    "campaign": campaign,
}


def _job(at: float, runs: float, cpus: int) -> Job:
    return Job(Seconds(at), Seconds(max(5.0, runs)), Room(cpus, cpus * MEMORY_PER_CPU, 0))


def _cpus(chance: Random) -> int:
    return chance.choices((1, 2, 4), weights=(7, 2, 1))[0]


def _about(chance: Random, median: float, spread: float) -> float:
    """Log-normal, as times and sizes of human work are."""
    return chance.lognormvariate(math.log(median), spread)


def _arrivals(chance: Random, until: float, rate: Callable[[float], float]) -> Iterator[float]:
    """Times of a Poisson process whose rate (per second) changes with time, by thinning."""
    most = max(rate(hour * HOUR / 4) for hour in range(int(until / HOUR * 4) + 1)) * 1.05
    time = chance.expovariate(most)
    while time < until:
        if chance.random() * most < rate(time):
            yield time
        time += chance.expovariate(most)

"""What would have been under other settings: a pool's trace played with each of several sets of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.offer import Offer
from controller.model import Limits, Room, Seconds
from simulate.policies import Controller
from simulate.pool import Site
from simulate.run import Result, run
from simulate.trace import Trace

if TYPE_CHECKING:
    from cluster.settings import Settings  # at run time it would bring all of Pulumi


PLAYED = frozenset(
    {
        "idleTime",
        "jobsPerSlave",
        "joinTimeout",
        "maxSlaves",
        "minSlaves",
        "pollInterval",
        "slaveFlavor",
        "spareSlots",
        "waitingJobsThreshold",
        "waitingJobsTime",
    }
)
"""The settings that make a difference here."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Settings, and what a slave offers with them."""

    settings: "Settings"
    offered: Offer
    """Of `cluster.offer.offer`; its `jobs` give way to `jobsPerSlave`."""


def compare(trace: Trace, scenarios: Mapping[str, Scenario]) -> list[Result]:
    """One run of the trace for each scenario, under its label and in this order."""
    return [run(trace, _controller(scenario, label), _site(scenario)) for label, scenario in scenarios.items()]


def _site(scenario: Scenario) -> Site:
    return Site(_room(scenario.offered), scenario.settings.jobs_per_slave or scenario.offered.jobs)


def _controller(scenario: Scenario, label: str) -> Controller:
    settings, offered = scenario.settings, scenario.offered
    limits = Limits(
        min_slaves=settings.min_slaves,
        max_slaves=settings.max_slaves,
        jobs_per_slave=settings.jobs_per_slave or offered.jobs,
        idle_time=Seconds(settings.idle_time),
        join_timeout=Seconds(settings.join_timeout),
        waiting_jobs_threshold=settings.waiting_jobs_threshold,
        offer=_room(offered),
        spare_slots=settings.spare_slots,
    )
    return Controller(limits, Seconds(settings.waiting_jobs_time), Seconds(settings.poll_interval), label=label)


def _room(offered: Offer) -> Room:
    return Room(offered.cpus, offered.memory_mib, offered.disk_kib)

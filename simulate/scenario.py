"""What would have been under other settings: a pool's trace played with each of several sets of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster.offer import Offer
from controller.model import Limits, Room, Seconds
from simulate.policies import Controller
from simulate.pool import Site
from simulate.run import Result, run
from simulate.trace import Trace

if TYPE_CHECKING:
    from cluster.settings import Settings  # at run time it would bring all of Pulumi


def compare(
    trace: Trace, scenarios: Mapping[str, "Settings"], offered: Offer, quota: int | None = None
) -> list[Result]:
    """One run of the trace for each set of settings, under its label.

    Args:
        trace: the jobs.
        scenarios: label to settings, in the order in which they are to be shown.
        offered: what a slave of the flavor offers (`cluster.offer.offer`); its `jobs` give way to `jobsPerSlave`.
        quota: most servers that the project may have beside the master; None for no limit.
    """
    return [
        run(trace, _controller(settings, offered, label), _site(settings, offered, quota))
        for label, settings in scenarios.items()
    ]


def _site(settings: "Settings", offered: Offer, quota: int | None) -> Site:
    return Site(_room(offered), settings.jobs_per_slave or offered.jobs, quota)


def _controller(settings: "Settings", offered: Offer, label: str) -> Controller:
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

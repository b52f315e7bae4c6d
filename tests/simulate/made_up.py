"""A small pool in which everything takes exactly as long as its median, and short ways to write jobs."""

from controller.model import Limits, Room, Seconds
from simulate.pool import Duration, Site
from simulate.trace import Job

OFFER = Room(cpus=2, memory_mib=4000, disk_kib=10**6)
SITE = Site(OFFER, jobs_per_slave=2, build=Duration(Seconds(10)), boot=Duration(Seconds(20)))
LIMITS = Limits(
    min_slaves=0,
    max_slaves=5,
    jobs_per_slave=2,
    idle_time=Seconds(60),
    join_timeout=Seconds(600),
    waiting_jobs_threshold=0,
    offer=OFFER,
)


def job(at: float, runs: float, cpus: int = 1, memory_mib: int = 1000) -> Job:
    return Job(Seconds(at), Seconds(runs), Room(cpus, memory_mib, 0))

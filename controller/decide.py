"""The rule: how many slaves there should be, which of them go, and why.

Five steps: broken slaves go at once; the demand is packed into the free room of the slaves that are there, then of
those on their way, then of drained ones, then into new ones; drained slaves that something was packed into are revived,
and those that `minSlaves` lacks; the number of new ones is held within the limits; slaves that nothing was packed into
go when they have been idle for long enough. A slave with a claimed slot is never removed.

Two kinds of demand are packed last, and into slaves on their way and new ones only: jobs that need room `elsewhere`, as
they don't start on the slaves that are there (`controller.unmatched`); and, before any slave has told how many GPUs it
has, one job that stands for those with GPUs (`lesson`).
"""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.model import (
    JobGroup,
    Limits,
    Phase,
    Plan,
    Reason,
    Removal,
    Room,
    Seconds,
    Setback,
    Slave,
    Snapshot,
    Trouble,
    Why,
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after failures in a row: the wait doubles with each that isn't tolerated."""

    tolerated: int
    first: Seconds
    longest: Seconds


BATCH = 500
"""Most slaves that one update makes, and most idle ones that it removes: what the cloud refuses shows after the first
batch, and no update holds the stack's lock for very long. The next batch follows as soon as the last one is done."""

BACKOFF = {
    Trouble.UPDATES: Backoff(tolerated=0, first=Seconds(10), longest=Seconds(900)),
    Trouble.REMOVALS: Backoff(tolerated=0, first=Seconds(5), longest=Seconds(60)),
    # One slave that doesn't join is bad luck and is replaced at once; three in a row are a bad image, or no network.
    Trouble.JOINS: Backoff(tolerated=2, first=Seconds(300), longest=Seconds(3600)),
}

GROWTH = (Trouble.UPDATES, Trouble.JOINS)
"""What keeps slaves from being made; removals are waited for apart."""

BACK_SOON = Seconds(90)
"""For so long slaves that have just left the pool are waited for before others are made in their place. Each renews its
ad every minute (cloudinit/files/common): a collector that has restarted knows none of them until then."""

NAMED = Reason(Why.UNWANTED, "somebody asked for its drain")
DELETING = Reason(Why.UNWANTED, "its server is being deleted")
LOST_TOGETHER = 6
"""Times `joinTimeout` that slaves have to come back to the pool, when several are missing."""


def decide(seen: Snapshot, limits: Limits, now: datetime) -> Plan:
    """What to do next, and why. Pure: same arguments, same plan.

    Never plans on doubt: a snapshot with an unknown part yields a plan that only says so.
    """
    if seen.paused:
        return Plan(reasons=(Reason(Why.PAUSED, seen.paused),))
    if seen.unknown:
        return Plan(reasons=tuple(Reason(Why.BLIND, f"nothing is done while {part}") for part in seen.unknown))
    seen = replace(seen, jobs=unstarted(seen.jobs, seen.slaves))
    together = sum(slave.phase is Phase.MISSING for slave in seen.slaves) > 1
    broken = tuple(r for slave in seen.slaves if (r := fault(slave, limits, now, together=together)))
    unbroken = _without(seen.slaves, broken)
    old = dismissed(unbroken, seen)
    sound = _without(unbroken, old)
    packing = packed(seen.jobs, sound, limits)
    revive = revivals(packing, sound, limits)
    if seen.locked:
        # HTCondor does these alone: jobs needn't wait for the lock's end.
        reasons = (Reason(Why.LOCKED, seen.locked), *revived(revive), *forgotten(seen.dead_ads))
        return Plan(revive=revive, forget=seen.dead_ads, reasons=reasons)
    drained = tuple(
        Removal(s.name, Reason(Why.DRAINED, s.detail or "it has been drained and takes no more jobs"))
        for s in sound
        if s.phase is Phase.DRAINED and s.name not in revive
    )
    living = tuple(s for s in sound if s.phase is not Phase.DRAINED or s.name in revive)
    going = broken + old + drained
    idle, retire = shrink(packing, living, limits), retiring(sound, seen)
    due = frozenset((*retire, *(removal.slave for removal in going + idle)))
    waiting = unready(seen.slaves, due, now)
    if waiting:
        # Others take their turn.
        idle, retire = shrink(packing, living, limits, waiting), retiring(sound, seen, waiting)
    remove = tuple(r for r in going if r.slave not in waiting) + idle
    wait = backing_off(seen, now, Trouble.REMOVALS) if remove or retire else ()
    taken = len(seen.slaves) if wait else len(living) + sum(removal.slave in waiting for removal in going)
    create, why = growth(packing, living, taken, seen, limits, now)
    stay = tuple(slave for slave in seen.slaves if slave.name in waiting & due)
    return Plan(
        create=create,
        remove=() if wait else remove,
        revive=revive,
        retire=() if wait else retire,
        stay=tuple(slave.name for slave in stay),
        forget=seen.dead_ads,
        reasons=why + wait + staying(stay) + revived(revive) + forgotten(seen.dead_ads) + hopeless(seen.jobs),
    )


def _without(slaves: tuple[Slave, ...], removals: tuple[Removal, ...]) -> tuple[Slave, ...]:
    gone = {removal.slave for removal in removals}
    return tuple(slave for slave in slaves if slave.name not in gone)


Need = tuple[tuple[Room, int], ...]
"""Requests with the number of jobs that make them, largest first."""


def unstarted(jobs: tuple[JobGroup, ...], slaves: tuple[Slave, ...]) -> tuple[JobGroup, ...]:
    """The jobs without those that are about to start on slots that HTCondor has just given to their owners.

    The schedd starts jobs one after the other, and calls each idle until then: on many new slaves that takes a while.
    """
    left = list(jobs)
    for claim in (claim for slave in slaves if slave.phase is Phase.BUSY for claim in slave.claims):
        for number, group in enumerate(left):
            if group.idle > 0 and group.owner == claim.owner and claim.room.holds(group.request):
                left[number] = replace(group, idle=group.idle - 1, ripe=max(0, group.ripe - 1))
                break
    return tuple(left)


def demand(jobs: tuple[JobGroup, ...], limits: Limits, *, elsewhere: bool = False) -> Need:
    """What has to find room, or what has to find it `elsewhere` than on the slaves that are in the pool.

    The jobs that have waited for `waitingJobsTime`, or all of them when more than `waitingJobsThreshold` wait. Those
    that no slave can run don't count, nor do those that don't start on the slots that are there.
    """
    hopeful = [group for group in jobs if not group.impossible and not group.unmatched]
    crowd = sum(group.idle for group in hopeful) > limits.waiting_jobs_threshold
    counted: Counter[Room] = Counter()
    for group in hopeful:
        if group.elsewhere is elsewhere:
            counted[group.request] += group.idle if crowd else group.ripe
    wanted = ((request, count) for request, count in counted.items() if count > 0)
    return tuple(sorted(wanted, key=lambda c: (c[0].cpus, c[0].memory_mib), reverse=True))


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the demand went."""

    taken: frozenset[str]
    """Slaves that something was packed into."""
    new: int
    """Slaves that it takes besides, whatever the limits say."""
    jobs: int
    """How many jobs there were to pack."""


def packed(jobs: tuple[JobGroup, ...], sound: tuple[Slave, ...], limits: Limits) -> Packing:
    """Where the demand of these jobs goes."""
    return pack(demand(jobs, limits), sound, limits, demand(jobs, limits, elsewhere=True))


def pack(need: Need, sound: tuple[Slave, ...], limits: Limits, elsewhere: Need = ()) -> Packing:
    """First fit: into busy slaves, into idle ones, into those on their way, into drained ones, and into new ones.

    Of the idle ones the last to become idle comes first, so that the others may go. A busy one that is not in the pool
    has no room: its host may be dead, and its jobs not yet given up by the schedd. What needs room `elsewhere` comes
    last, and goes into those on their way and new ones only.
    """
    order = {Phase.BUSY: 0, Phase.IDLE: 1, Phase.BUILDING: 2, Phase.BOOTING: 2, Phase.DRAINED: 3}
    open_to_jobs = [
        s
        for s in sound
        if s.in_state and s.phase in order and (s.free or s.coming) and not s.deleting
        if s.phase is not Phase.DRAINED or s.revivable
    ]
    rooms = [
        _Bin(
            s.name,
            s.free or limits.offer,
            (s.places or limits.jobs_per_slave) - s.jobs,
            coming=s.coming and not s.outdated,
        )
        for s in sorted(open_to_jobs, key=lambda s: (order[s.phase], s.outdated, s.idle_for, s.name))
    ]
    new: list[_Bin] = []
    _fill((*need, *spare(need, sound, limits)), rooms, new, limits)
    coming = [room for room in (*rooms, *new) if room.coming]
    _fill((*elsewhere, *lesson((*need, *elsewhere), sound, limits)), coming, new, limits)
    jobs = sum(count for _, count in (*need, *elsewhere))
    return Packing(frozenset(room.slave for room in rooms if room.used), len(new), jobs)


def lesson(need: Need, sound: tuple[Slave, ...], limits: Limits) -> Need:
    """A job that brings a first slave for those with GPUs, as only one that has joined tells whether slaves have any.

    Until then none holds such jobs; afterwards they are impossible, or packed as all others are. One that can't be
    read tells nothing, but where two can't, a third won't.
    """
    told = limits.gpus_known or sum(slave.joined and not slave.outdated for slave in sound) > 1
    asking = [request for request, _ in need if request.gpus and not told]
    return ((replace(asking[0], gpus=0), 1),) if asking else ()


def _fill(wanted: Need, rooms: list["_Bin"], new: list["_Bin"], limits: Limits) -> None:
    """Puts requests into rooms, and into new ones that it adds for what finds none."""
    # What holds not even the fewest CPUs that are asked for is passed over from then on: with
    # 1,000 slaves and hundreds of requests, looking at it would be nearly all of the time.
    fewest = min((request.cpus for request, _ in wanted), default=0)
    unfilled = rooms
    for request, count in wanted:
        left, made = count, len(new)
        for room in unfilled:
            if not left:
                break
            left -= room.take(request, left)
        while left > 0 and len(new) < limits.max_slaves:
            room = _Bin("", limits.offer, limits.jobs_per_slave, coming=True)
            taken = room.take(request, left)
            if not taken:
                break
            left -= taken
            new.append(room)
        unfilled = [room for room in (*unfilled, *new[made:]) if room.places > 0 and room.room.cpus >= fewest]


def revivals(packing: Packing, sound: tuple[Slave, ...], limits: Limits) -> tuple[str, ...]:
    """Drained slaves to take back in place of making new ones: those that have room for jobs, and for `minSlaves`."""
    drained = [slave for slave in sound if slave.phase is Phase.DRAINED]
    needed = [slave.name for slave in drained if slave.name in packing.taken]
    lacking = limits.min_slaves - (len(sound) - len(drained)) - len(needed)
    others = (slave for slave in drained if slave.name not in packing.taken)
    good = [s.name for s in others if s.in_state and s.revivable and s.free and not (s.has_to_go or s.outdated)]
    return (*needed, *good[: max(0, lacking)])


def spare(need: Need, sound: tuple[Slave, ...], limits: Limits) -> Need:
    """What to keep room for beside the jobs that wait: as many jobs as `spareSlots` says, each of a slot's share.

    Only while any job runs or waits for one of the slaves: slots that nobody uses go as all idle ones do.
    """
    if limits.spare_slots and (need or any(slave.phase is Phase.BUSY for slave in sound)):
        return ((limits.share, limits.spare_slots),)
    return ()


@dataclass(slots=True)
class _Bin:
    slave: str
    room: Room
    places: int
    coming: bool
    used: bool = False

    def take(self, request: Room, count: int) -> int:
        """Puts in as many of `count` jobs as fit, and says how many."""
        if self.room.cpus < request.cpus or self.room.memory_mib < request.memory_mib:
            return 0
        fit = max(0, min(count, self.places, self.room.holds(request)))
        if fit:
            self.room, self.places, self.used = self.room.less(request, fit), self.places - fit, True
        return fit


def growth(  # noqa: PLR0913, PLR0917 - all that it depends on
    packing: Packing, living: tuple[Slave, ...], taken: int, seen: Snapshot, limits: Limits, now: datetime
) -> tuple[int, tuple[Reason, ...]]:
    """How many slaves to make now, within the limits, and what held it back.

    `taken` of the `maxSlaves` places are occupied: by the living slaves, and by others that can't be removed yet. That
    there is none for the slave of a job that is tried, and for nothing else, is nothing that people could mend.
    """
    away = sum(_may_be_back(slave, now) for slave in living)
    lacking = limits.min_slaves - len(living)
    wanted = max(packing.new - away, lacking)
    only_tried = packing.jobs == 1 and any(group.tried for group in seen.jobs)
    needed = max(packing.new - away - only_tried, lacking)
    if wanted <= 0:
        return 0, (_content(packing, living, seen, away),)
    if wait := backing_off(seen, now, *GROWTH):
        return 0, wait
    if seen.quota_unread:
        return 0, (Reason(Why.BLIND, f"no slave is made while {seen.quota_unread}"),)
    held: tuple[Reason, ...] = ()
    create = min(wanted, limits.max_slaves - taken)
    if create < needed:
        held += (
            Reason(
                Why.AT_MAXIMUM,
                f"requesting {max(create, 0)} (out of desired {wanted}): maxSlaves is {limits.max_slaves}",
            ),
        )
    if seen.quota_left is not None and seen.quota_left < create:
        create = seen.quota_left
        if create < needed:
            held += (
                Reason(Why.AT_QUOTA, f"requesting {create} (out of desired {wanted}): the quota has no room for more"),
            )
    if create > BATCH:
        create = BATCH
        held += (Reason(Why.BATCH, f"requesting {BATCH} (out of desired {wanted}): an update makes no more at once"),)
    if create <= 0:
        return 0, held or (Reason(Why.ENOUGH, "a job is tried with a new slave when there is a place for one"),)
    if packing.new:
        return create, (Reason(Why.GROW, _grows(packing, limits)), *held)
    return create, (Reason(Why.MINIMUM, f"{len(living)} slaves, minSlaves is {limits.min_slaves}"), *held)


def _may_be_back(slave: Slave, now: datetime) -> bool:
    """Whether a slave was in the pool a moment ago."""
    if not slave.known or slave.absent_since is None:
        return False
    return 0 <= (now - slave.absent_since).total_seconds() < BACK_SOON


def _grows(packing: Packing, limits: Limits) -> str:
    if not packing.jobs:
        return f"{limits.spare_slots} slots are to be free for jobs to come, which takes {packing.new} more slaves"
    spare = f", with {limits.spare_slots} slots to spare" if limits.spare_slots else ""
    return f"{packing.jobs} jobs wait and need {packing.new} more slaves{spare}"


def backing_off(seen: Snapshot, now: datetime, *troubles: Trouble) -> tuple[Reason, ...]:
    """Why to wait after failures of these kinds; empty when there is nothing to wait for."""
    waited_for = (setback for setback in seen.setbacks if setback.trouble in troubles and waits(setback, now))
    setback = max(waited_for, key=retry_at, default=None)
    if setback is None:
        return ()
    what = "removing" if setback.trouble is Trouble.REMOVALS else "growing"
    return (Reason(Why.BACKING_OFF, f"{what} again at {retry_at(setback):%H:%M:%S}: {setback.why}"),)


def unready(slaves: tuple[Slave, ...], due: frozenset[str], now: datetime) -> frozenset[str]:
    """The slaves that couldn't be drained or removed, while it is too early to try again.

    Those that are due are tried together: each try may take a minute, in which nothing else is decided.
    """
    stay = {slave.name: slave.stays for slave in slaves if slave.stays}
    early = frozenset(name for name, setback in stay.items() if waits(setback, now))
    return early | (due & stay.keys()) if early & due else early


def staying(slaves: tuple[Slave, ...]) -> tuple[Reason, ...]:
    """Why slaves that are to go are not asked again yet."""
    kept = [(retry_at(slave.stays), slave.name, slave.stays.why) for slave in slaves if slave.stays]
    if not kept:
        return ()
    at, last, why = max(kept)
    others = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
    return (Reason(Why.STAYS, f"{last}{others} couldn't be removed, again at {at:%H:%M:%S}: {why}"),)


def removals_over(plan: Plan, seen: Snapshot, now: datetime) -> bool:
    """Whether failed removals are no trouble any more: they could be tried again, and nothing is to go."""
    held = seen.paused or seen.unknown or seen.locked or backing_off(seen, now, Trouble.REMOVALS)
    return not (held or plan.remove or plan.retire or plan.stay)


def waits(setback: Setback, now: datetime) -> bool:
    """Whether it is too early to try again. One of the future is from before the clock was set back, maybe by days."""
    return setback.at <= now < retry_at(setback)


def retry_at(setback: Setback) -> datetime:
    """When it may be tried again after the failures of this kind."""
    backoff = BACKOFF[setback.trouble]
    counted = setback.times - backoff.tolerated
    if counted <= 0:
        return setback.at
    return setback.at + timedelta(seconds=min(backoff.first * 2 ** min(counted - 1, 10), backoff.longest))


def _content(packing: Packing, living: tuple[Slave, ...], seen: Snapshot, away: int) -> Reason:
    if packing.new:
        return Reason(Why.AWAY, f"{away} slaves have just left the pool, and may be back in a minute")
    if jobs := packing.jobs:
        coming = sum(slave.coming for slave in living)
        if coming:
            return Reason(Why.ON_THEIR_WAY, f"{jobs} jobs wait, {coming} slaves are on their way")
        return Reason(Why.ENOUGH, f"{jobs} jobs wait for slots that are free")
    if idle := sum(group.idle for group in seen.jobs if not group.impossible and not group.unmatched):
        return Reason(Why.WAITING, f"{idle} jobs wait, too few and not for long enough to count")
    return Reason(Why.ENOUGH, "no job waits for a slave")


def shrink(
    packing: Packing, living: tuple[Slave, ...], limits: Limits, waiting: Container[str] = ()
) -> tuple[Removal, ...]:
    """The slaves that nothing was packed into and that have been idle for `idleTime`, without those that wait.

    One that the pool doesn't hear from wouldn't answer, and growth would wait for that: it goes when it is lost.
    Outdated ones go first, then the longest idle, down to `minSlaves` joined ones, and `BATCH`.
    """
    joined = sum(slave.joined for slave in living)
    candidates = sorted(
        (
            s
            for s in living
            if s.phase is Phase.IDLE and s.free and s.idle_for >= limits.idle_time
            if s.name not in packing.taken and s.name not in waiting
        ),
        key=lambda s: (not s.outdated, -s.idle_for, s.name),
    )
    return tuple(
        Removal(s.name, Reason(Why.IDLE, f"idle for {s.idle_for:.0f} s, idleTime is {limits.idle_time:.0f} s"))
        for s in candidates[: max(0, min(BATCH, joined - limits.min_slaves))]
    )


def fault(slave: Slave, limits: Limits, now: datetime, *, together: bool) -> Removal | None:
    """Why this slave has to go whatever the demand; None for a slave in good health and for every busy one.

    Slaves that leave the pool `together` have likely one cause elsewhere: the network, or somebody with the token of
    one slave, which is enough to take others' ads out of the collector (docs/security.md). They get more time.
    """
    absent = (now - slave.absent_since).total_seconds() if slave.absent_since else 0.0
    limit = limits.join_timeout
    match slave.phase:
        case Phase.BUSY | Phase.DRAINING | Phase.DOUBTFUL:
            return None
        case Phase.GONE:
            reason = Reason(Why.GONE, "OpenStack has no such server any more")
        case Phase.FAILED:
            reason = Reason(Why.FAILED, slave.detail or "its server failed")
        case Phase.BUILDING | Phase.BOOTING | Phase.MISSING if slave.deleting:
            reason = DELETING
        case Phase.BUILDING if absent > limit:
            reason = Reason(
                Why.NOT_JOINED, f"its server is being built for {absent:.0f} s, joinTimeout is {limit:.0f} s"
            )
        case Phase.BOOTING if absent > limit:
            reason = Reason(Why.NOT_JOINED, f"not in the pool after {absent:.0f} s, joinTimeout is {limit:.0f} s")
        case Phase.MISSING if absent > limit * (LOST_TOGETHER if together else 1):
            reason = Reason(Why.LOST, f"no longer in the pool for {absent:.0f} s, joinTimeout is {limit:.0f} s")
        case _ if not slave.in_state:
            reason = Reason(Why.STRAY, "an interrupted update left it outside the Pulumi state")
        case _:
            return None
    return Removal(slave.name, reason)


def dismissed(slaves: tuple[Slave, ...], seen: Snapshot) -> tuple[Removal, ...]:
    """The idle slaves that go because people want it: those named, outdated ones, and those whose server is deleted."""
    idle = [slave for slave in slaves if slave.phase is Phase.IDLE]
    unwanted = (s for s in idle if s.has_to_go)
    old = (s for s in idle if s.outdated and seen.recycling and not s.has_to_go)
    return (
        *(Removal(s.name, DELETING if s.deleting else NAMED) for s in unwanted),
        *(Removal(s.name, Reason(Why.RECYCLED, "it was made from older settings")) for s in old),
    )


def retiring(slaves: tuple[Slave, ...], seen: Snapshot, waiting: Container[str] = ()) -> tuple[str, ...]:
    """The busy slaves to drain now because people want it, without those that wait.

    Those named, or whose server is deleted, at once; outdated ones so that a quarter of all, and at least one, is
    draining.
    """
    busy = sorted((s for s in slaves if s.phase is Phase.BUSY and s.name not in waiting), key=lambda slave: slave.name)
    unwanted = [slave.name for slave in busy if slave.has_to_go]
    if not seen.recycling:
        return tuple(unwanted)
    old = [slave.name for slave in busy if slave.outdated and not slave.has_to_go]
    room = max(1, len(slaves) // 4) - sum(slave.phase is Phase.DRAINING for slave in slaves) - len(unwanted)
    return (*unwanted, *old[: max(0, room)])


def revived(names: tuple[str, ...]) -> tuple[Reason, ...]:
    """Why drained slaves are taken back."""
    return (Reason(Why.REVIVED, f"{len(names)} slaves that were to go are needed again"),) if names else ()


def forgotten(names: tuple[str, ...]) -> tuple[Reason, ...]:
    """Why ads are taken out of the pool."""
    text = f"the pool still has ads of {len(names)} slaves that are no more: jobs would be sent there"
    return (Reason(Why.FORGOTTEN, text),) if names else ()


def hopeless(jobs: tuple[JobGroup, ...]) -> tuple[Reason, ...]:
    """One reason for each group of jobs that more slaves would not help."""
    never = (Reason(Why.IMPOSSIBLE, f"{g.idle} jobs can never run here: {g.impossible}") for g in jobs if g.impossible)
    stuck = (
        Reason(
            Why.UNMATCHED,
            f"{g.idle} jobs ({g.request.cpus} CPUs, {g.request.memory_mib} MiB) didn't start beside"
            f" {g.beside or 'a free slot'}: a limit or a requirement holds them - condor_q -better-analyze{_again(g)}",
        )
        for g in jobs
        if g.unmatched and not g.impossible
    )
    return (*never, *stuck)


def _again(group: JobGroup) -> str:
    when = f"at {group.again_at:%H:%M:%S}" if group.again_at else "with a new slave"
    return f" - or it was out of reach; one of them is tried {when}"

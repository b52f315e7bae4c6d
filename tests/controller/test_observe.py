"""How the state's slaves, Nova's servers and HTCondor's machines become one list, and what memory adds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from cluster.cloud import Flavor
from cluster.report import Shared
from controller import pool
from controller.decide import decide
from controller.errors import OutsideError
from controller.loop import limits
from controller.model import JobGroup, Phase, Room, Seconds, Setback, Slave, Snapshot, Trouble
from controller.observe import DRAINED_BY_US, LONGEST_LOOK, SILENT, TEACHERS, Kept, Memory, Parts, observe, put_together
from controller.pool import Machine
from controller.servers import Cloud, Server
from controller.state import View
from tests.controller.made_up import SETTINGS

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = START + timedelta(minutes=10)
STATE = {"a": "id-a"}
IDLE = Machine(jobs=0, claimed=False, idle_for=Seconds(42), free=Room(1, 900, 10))
BUSY = Machine(jobs=1, claimed=True, idle_for=Seconds(0), free=Room(0, 400, 10))


def server(name: str, status: str = "ACTIVE", created: datetime = NOW) -> Server:
    return Server(f"id-{name}", name, status, created)


def one(
    status: str = "ACTIVE",
    machine: Machine | None = None,
    *,
    memory: Memory | None = None,
    running: bool = False,
    in_state: bool = True,
) -> Slave:
    state = {"a": "id-a"} if in_state else {}
    machines = {"a": machine} if machine else {}
    parts = Parts(state, [server("a", status)], machines, frozenset({"a"} if running else ()))
    (slave,) = put_together(parts, memory or Memory(), NOW)
    return slave


@pytest.mark.parametrize(
    ("slave", "phase"),
    [
        (one("BUILD"), Phase.BUILDING),
        (one("ACTIVE"), Phase.BOOTING),
        (one("ACTIVE", IDLE), Phase.IDLE),
        (one("ACTIVE", BUSY), Phase.BUSY),
        (one("ACTIVE", running=True), Phase.BUSY),  # the schedd knows of a job that the collector doesn't
        (one("ACTIVE", memory=Memory(joined={"a"})), Phase.MISSING),
        (one("ACTIVE", replace(IDLE, draining=True)), Phase.DRAINED),
        (one("ACTIVE", replace(BUSY, draining=True)), Phase.DRAINING),
        (one("ACTIVE", replace(IDLE, draining=True), running=True), Phase.DRAINING),
        (one("BUILD", IDLE), Phase.IDLE),  # Nova's list is a few seconds old: the pool knows better
        (one("ERROR"), Phase.FAILED),
        (one("SHUTOFF", BUSY), Phase.FAILED),
        (one("RESCUE"), Phase.FAILED),
    ],
)
def test_phase(slave: Slave, phase: Phase) -> None:
    assert slave.phase is phase


def test_a_job_on_a_broken_server_is_known() -> None:
    assert [one("ERROR", running=running).running for running in (True, False)] == [True, False]


@pytest.mark.parametrize("status", ["ACTIVE", "ERROR"])
def test_a_slave_is_drained_when_its_startd_takes_no_jobs_and_has_none_whatever_nova_says(status: str) -> None:
    draining = replace(IDLE, draining=True)
    assert one(status, draining).drained
    others = (
        one(status, IDLE),
        one(status, replace(BUSY, draining=True)),
        one(status, draining, running=True),
        one(status),
    )
    assert not any(slave.drained for slave in others)


def test_nothing_may_come_to_a_slave_whose_server_is_being_deleted() -> None:
    """Its drain isn't undone, either: Nova may take minutes, and then the job would be lost."""
    drained = replace(IDLE, draining=True, drain_reason=f"{DRAINED_BY_US}idle: idle for 600 s")
    for machine, revivable in ((IDLE, False), (drained, True)):
        usual, going = (
            put_together(Parts(STATE, [replace(server("a"), deleting=deleting)], {"a": machine}), Memory(), NOW)[0]
            for deleting in (False, True)
        )
        assert (usual.deleting, usual.free, usual.revivable) == (False, machine.free, revivable)
        assert (going.deleting, going.free, going.revivable) == (True, None, False)
        assert going.phase is usual.phase


def test_a_slave_without_a_server_is_gone() -> None:
    (slave,) = put_together(Parts(STATE, [server("a", "DELETED")]), Memory(), NOW)
    assert slave.phase is Phase.GONE


def test_a_server_that_was_renamed_by_hand_is_still_the_slave() -> None:
    renamed = replace(server("a"), name="my-old-node")
    (slave,) = put_together(Parts(STATE, [renamed], {"a": BUSY}), Memory(), NOW)
    assert (slave.name, slave.phase) == ("a", Phase.BUSY)


def test_a_server_that_the_state_lacks_is_a_stray_even_under_a_known_name() -> None:
    twin = Server("id-twin", "a", "ACTIVE", NOW)
    slaves = put_together(Parts(STATE, [server("a"), twin]), Memory(), NOW)
    assert [(s.server_id, s.in_state) for s in slaves] == [("id-a", True), ("id-twin", False)]


@pytest.mark.parametrize(
    ("status", "machine", "memory", "phase"),
    [
        ("BUILD", None, Memory(), Phase.DOUBTFUL),
        ("ERROR", None, Memory(), Phase.DOUBTFUL),
        ("ACTIVE", IDLE, Memory(), Phase.DOUBTFUL),
        ("ACTIVE", BUSY, Memory(), Phase.BUSY),
        ("BUILD", None, Memory(updating=True), Phase.BUILDING),  # its own update's
        ("BUILD", None, Memory(left_over=frozenset({"id-a"})), Phase.BUILDING),
    ],
)
def test_a_stray_is_doubtful_until_no_update_can_be_making_it(
    status: str, machine: Machine | None, memory: Memory, phase: Phase
) -> None:
    stray = one(status, machine, memory=memory, in_state=False)
    assert (stray.phase, stray.in_state) == (phase, False)


def test_absence_counts_from_the_controllers_start_after_a_restart() -> None:
    """A master that comes back finds an empty collector: old slaves with running jobs aren't late."""
    old = server("a", created=START - timedelta(days=1))
    memory = Memory()
    (slave,) = put_together(Parts(STATE, [old]), memory, START)
    assert slave.absent_since == START
    (slave,) = put_together(Parts(STATE, [old]), memory, NOW)
    assert slave.absent_since == START


def test_absence_ends_when_the_machine_is_seen_and_begins_anew() -> None:
    memory, last = Memory(), None
    for machines, expected in (({}, NOW), ({"a": IDLE}, None), ({}, NOW)):
        (slave,) = put_together(Parts(STATE, [server("a")], machines), memory, NOW)
        assert slave.absent_since == expected
        last = slave.phase
    assert last is Phase.MISSING


def test_idleness_counts_from_the_last_claim_that_was_seen() -> None:
    """A startd doesn't update its partitionable slot's ad with each dynamic slot.

    The ad can say `idle for an hour` seconds after a job.
    """
    memory = Memory()
    put_together(Parts(STATE, [server("a")], {"a": BUSY}), memory, NOW)
    stale = Machine(jobs=0, claimed=False, idle_for=Seconds(3600), free=Room(1, 900, 10))
    (slave,) = put_together(Parts(STATE, [server("a")], {"a": stale}), memory, NOW + timedelta(seconds=7))
    assert (slave.phase, slave.idle_for) == (Phase.IDLE, Seconds(7))


def test_memory_forgets_slaves_that_are_no_more() -> None:
    memory = Memory({"x": NOW}, {"x": NOW}, {"x"}, {"x"})
    memory.asked(["x"], {"x": "no answer"}, NOW)
    put_together(Parts({}), memory, NOW)
    assert (memory.absent_since, memory.idle_since, memory.joined, memory.given_up) == ({}, {}, set(), set())
    assert memory.stays == {}


def test_what_keeps_a_slave_from_being_removed_is_remembered_and_counted() -> None:
    memory = Memory()
    for times in (1, 2):
        memory.asked(["a"], {"a": "it is locked"}, NOW)
        (a,) = put_together(Parts(STATE, [server("a")]), memory, NOW)
        assert a.stays == Setback(times, NOW, "it is locked", Trouble.REMOVALS)
    memory.asked(["a"], {}, NOW)
    assert memory.stays == {}, "it has answered"


@pytest.mark.parametrize(
    ("reason", "revivable"),
    [("elastic-condor: idle: for 40 s", True), ("elastic-condor: recycled", False), ("kernel upgrade", False)],
)
def test_only_the_controllers_own_drains_of_idle_slaves_can_be_undone(reason: str, *, revivable: bool) -> None:
    slave = one("ACTIVE", replace(IDLE, draining=True, drain_reason=reason))
    assert slave.revivable is revivable
    assert reason in slave.detail


def test_a_slave_made_from_other_settings_is_outdated() -> None:
    servers = [replace(server("a"), made_from="old"), replace(server("b"), made_from="new")]
    parts = Parts({"a": "id-a", "b": "id-b"}, servers, fingerprint="new")
    assert [s.outdated for s in put_together(parts, Memory(), NOW)] == [True, False]


def test_failed_joins_in_a_row_are_counted_until_one_joins() -> None:
    memory = Memory()
    for _ in range(2):
        memory.failed(Trouble.JOINS, "late", NOW)
    memory.failed(Trouble.UPDATES, "no host", NOW)
    assert memory.setbacks[Trouble.JOINS].times == 2
    put_together(Parts(STATE, [server("a")], {"a": IDLE}), memory, NOW)
    assert set(memory.setbacks) == {Trouble.UPDATES}


def test_something_kept_is_read_anew_when_it_is_old_dropped_or_from_the_future() -> None:
    answers, kept = iter(range(10)), Kept[int]()
    every = timedelta(seconds=60)
    times = [NOW, NOW + every - timedelta(seconds=1), NOW + every, NOW - timedelta(days=1)]
    assert [kept.get(lambda: next(answers), every, now) for now in times] == [0, 0, 1, 2]
    kept.drop()
    assert kept.get(lambda: next(answers), every, NOW) == 3


def test_a_failed_read_leaves_nothing_to_believe_in() -> None:
    kept = Kept[int](1, NOW)

    def fail() -> int:
        raise OutsideError("away")

    with pytest.raises(OutsideError):
        kept.get(fail, timedelta(0), NOW)
    assert kept.get(lambda: 2, timedelta(hours=1), NOW) == 2


class Outside:
    """HTCondor and OpenStack, which say what they are told to, and count what Nova is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machines: dict[str, Machine] = {}
        self.servers: list[Server] = []
        self.asked: list[str] = []
        self.templates: list[Any] = []
        self.groups: tuple[JobGroup, ...] = ()
        self.broken: set[str] = set()
        self.there: dict[str, Server] = {}
        """Servers that Nova has, by their id, whatever its list says."""
        monkeypatch.setattr(pool, "machines", lambda: self.machines)
        monkeypatch.setattr(pool, "running_on", frozenset)
        monkeypatch.setattr(pool, "jobs", self.jobs)
        monkeypatch.setattr(pool, "whole_slot", self.whole_slot)

    def jobs(self, template: Any, _waiting_time: int | None) -> tuple[JobGroup, ...]:
        self.templates.append(template)
        return self.groups

    def whole_slot(self, name: str) -> dict[str, Any]:
        self.asked.append(f"slot {name}")
        whole = {"TotalSlotCpus": 1, "TotalSlotMemory": 777, "TotalSlotDisk": 4000, "Cpus": 0, "HasDocker": True}
        return whole | ({"TotalSlotDisk": 5, "HasDocker": False} if name in self.broken else {})

    def slaves(self, _cluster_id: str) -> tuple[Server, ...]:
        self.asked.append("servers")
        return tuple(self.servers)

    def server(self, server_id: str) -> Server | None:
        self.asked.append(f"server {server_id}")
        return self.there.get(server_id)

    def quota_left(self, _flavor: Flavor) -> int:
        self.asked.append("quota")
        return 5


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    return Outside(monkeypatch)


def look(outside: Outside, memory: Memory, now: datetime = NOW) -> Snapshot:
    cloud: Any = outside
    return observe(cloud, View({server.name: server.id for server in outside.servers}), SETTINGS, memory, now)


def test_a_quiet_pool_asks_nova_twice_a_minute_and_for_the_quota_once(outside: Outside) -> None:
    memory = Memory()
    outside.servers = [replace(server("a"), made_from=SETTINGS.fingerprint)]
    outside.machines = {"a": IDLE}
    look(outside, memory)
    outside.asked.clear()
    for second in range(3, 61, 3):
        look(outside, memory, NOW + timedelta(seconds=second))
    assert sorted(outside.asked) == ["quota", "servers", "servers"]


def test_nova_is_asked_often_while_a_slave_is_on_its_way_and_after_an_update(outside: Outside) -> None:
    memory = Memory()
    outside.servers = [server("a", "BUILD")]
    for second in range(0, 13, 3):
        look(outside, memory, NOW + timedelta(seconds=second))
    assert outside.asked.count("servers") == 3
    outside.machines = {"a": IDLE}
    look(outside, memory, NOW + timedelta(seconds=13))
    memory.updated()
    outside.asked.clear()
    look(outside, memory, NOW + timedelta(seconds=14))
    assert sorted(outside.asked) == ["quota", "servers"]


def test_nova_is_asked_often_while_an_update_runs(outside: Outside) -> None:
    memory = Memory()
    look(outside, memory)
    outside.asked.clear()
    memory.updating = True
    look(outside, memory, NOW + timedelta(seconds=5))
    assert outside.asked == ["servers"]


def test_a_slave_arrives_at_the_look_that_finds_it_in_the_pool_first(outside: Outside) -> None:
    memory = Memory()
    outside.servers = [server("a")]
    arrivals = []
    for machines in ({}, {"a": IDLE}, {"a": IDLE}, {}, {"a": IDLE}):
        outside.machines, memory.arrived = dict(machines), False
        look(outside, memory)
        arrivals.append(memory.arrived)
    assert arrivals == [False, True, False, False, False]


def test_a_joined_slave_teaches_what_new_ones_offer_until_the_settings_change(outside: Outside) -> None:
    memory = Memory()
    assert memory.offer(SETTINGS)["Memory"] == SETTINGS.offer.memory_mib
    outside.servers = [replace(server("a"), made_from=SETTINGS.fingerprint)]
    outside.machines = {"a": IDLE}
    look(outside, memory)
    look(outside, memory)
    assert outside.asked.count("slot a") == 1
    assert memory.offer(SETTINGS) == {"Cpus": 1, "Memory": 777, "Disk": 4000, "GPUs": 0, "HasDocker": True} | {
        "TotalSlotCpus": 1,
        "TotalSlotMemory": 777,
        "TotalSlotDisk": 4000,
    }
    assert outside.templates[-1]["Memory"] == 777
    assert memory.offer(SETTINGS.model_copy(update={"jobs_per_slave": 1}))["Memory"] == SETTINGS.offer.memory_mib


def test_a_slave_that_is_half_broken_makes_no_job_impossible_that_another_one_can_run(outside: Outside) -> None:
    memory = Memory()
    for name, created in (("b", NOW), ("a", NOW + timedelta(hours=1))):
        outside.servers.append(replace(server(name, created=created), made_from=SETTINGS.fingerprint))
        outside.machines[name] = IDLE
    outside.broken = {"a"}
    look(outside, memory)
    assert memory.offer(SETTINGS).items() >= {"HasDocker": True, "Disk": 4000}.items()
    outside.broken = {"a", "b"}
    look(outside, memory, NOW + timedelta(minutes=4))
    assert memory.offer(SETTINGS)["HasDocker"]
    look(outside, memory, NOW + timedelta(minutes=5))
    assert memory.offer(SETTINGS).items() >= {"HasDocker": False, "Disk": 5}.items()
    outside.broken = set()
    look(outside, memory, NOW + timedelta(minutes=10))
    assert memory.offer(SETTINGS).items() >= {"HasDocker": True, "Disk": 4000}.items(), "mended"


def test_a_job_that_only_an_odd_slave_can_hold_brings_two_slaves_and_no_more_for_an_hour(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new one is too small, and leaves no trace in the pool when it goes."""
    memory, made, size = Memory(), 0, {"a": 900}
    monkeypatch.setattr(pool, "whole_slot", lambda name: whole_slot(size.get(name, 777)))
    outside.servers = [replace(server("a"), made_from=SETTINGS.fingerprint)]
    outside.machines = {"a": BUSY}
    for second in range(0, 55 * 60, 60):
        now = NOW + timedelta(seconds=second)
        look(outside, memory, now)
        if memory.offer(SETTINGS)["Memory"] == 900:
            made += 1
            outside.servers.append(replace(server(f"n{made}", created=now), made_from=SETTINGS.fingerprint))
            outside.machines[f"n{made}"] = IDLE
        elif second % 600 == 0:
            outside.servers, outside.machines = outside.servers[:1], {"a": BUSY}
    assert made == 2


def whole_slot(memory: int) -> dict[str, Any]:
    return {"TotalSlotCpus": 1, "TotalSlotMemory": memory, "TotalSlotDisk": 4000}


def test_the_newest_slaves_teach_and_each_is_asked_every_five_minutes(outside: Outside) -> None:
    memory, names = Memory(), [f"s{number}" for number in range(TEACHERS + 2)]
    for number, name in enumerate(names):
        created = NOW + timedelta(hours=number)
        outside.servers.append(replace(server(name, created=created), made_from=SETTINGS.fingerprint))
        outside.machines[name] = IDLE
    for passed in range(0, 600, 60):
        look(outside, memory, NOW + timedelta(seconds=passed))
    asked = [what for what in outside.asked if what.startswith("slot")]
    assert asked == [f"slot {name}" for name in reversed(names[-TEACHERS:])] * 2


def test_what_slaves_offered_is_forgotten_with_their_settings_and_a_day_after_the_last_of_them(
    outside: Outside,
) -> None:
    """Learned too small, it would keep the slaves from coming that could show better."""
    memory, taught = Memory(), replace(server("a"), made_from=SETTINGS.fingerprint)
    other = SETTINGS.model_copy(update={"jobs_per_slave": 1})
    cloud: Any = outside

    def memory_at(hours: float, *, there: bool, settings: Shared = SETTINGS) -> int:
        outside.servers, outside.machines = ([taught], {"a": IDLE}) if there else ([], {})
        now = NOW + timedelta(hours=hours)
        observe(cloud, View({"a": "id-a"} if there else {}), settings, memory, now)
        learned: int = memory.offer(settings)["Memory"]
        return learned

    predicted = SETTINGS.offer.memory_mib
    assert [memory_at(hours, there=True) for hours in (0, 48)] == [777, 777]
    assert [memory_at(hours, there=False) for hours in (49, 71.9, 72.1)] == [777, 777, predicted]
    assert memory_at(73, there=True) == 777
    memory_at(74, there=False, settings=other)
    assert memory_at(75, there=False) == predicted


def test_an_outdated_slave_teaches_nothing(outside: Outside) -> None:
    memory = Memory()
    outside.servers, outside.machines = [replace(server("a"), made_from="old")], {"a": IDLE}
    look(outside, memory)
    assert memory.learned == {}


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("there", [True, False])
def test_a_job_that_starts_during_the_look_is_not_taken_to_need_a_slave(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, before: int, *, there: bool
) -> None:
    """It would be seen idle, and its slot as taken, or its slave as busy: a slave would be made for nothing."""
    asked: list[str] = []

    def started(what: str) -> bool:
        asked.append(what)
        return len(asked) > before

    group = JobGroup(Room(1, 100, 10), idle=1, ripe=0)
    before_it = {"a": IDLE} if there else {}
    monkeypatch.setattr(pool, "jobs", lambda *_: () if started("jobs") else (group,))
    monkeypatch.setattr(pool, "machines", lambda: {"a": BUSY} if started("slots") else before_it)
    monkeypatch.setattr(pool, "running_on", lambda: frozenset({"a"} if started("running") else ()))
    a = replace(server("a"), made_from=SETTINGS.fingerprint)
    monkeypatch.setattr(outside, "slaves", lambda _: (started("servers"), (a,))[1])
    outside.servers = [a]
    seen = look(outside, Memory())
    assert sorted(asked) == ["jobs", "running", "servers", "slots"]
    assert decide(seen, limits(SETTINGS, {"Cpus": 1, "Memory": 900, "Disk": 10}), NOW).create == 0


def test_whatever_cannot_be_read_makes_the_look_a_blind_one(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> NoReturn:
        raise OutsideError("the schedd can't be asked")

    monkeypatch.setattr(pool, "jobs", away)
    assert look(outside, Memory()) == Snapshot(unknown=("the schedd can't be asked",))


def test_a_quota_that_cannot_be_read_leaves_the_rest_to_be_seen(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_flavor: Flavor) -> NoReturn:
        raise OutsideError("OpenStack can't be asked - 500")

    monkeypatch.setattr(outside, "quota_left", away)
    outside.servers = [server("a")]
    seen = look(outside, Memory())
    assert (seen.unknown, seen.quota_unread, len(seen.slaves)) == ((), "OpenStack can't be asked - 500", 1)


def test_a_list_of_servers_that_lacks_one_of_ours_is_not_believed(outside: Outside) -> None:
    cloud: Any = outside
    outside.there = {"id-a": replace(server("a"), slave_of="c")}
    seen = observe(cloud, View({"a": "id-a", "b": "id-b"}), SETTINGS, Memory(), NOW)
    assert seen.unknown == ("OpenStack's list of servers isn't whole - it lacks id-a",)
    outside.there = {}
    seen = observe(cloud, View({"a": "id-a", "b": "id-b"}), SETTINGS, Memory(), NOW)
    assert [slave.phase for slave in seen.slaves] == [Phase.GONE, Phase.GONE]


@pytest.mark.parametrize("slave_of", ["", "another"])
def test_a_slave_whose_server_lost_the_clusters_tag_is_still_the_slave(outside: Outside, slave_of: str) -> None:
    """`openstack server unset --property` is done in a second, and no list has it any more."""
    cloud: Any = outside
    outside.servers, outside.machines = [server("b")], {"a": BUSY, "b": IDLE}
    outside.there = {"id-a": replace(server("a"), slave_of=slave_of)}
    seen = observe(cloud, View({"a": "id-a", "b": "id-b"}), SETTINGS, Memory(), NOW)
    assert seen.unknown == ()
    assert [(s.name, s.phase, s.in_state) for s in seen.slaves] == [("a", Phase.BUSY, True), ("b", Phase.IDLE, True)]


def test_what_is_gone_is_asked_for_once_and_anew_when_it_has_been_listed_again(outside: Outside) -> None:
    """An update that removes a thousand is under way for minutes, in which the state as it was read still has them."""
    cloud, view, memory = cast("Cloud", outside), View({"a": "id-a", "b": "id-b"}), Memory()

    def asked_for() -> list[str]:
        outside.asked.clear()
        memory.servers.drop()
        observe(cloud, view, SETTINGS, memory, NOW)
        return [what for what in outside.asked if what.startswith("server ")]

    assert asked_for() == ["server id-a", "server id-b"]
    assert asked_for() == []
    outside.servers = [server("a")]
    assert asked_for() == []
    outside.servers = []
    assert asked_for() == ["server id-a"]


def test_a_cloud_whose_clock_is_wrong_makes_no_slave_late(outside: Outside) -> None:
    """Its servers seem to be hours old, or of the future: they are as old as this clock has seen them."""
    for created in (NOW - timedelta(hours=3), NOW + timedelta(hours=3)):
        outside.servers, memory = [server("a", "BUILD", created)], Memory()
        allowed = limits(SETTINGS, {"Cpus": 1, "Memory": 900, "Disk": 10})
        seconds = range(0, SETTINGS.join_timeout + 31, 30)
        late = [
            second
            for second in seconds
            if decide(
                look(outside, memory, NOW + timedelta(seconds=second)), allowed, NOW + timedelta(seconds=second)
            ).remove
        ]
        assert late == [seconds[-1]]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 20),  # what passes
            st.sampled_from([0] * 8 + [-86_400, -7200, -50, 50, 3600, 7200, 86_400]),  # what this clock jumps
            st.sampled_from([0] * 8 + [-9000, 9000]),  # what the slave's clock jumps
        ),
        max_size=60,
    )
)
def test_clocks_that_jump_hurry_nobody(steps: list[tuple[int, int, int]]) -> None:
    """A slave on its way, and an idle one: nobody is late or idle for longer than has passed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        outside, memory, now = Outside(monkeypatch), Memory(), NOW
        outside.servers = [server("a", "ACTIVE"), server("b")]
        passed, on_its_clock = 0, 0
        jumps = sum(1 for _, here, _ in steps if here)
        for seconds, here, there in [(0, 0, 0), *steps]:
            passed += seconds
            on_its_clock += seconds + there
            now += timedelta(seconds=seconds + here)
            outside.machines = {"b": replace(IDLE, idle_for=Seconds(max(0, on_its_clock)))}
            seen = {slave.name: slave for slave in look(outside, memory, now).slaves}
            waits_since = seen["a"].absent_since
            assert waits_since is not None
            waits = (now - waits_since).total_seconds()
            most = passed + (SETTINGS.poll_interval + LONGEST_LOOK.total_seconds()) * jumps
            assert passed - 20 * jumps <= waits <= most
            assert 0 <= seen["b"].idle_for <= most


def test_a_slave_whose_clock_is_set_back_goes_on_being_idle(outside: Outside) -> None:
    """Until its clock has caught up, which may take hours, its startd would have been idle for no time at all."""
    memory = Memory()
    outside.servers = [server("a", "ACTIVE")]
    for passed in range(0, 61, 3):
        outside.machines = {"a": replace(IDLE, idle_for=Seconds(passed if passed < 30 else 0))}
        (a,) = look(outside, memory, NOW + timedelta(seconds=passed)).slaves
        assert a.idle_for == Seconds(passed)


def test_a_slave_that_joins_with_a_clock_that_is_then_set_back_is_idle_from_then_on(outside: Outside) -> None:
    memory = Memory()
    outside.servers = [server("a", "ACTIVE")]
    outside.machines = {"a": replace(IDLE, idle_for=Seconds(0))}
    for passed in (0, 3, 6):
        (a,) = look(outside, memory, NOW + timedelta(seconds=passed)).slaves
        assert a.idle_for == Seconds(passed)


@pytest.mark.parametrize("poll", [3, 60, 300])
def test_the_time_between_two_looks_is_no_jump_however_seldom_they_are(outside: Outside, poll: int) -> None:
    memory, cloud = Memory(), cast("Cloud", outside)
    outside.servers = [server("a", "ACTIVE"), server("b")]
    settings = SETTINGS.model_copy(update={"poll_interval": poll})
    for passed in range(0, 10 * poll + 1, poll):
        now = NOW + timedelta(seconds=passed)
        outside.machines = {"b": replace(IDLE, idle_for=Seconds(passed), ad_age=Seconds(151))}
        view = View({name: f"id-{name}" for name in "ab"})
        late, idle = observe(cloud, view, settings, memory, now).slaves
        assert late.absent_since == NOW
        assert idle.idle_for == Seconds(passed)
        assert idle.free is None


@pytest.mark.parametrize(
    ("age", "in_state", "in_nova", "dead"),
    [
        (SILENT + 1, False, False, ("a",)),
        (SILENT - 1, False, False, ()),  # it still advertises: there is a server, whatever the list says
        (SILENT + 1, True, False, ()),  # the state has it: it goes with its slave
        (SILENT + 1, False, True, ()),
    ],
)
def test_an_ad_is_dead_when_nobody_has_its_server_and_its_startd_is_silent(
    outside: Outside, age: float, *, in_state: bool, in_nova: bool, dead: tuple[str, ...]
) -> None:
    outside.machines = {"a": replace(IDLE, ad_age=Seconds(age))}
    outside.servers = [server("a")] if in_nova else []
    cloud: Any = outside
    seen = observe(cloud, View({"a": "id-a"} if in_state else {}), SETTINGS, Memory(), NOW)
    assert seen.dead_ads == dead


def test_a_slave_that_the_pool_has_not_heard_from_lately_proves_nothing(outside: Outside) -> None:
    outside.groups = (JobGroup(Room(1, 100, 10), idle=3, ripe=0),)
    outside.servers = [replace(server(name), made_from=SETTINGS.fingerprint) for name in ("a", "b")]
    for age, unmatched in ((Seconds(10), True), (Seconds(151), False)):
        memory = Memory()
        outside.machines = dict.fromkeys(("a", "b"), replace(IDLE, ad_age=age))
        seen = [look(outside, memory, NOW + timedelta(seconds=second)) for second in range(0, 91, 30)]
        assert [group.unmatched for group in seen[-1].jobs] == [unmatched]


def test_what_slaves_of_earlier_settings_proved_is_tried_again_with_new_ones(outside: Outside) -> None:
    outside.groups = (JobGroup(Room(1, 100, 10), idle=3, ripe=0),)
    outside.servers = [replace(server(name), made_from=SETTINGS.fingerprint) for name in ("a", "b")]
    outside.machines, memory, cloud = dict.fromkeys(("a", "b"), IDLE), Memory(), cast("Any", outside)
    tried = []
    for second, settings in ((0, SETTINGS), (60, SETTINGS), (65, SETTINGS.model_copy(update={"jobs_per_slave": 1}))):
        state = View({"a": "id-a", "b": "id-b"})
        seen = observe(cloud, state, settings, memory, NOW + timedelta(seconds=second))
        tried.append([group.tried for group in seen.jobs if not group.unmatched])
    assert tried == [[False], [], [True]]


def test_a_slave_that_the_pool_has_not_heard_from_lately_is_no_room(outside: Outside) -> None:
    """Its host may be dead: HTCondor believes its ad for a quarter of an hour, and jobs would wait for it."""
    outside.servers = [replace(server("a"), made_from=SETTINGS.fingerprint)]
    for age, free in ((150, IDLE.free), (151, None)):
        outside.machines = {"a": replace(IDLE, ad_age=Seconds(age))}
        (slave,) = look(outside, Memory()).slaves
        assert (slave.phase, slave.free) == (Phase.IDLE, free)


def test_after_a_jump_of_the_clock_every_ad_is_old_and_none_is_taken_to_be(outside: Outside) -> None:
    memory = Memory()
    outside.servers, outside.machines = [server("a")], {"a": IDLE}
    look(outside, memory)
    outside.machines = {"a": replace(IDLE, ad_age=Seconds(3600))}
    jumped = NOW + timedelta(hours=1)
    assert look(outside, memory, jumped).slaves[0].free == IDLE.free
    assert look(outside, memory, jumped + timedelta(seconds=59)).slaves[0].free == IDLE.free
    assert look(outside, memory, jumped + timedelta(seconds=118)).slaves[0].free is None, "by now it has missed one"


def test_a_slave_that_cannot_be_understood_stays_and_is_warned_of_once(outside: Outside) -> None:
    outside.servers = [server("a")]
    outside.machines = {"a": replace(IDLE, claimed=True, unreadable="ValueError: 'many'")}
    memory = Memory()
    with structlog.testing.capture_logs() as said:
        (slave,) = look(outside, memory).slaves
        look(outside, memory)
    assert slave.phase is Phase.BUSY
    assert "can't be read (ValueError: 'many')" in slave.detail
    assert [(event["log_level"], event["slave"]) for event in said] == [("warning", "a")]

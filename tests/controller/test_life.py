"""The controller in a made-up world in which everything goes wrong: whatever happens, its promises hold.

The loop, the looking, the rule and the carrying out are the real ones; only HTCondor, OpenStack and Pulumi are played.
"""

import itertools
import os
import random
import secrets
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from cluster.program import Change
from controller import apply, pool
from controller.apply import Outcome, Tools
from controller.errors import LockedError, OutsideError, UpdateFailedError
from controller.journal import Journal, replay
from controller.loop import STATE_EVERY, Loop
from controller.memory_file import MemoryFile
from controller.metrics import Metrics
from controller.model import JobGroup, Room, Seconds
from controller.pool import Drain, Machine
from controller.release import Releases
from controller.reporter import Reporter
from controller.requests import Requests
from controller.servers import Server
from controller.state import View
from controller.status import Status
from tests.controller.made_up import SETTINGS

START = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = Room(cpus=1, memory_mib=100, disk_kib=1000)
SLAVE = Room(cpus=2, memory_mib=2000, disk_kib=4_000_000)
BUILD, JOIN = timedelta(seconds=10), timedelta(seconds=25)
STEP = timedelta(seconds=3)
BELIEVED = timedelta(seconds=60)
"""For how long at most what was read is acted on."""
AD_LIFE = timedelta(minutes=15)
"""For how long HTCondor believes an ad. Here those of servers that are no more stay until somebody sees to it."""
RENEWAL = timedelta(seconds=60)
"""From one ad of a slave to the next."""


class KilledError(BaseException):
    """The controller's process ends here and now."""


@dataclass
class Vm:
    """A server with its startd."""

    server: Server
    sound: bool = True
    """Whether it will boot and join."""
    jobs: list[datetime] = field(default_factory=list)
    """When each job that runs here will end."""
    idle_since: datetime = START
    draining: str | None = None
    """The reason of a drain."""
    undeletable: bool = False
    """Whether Nova doesn't delete it yet when it is asked to."""
    goes_on: bool = False
    """Whether its startd is there, whatever Nova says of the server."""


class World:
    """HTCondor, OpenStack and Pulumi, as far as the controller sees them."""

    def __init__(self) -> None:
        self.now = START
        self.vms: dict[str, Vm] = {}
        self.ghosts: dict[str, tuple[Machine, datetime]] = {}
        """Ads of servers that are no more, and when these ended."""
        self.in_state: dict[str, str] = {}
        self.settings = SETTINGS.model_copy(update={"jobs_per_slave": 2})
        self.waiting: list[timedelta] = []
        self.stuck = 0
        """Jobs that wait for something else than a slot."""
        self.done = self.submitted = 0
        self.skew = timedelta(0)
        """What the master's clock has jumped."""
        self.jump, self.jumped_at = timedelta(0), START
        """The last time."""
        self.ads: list[dict[str, Machine]] = []
        """What the slaves advertised, the last first."""
        self.ads_late = 0
        """By how many looks an ad comes late."""
        self.unreachable: dict[str, datetime] = {}
        """Slaves that the master doesn't reach and doesn't hear, and until when."""
        self.last_heard: dict[str, tuple[Machine, datetime]] = {}
        """What these have said last, and when."""
        self.list_is_short_until = START
        self.left: frozenset[str] = frozenset()
        """Slaves that were in the pool when the collector restarted, and can't be in it yet."""
        self.left_until = START
        self.slow = timedelta(0)
        """What each answer to a drain takes."""
        self.quota = 6
        self.down: dict[str, datetime] = {}
        """What is away, and until when."""
        self.next_update: tuple[str, int] = ("", 0)
        """How the next update ends, and after how many steps."""
        self.next_slaves_sound = True
        self.pending = False
        self.maximum_before, self.maximum_since = self.settings.max_slaves, START
        self.killed_jobs: list[str] = []
        self.foreign: set[str] = set()
        """Ids of servers that somebody else's update has made."""
        self.in_the_making: dict[str, datetime] = {}
        """Those that it has not noted in the state yet, and when it will."""
        self.pace = (0, 0)
        """Looks from a plan to its effects, and from these to their being known."""
        self.ids = itertools.count()

    # --- what the world does by itself

    def advance(self, by: timedelta) -> None:
        """Lets time pass: servers boot, jobs end and start."""
        self.now += by
        for server_id in [made for made, end in self.in_the_making.items() if end <= self.now]:
            del self.in_the_making[server_id]
            if server_id in self.vms:
                self.in_state[self.vms[server_id].server.name] = server_id
        for vm in self.vms.values():
            ended = [end for end in vm.jobs if end <= self.now]
            if ended:
                vm.jobs = [end for end in vm.jobs if end > self.now]
                vm.idle_since = max(ended)
                self.done += len(ended)
            age = self.now - vm.server.created_at
            if vm.server.status == "BUILD" and vm.sound and age >= BUILD:
                vm.server = replace(vm.server, status="ACTIVE")
        for vm in self.vms.values():
            while self.waiting and self.takes_jobs(vm) and len(vm.jobs) < 2:
                vm.jobs.append(self.now + self.waiting.pop())
        self.ads = [{vm.server.name: self.machine(vm) for vm in self.vms.values() if self.joined(vm)}, *self.ads[:3]]

    def joined(self, vm: Vm) -> bool:
        up = vm.server.status == "ACTIVE" or vm.goes_on
        return vm.sound and up and self.now - vm.server.created_at >= JOIN

    def takes_jobs(self, vm: Vm) -> bool:
        return self.joined(vm) and vm.draining is None and not self.out_of_reach(vm)

    def out_of_reach(self, vm: Vm) -> bool:
        return self.unreachable.get(vm.server.name, START) > self.now

    def clock(self) -> datetime:
        """The master's."""
        return self.now + self.skew

    def lose(self, name: str, *, by_controller: bool) -> None:
        """A server ends; its jobs go back to the queue."""
        assert not (by_controller and name in self.in_the_making), "never removes what another update makes"
        vm = self.vms.pop(name)
        if vm.jobs and by_controller:
            self.killed_jobs.append(name)
        if self.joined(vm):
            self.ghosts[vm.server.name] = self.last_heard.pop(vm.server.name, (self.machine(vm), self.now))
        self.waiting += [timedelta(seconds=30) for _ in vm.jobs]

    def answer(self, what: str) -> None:
        """Fails while `what` is away."""
        if self.down.get(what, START) > self.now:
            raise OutsideError(f"{what} is away")

    # --- OpenStack

    def slaves(self, _cluster_id: str) -> tuple[Server, ...]:
        self.answer("nova")
        listed = tuple(vm.server for vm in self.vms.values() if vm.server.slave_of)
        return listed[1:] if self.list_is_short_until > self.now else listed

    def quota_left(self, _flavor: object) -> int:
        self.answer("nova")
        return max(0, self.quota - len(self.vms))

    def server(self, server_id: str) -> Server | None:
        self.answer("nova")
        return self.vms[server_id].server if server_id in self.vms else None

    def is_off(self, server_id: str) -> bool:
        self.answer("nova")
        return self.vms[server_id].server.status == "SHUTOFF"

    def delete(self, server_id: str, _patience: float) -> None:
        self.answer("nova")
        if (vm := self.vms.get(server_id)) and vm.undeletable:
            vm.server = replace(vm.server, deleting=True)
            raise OutsideError("it isn't gone 10 s after its deletion")
        if server_id in self.vms:
            self.lose(server_id, by_controller=True)

    def console_tail(self, _server_id: str) -> str:
        return "login:"

    def missing(self, *_: object) -> tuple[str, ...]:
        """Whatever new slaves are made of is there."""
        return ()

    # --- Pulumi

    def read(self) -> View:
        self.answer("backend")
        return View(dict(self.in_state), self.settings, ("a create",) if self.pending else ())

    def recover(self, there: Collection[str]) -> frozenset[str]:
        self.answer("backend")
        self.locked()
        self.pending = False
        # The provider is asked for those that the list lacks.
        lost = frozenset(name for name, id_ in self.in_state.items() if id_ not in there)
        self.in_state = {name: id_ for name, id_ in self.in_state.items() if id_ in there or id_ in self.vms}
        return lost

    def locked(self) -> None:
        if self.down.get("lock", START) > self.now:
            raise LockedError("the stack is locked by ada@laptop (pid 7)")

    def change(self, change: Change, _template: object, on_delete: Callable[[str], None]) -> None:
        self.answer("backend")
        self.locked()
        self.answer("nova")
        # What a list that is cut short lacks is known by the state's word only.
        seen = self.vms.keys() if self.list_is_short_until + BELIEVED < self.now else set(self.in_state.values())
        alive = len((seen & self.vms.keys()) - self.foreign) + len(change.create)
        assert not change.create or alive <= self.most_slaves(), "never over maxSlaves"
        if unheard := change.remove - self.in_state.keys():
            raise UpdateFailedError(f"targets could not be found in the stack: {unheard}")
        (ending, after), self.next_update = self.next_update, ("", 0)
        noted, stay = dict(self.in_state), []
        for step, (verb, name) in enumerate(
            [*(("make", n) for n in change.create), *(("drop", n) for n in sorted(change.remove))]
        ):
            if ending and step == after:
                self.end_update(ending, verb, name, noted)
            if verb == "make":
                if len(self.vms) >= self.quota:
                    raise UpdateFailedError("Quota exceeded for instances")
                self.in_state[name] = self.make(name)
            elif (vm := self.vms.get(self.in_state[name])) and vm.undeletable:
                vm.server = replace(vm.server, deleting=True)
                stay.append(name)
            else:
                server_id = self.in_state.pop(name)
                if server_id in self.vms:
                    self.lose(server_id, by_controller=True)
                on_delete(name)
        if stay:
            raise UpdateFailedError(f"{stay} aren't gone", creates=False)

    def end_update(self, ending: str, verb: str, name: str, noted: dict[str, str]) -> NoReturn:
        """The engine ends in the middle of a step; what it was making is there, and nobody knows.

        One that is killed has noted nothing of what it did before, either: the state is written in an update's end.
        """
        if verb == "make" and len(self.vms) < self.quota:
            self.make(name)
            self.pending = ending == "failed"
        if verb == "drop" and (server_id := self.in_state[name]) in self.vms:
            self.lose(server_id, by_controller=True)
        if ending != "failed":
            self.in_state = noted
        if ending == "killed":
            raise KilledError
        raise UpdateFailedError("the engine was killed")

    def make(self, name: str) -> str:
        server_id = f"id-{next(self.ids)}"
        cluster, made_from = self.settings.slave.cluster_id, self.settings.fingerprint
        server = Server(server_id, name, "BUILD", self.now, slave_of=cluster, made_from=made_from)
        self.vms[server_id] = Vm(server, self.next_slaves_sound, idle_since=self.now + JOIN)
        return server_id

    def most_slaves(self) -> int:
        """The user's maximum; a new one takes the controller a while to see."""
        seen = self.now - self.maximum_since > STATE_EVERY + STEP
        return self.settings.max_slaves if seen else max(self.settings.max_slaves, self.maximum_before)

    # --- HTCondor

    def jobs(self, _template: object, _waiting_time: int | None) -> tuple[JobGroup, ...]:
        self.answer("schedd")
        usual, stuck = JobGroup(REQUEST, len(self.waiting), 0), JobGroup(REQUEST, self.stuck, 0, kind="stuck")
        return tuple(group for group in (usual, stuck) if group.idle)

    def restart_collector(self, seconds: int) -> None:
        """It knows nobody, until each has renewed its ad."""
        self.left = frozenset(self.machines()) & {vm.server.name for vm in self.vms.values() if self.takes_jobs(vm)}
        self.left_until = self.now + timedelta(seconds=seconds)
        self.ghosts, self.last_heard = {}, {}

    def machines(self) -> dict[str, Machine]:
        self.answer("collector")
        if self.left_until > self.now:
            return {}
        late = self.ads[min(self.ads_late, len(self.ads) - 1)] if self.ads and self.ads_late else {}
        alive = {
            vm.server.name: replace(late.get(vm.server.name) or self.machine(vm), ad_age=self.ad_age())
            for vm in self.vms.values()
            if self.joined(vm) and not self.out_of_reach(vm)
        }
        silent = {name: self.last_heard[name] for name in self.last_heard if name not in alive}
        ages = {name: (machine, self.now - last) for name, (machine, last) in (self.ghosts | silent).items()}
        old = {
            name: replace(machine, ad_age=Seconds(age.total_seconds()))
            for name, (machine, age) in ages.items()
            if name in self.ghosts or age < AD_LIFE
        }
        return old | alive

    def ad_age(self) -> Seconds:
        """How old the ads of living slaves are by the master's clock: one that has just jumped ahead makes all old."""
        jumped = self.now - self.jumped_at < RENEWAL
        return Seconds(max(0.0, self.jump.total_seconds()) if jumped else 0)

    def machine(self, vm: Vm) -> Machine:
        free = SLAVE.less(REQUEST, len(vm.jobs))
        idle = Seconds(0 if vm.jobs else (self.now - vm.idle_since).total_seconds())
        draining = vm.draining is not None
        return Machine(len(vm.jobs), bool(vm.jobs), idle, free, draining=draining, drain_reason=vm.draining or "")

    def running_on(self) -> frozenset[str]:
        self.answer("schedd")
        return frozenset(vm.server.name for vm in self.vms.values() if vm.jobs)

    def whole_slot(self, _name: str) -> dict[str, Any]:
        sizes = {"Cpus": SLAVE.cpus, "Memory": SLAVE.memory_mib, "Disk": SLAVE.disk_kib}
        return {f"TotalSlot{size}": value for size, value in sizes.items()}

    def of_name(self, name: str) -> Vm | None:
        return next((vm for vm in self.vms.values() if vm.server.name == name and self.joined(vm)), None)

    def drain(self, name: str, reason: str) -> Drain:
        said = self.ask_to_drain(name, reason)
        self.advance(self.slow)
        return said

    def ask_to_drain(self, name: str, reason: str) -> Drain:
        self.answer("collector")
        vm = self.of_name(name)
        if vm is None or name not in self.machines():
            return Drain.ABSENT
        self.reach(vm)
        if vm.draining is not None:
            return Drain.ALREADY
        if vm.jobs:
            return Drain.REFUSED
        vm.draining = reason
        return Drain.DRAINED

    def retire(self, name: str, reason: str) -> None:
        vm = self.of_name(name)
        if vm:
            self.reach(vm)
            vm.draining = vm.draining or reason

    def revive(self, name: str) -> None:
        vm = self.of_name(name)
        if vm is None:
            raise OutsideError(f"{name} isn't there")
        self.reach(vm)
        vm.draining, vm.idle_since = None, self.now

    def look_again(self) -> None:
        self.answer("schedd")

    def negotiate(self) -> None:
        self.answer("schedd")

    def reach(self, vm: Vm) -> None:
        if self.out_of_reach(vm):
            raise OutsideError(f"{vm.server.name} doesn't answer")

    def forget(self, names: Iterable[str]) -> None:
        self.answer("collector")
        for name in names:
            self.ghosts.pop(name, None)
            self.last_heard.pop(name, None)


class Worker:
    """Does what it is given at its own pace: it begins after some looks, and tells that it has ended after more."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.before, self.after = world.pace
        self.work: Callable[[], Outcome] | None = None
        self.outcome = Outcome()
        self.told: Future[Outcome] = Future()

    def submit(self, work: Callable[..., Outcome], *arguments: Any) -> "Future[Outcome]":
        self.before, self.after = self.world.pace
        self.work, self.told = partial(work, *arguments), Future()
        self.go_on()
        return self.told

    def go_on(self) -> None:
        """To be called between two looks."""
        if self.work and not self.before:
            self.outcome, self.work = self.work(), None
        elif self.work:
            self.before -= 1
            return
        if self.after:
            self.after -= 1
        elif not self.told.done():
            self.told.set_result(self.outcome)


def happens(**drawn: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A rule after which some time passes, or none: of faults that only pile up none is met."""

    def with_time(happening: Callable[..., None]) -> Callable[..., None]:
        @wraps(happening)
        def then_time_passes(self: "Life", looks: int, **values: Any) -> None:
            happening(self, **values)
            for _ in range(looks):
                self.look()

        as_rule: Callable[[Callable[..., None]], Callable[..., None]] = rule(looks=st.integers(0, 10), **drawn)
        return as_rule(then_time_passes)

    return with_time


class Life(RuleBasedStateMachine):
    """Faults in any order, between looks of the controller."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.patches = pytest.MonkeyPatch()
        asked = (
            "jobs",
            "machines",
            "running_on",
            "whole_slot",
            "drain",
            "retire",
            "revive",
            "forget",
            "look_again",
            "negotiate",
        )
        for name in asked:
            self.patches.setattr(pool, name, getattr(self.world, name))
        # Slaves are named by chance, and what is done is ordered by their names.
        self.patches.setattr(secrets, "choice", random.Random(1).choice)  # noqa: S311 - the same in each run
        # So are the answers to what is asked side by side.
        self.patches.setattr(apply, "ABREAST", 1)
        self.folder = tempfile.TemporaryDirectory()
        self.requests = Requests(Path(self.folder.name))
        self.requests.drains.mkdir()
        self.start_controller()

    @initialize(minimum=st.integers(0, 2))
    def begin(self, minimum: int) -> None:
        self.world.settings = self.world.settings.model_copy(update={"min_slaves": minimum})

    def start_controller(self) -> None:
        folder = Path(self.folder.name)
        (folder / "key").write_bytes(b"key")
        world: Any = self.world
        self.worker = Worker(self.world)
        worker: Any = self.worker
        tools = Tools(world, world, folder / "key", "s-", self.world.clock)
        memory_file = MemoryFile(folder / "memory.json")
        reporter = Reporter(
            folder / "status.json",
            Status(self.world.clock(), self.world.clock()),
            Journal(folder / "journal"),
            Metrics(CollectorRegistry()),
        )
        memory = memory_file.load()
        self.loop = Loop(
            tools,
            memory,
            memory_file,
            reporter,
            Releases(folder / "release.json"),
            self.world.clock,
            worker,
            requests=self.requests,
        )

    def look(self) -> None:
        try:
            self.worker.go_on()
            self.loop.tick()
        except KilledError:
            self.start_controller()
        self.nothing_is_made_in_the_place_of_slaves_that_will_be_back()
        self.world.advance(STEP)

    def nothing_is_made_in_the_place_of_slaves_that_will_be_back(self) -> None:
        world = self.world
        if world.left_until <= world.now or world.list_is_short_until > world.now:
            return
        left = {
            vm.server.name
            for vm in world.vms.values()
            if vm.server.name in world.left & self.loop.memory.joined & world.in_state.keys()
            and world.takes_jobs(vm)
            and vm.server.made_from == world.settings.fingerprint
            and not (self.requests.drains / vm.server.name).exists()
        }
        reasons = self.loop.reporter.status.reasons
        enough = len(world.waiting) + world.stuck + world.settings.spare_slots <= len(left)
        assert not (enough and left and any(reason.startswith("grow:") for reason in reasons)), (left, reasons)

    @rule(looks=st.integers(1, 30))
    def time_passes(self, looks: int) -> None:
        for _ in range(looks):
            self.look()

    @happens(count=st.integers(1, 6), seconds=st.integers(1, 120))
    def users_submit(self, count: int, seconds: int) -> None:
        self.world.waiting += [timedelta(seconds=seconds)] * count
        self.world.submitted += count

    @happens(what=st.sampled_from(["nova", "schedd", "collector", "backend", "lock"]), seconds=st.integers(5, 100))
    def something_is_away(self, what: str, seconds: int) -> None:
        end = self.world.now + timedelta(seconds=seconds)
        self.world.down[what] = max(end, self.world.down.get(what, START))

    @happens(ending=st.sampled_from(["killed", "engine killed", "failed"]), after=st.integers(0, 3))
    def the_next_update_is_interrupted(self, ending: str, after: int) -> None:
        self.world.next_update = (ending, after)

    @happens(seconds=st.integers(1, 100))
    def somebody_elses_update_makes_a_slave(self, seconds: int) -> None:
        server_id = self.world.make(f"s-other-{next(self.world.ids)}")
        end = self.world.now + timedelta(seconds=seconds)
        self.world.foreign.add(server_id)
        self.world.in_the_making[server_id] = end
        self.world.down["lock"] = max(end, self.world.down.get("lock", START))

    @precondition(lambda self: self.world.vms)
    @happens(data=st.data())
    def a_server_is_deleted_by_hand(self, data: st.DataObject) -> None:
        self.world.lose(data.draw(st.sampled_from(sorted(self.world.vms))), by_controller=False)

    @precondition(lambda self: self.world.vms)
    @happens(data=st.data(), status=st.sampled_from(["ERROR", "SHUTOFF"]))
    def a_server_fails(self, data: st.DataObject, status: str) -> None:
        vm = self.world.vms[data.draw(st.sampled_from(sorted(self.world.vms)))]
        self.world.waiting += [timedelta(seconds=30) for _ in vm.jobs]
        vm.jobs, vm.server, vm.goes_on = [], replace(vm.server, status=status), False

    @precondition(lambda self: self.world.vms)
    @happens(data=st.data())
    def a_server_is_in_error_and_goes_on(self, data: st.DataObject) -> None:
        vm = self.world.vms[data.draw(st.sampled_from(sorted(self.world.vms)))]
        if self.world.joined(vm):
            vm.goes_on, vm.server = True, replace(vm.server, status="ERROR")

    @precondition(lambda self: self.world.vms.keys() & set(self.world.in_state.values()))
    @happens(data=st.data())
    def somebody_takes_the_clusters_tag_from_a_slave(self, data: st.DataObject) -> None:
        known = self.world.vms.keys() & set(self.world.in_state.values())
        vm = self.world.vms[data.draw(st.sampled_from(sorted(known)))]
        vm.server = replace(vm.server, slave_of="")

    @precondition(lambda self: self.world.vms)
    @happens(data=st.data())
    def a_server_cannot_be_deleted_for_now(self, data: st.DataObject) -> None:
        self.world.vms[data.draw(st.sampled_from(sorted(self.world.vms)))].undeletable = True

    @precondition(lambda self: any(not vm.sound for vm in self.world.vms.values()))
    @happens()
    def slaves_that_never_came_do_so_late(self) -> None:
        for vm in self.world.vms.values():
            vm.sound = True

    @precondition(lambda self: any(vm.server.deleting for vm in self.world.vms.values()))
    @happens()
    def nova_carries_a_deletion_out(self) -> None:
        for server_id in [key for key, vm in self.world.vms.items() if vm.server.deleting]:
            self.world.lose(server_id, by_controller=True)

    @happens(sound=st.booleans())
    def new_slaves_boot_or_never_do(self, *, sound: bool) -> None:
        self.world.next_slaves_sound = sound

    @happens(quota=st.integers(0, 6))
    def the_quota_changes(self, quota: int) -> None:
        self.world.quota = quota

    @happens(most=st.integers(2, 5))
    def the_user_changes_the_maximum(self, most: int) -> None:
        self.world.maximum_before, self.world.maximum_since = self.world.most_slaves(), self.world.now
        self.world.settings = self.world.settings.model_copy(update={"max_slaves": most})

    @happens(slots=st.integers(0, 3))
    def the_user_wants_slots_to_spare(self, slots: int) -> None:
        self.world.settings = self.world.settings.model_copy(update={"spare_slots": slots})

    @happens(before=st.integers(0, 10), after=st.integers(0, 10))
    def updates_take_their_time(self, before: int, after: int) -> None:
        self.world.pace = before, after

    @happens(seconds=st.sampled_from([-86_400, -3600, -100, 100, 3600, 86_400]))
    def the_masters_clock_jumps(self, seconds: int) -> None:
        self.world.jump, self.world.jumped_at = timedelta(seconds=seconds), self.world.now
        self.world.skew += self.world.jump

    @happens(seconds=st.integers(5, 100))
    def novas_list_is_cut_short(self, seconds: int) -> None:
        self.world.list_is_short_until = self.world.now + timedelta(seconds=seconds)

    @precondition(lambda self: self.world.down.get("collector", START) <= self.world.now)
    @happens(seconds=st.integers(1, 60))
    def the_collector_restarts(self, seconds: int) -> None:
        self.world.restart_collector(seconds)

    @happens(seconds=st.integers(0, 20))
    def drains_take_their_time(self, seconds: int) -> None:
        self.world.slow = timedelta(seconds=seconds)

    @precondition(lambda self: self.world.vms)
    @happens(data=st.data(), seconds=st.integers(5, 3000))
    def a_slave_is_out_of_reach(self, data: st.DataObject, seconds: int) -> None:
        vm = self.world.vms[data.draw(st.sampled_from(sorted(self.world.vms)))]
        name = vm.server.name
        if self.world.joined(vm) and not self.world.out_of_reach(vm):
            self.world.last_heard[name] = self.world.machine(vm), self.world.now
        self.world.unreachable[name] = self.world.now + timedelta(seconds=seconds)

    @happens(by=st.integers(0, 3))
    def ads_come_late(self, by: int) -> None:
        self.world.ads_late = by

    @happens(count=st.integers(1, 3))
    def users_submit_what_no_free_slot_starts(self, count: int) -> None:
        self.world.stuck += count

    @happens()
    def users_remove_what_is_stuck(self) -> None:
        self.world.stuck = 0

    @precondition(lambda self: self.world.in_state)
    @happens()
    def the_users_refresh_finds_what_is_gone(self) -> None:
        world = self.world
        if world.down.get("lock", START) <= world.now:
            world.in_state = {name: id_ for name, id_ in world.in_state.items() if id_ in world.vms}

    @happens(image=st.sampled_from("ij"))
    def the_user_wants_slaves_of_another_image(self, image: str) -> None:
        slave = self.world.settings.slave.model_copy(update={"image_id": image})
        self.world.settings = self.world.settings.model_copy(update={"slave": slave})

    @happens()
    def somebody_asks_for_old_slaves_to_be_replaced(self) -> None:
        self.requests.recycle.touch()
        os.utime(self.requests.recycle, times=(self.world.clock().timestamp(),) * 2)

    @precondition(lambda self: self.world.vms)
    @happens(data=st.data())
    def somebody_asks_for_a_drain(self, data: st.DataObject) -> None:
        names = sorted(vm.server.name for vm in self.world.vms.values())
        (self.requests.drains / data.draw(st.sampled_from(names))).touch()

    @happens()
    def somebody_pauses_the_controller(self) -> None:
        self.requests.pause.touch()

    @happens()
    def somebody_lets_it_go_on(self) -> None:
        self.requests.pause.unlink(missing_ok=True)

    @happens()
    def the_controller_is_killed(self) -> None:
        self.start_controller()

    @invariant()
    def no_job_was_killed_by_the_controller(self) -> None:
        assert self.world.killed_jobs == []

    @invariant()
    def no_job_is_lost(self) -> None:
        running = sum(len(vm.jobs) for vm in self.world.vms.values())
        assert self.world.done + running + len(self.world.waiting) == self.world.submitted

    def teardown(self) -> None:
        try:
            self.world.advance(timedelta(seconds=100))  # updates of others end
            self.world.down, self.world.next_update, self.world.unreachable = {}, ("", 0), {}
            self.requests.pause.unlink(missing_ok=True)
            for vm in self.world.vms.values():
                vm.undeletable = False
            self.world.stuck, self.world.ads_late, self.world.list_is_short_until = 0, 0, START
            self.world.slow = timedelta(0)
            self.world.next_slaves_sound, self.world.quota = True, 6
            # An hour of backing off, the time for slaves that never join, and the jobs.
            end = self.world.now + timedelta(hours=2)
            while self.world.now < end and not self.settled():
                self.look()
            assert self.settled(), self.loop.reporter.status.reasons
            self.look()
            again = replay(Path(self.folder.name, "journal"))
            assert (again.differences, again.unreadable) == ((), ())
        finally:
            self.patches.undo()
            self.folder.cleanup()

    def settled(self) -> bool:
        """Whether all jobs are done and the minimum of slaves is there, all known to the state."""
        world = self.world
        servers = {vm.server.name: vm.server.id for vm in world.vms.values()}
        quiet = not world.waiting and world.done == world.submitted and not world.ghosts and not world.pending
        drained = any(vm.draining is not None for vm in world.vms.values())
        asked = self.requests.recycle.exists() or any(self.requests.drains.iterdir())
        known = servers == world.in_state and len(servers) == world.settings.min_slaves
        return quiet and known and not drained and not asked and not self.loop.applying


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=20)


@pytest.fixture
def life() -> Iterator[Life]:
    """The same world, for happenings in a given order."""
    made = Life()
    yield made
    made.teardown()


def test_jobs_that_come_when_the_collector_has_restarted_get_the_slaves_that_are_back_soon(life: Life) -> None:
    life.users_submit(count=2, seconds=1, looks=14)
    slaves = set(life.world.vms)
    assert slaves
    life.the_collector_restarts(seconds=60, looks=1)
    life.users_submit(count=2, seconds=1, looks=10)
    assert set(life.world.vms) == slaves


def test_a_late_slave_that_gets_a_job_while_others_are_asked_keeps_it(life: Life) -> None:
    """Their `joinTimeout` is just over when they join, and each answer takes its time."""
    world = life.world
    world.settings = world.settings.model_copy(update={"join_timeout": 60})
    life.users_submit(count=8, seconds=300, looks=2)
    late = list(world.vms.values())
    assert len(late) > 1
    world.unreachable = {vm.server.name: world.now + timedelta(seconds=65) for vm in late}
    life.drains_take_their_time(seconds=20, looks=25)
    assert all(vm.jobs for vm in late)
    assert world.killed_jobs == []

"""The controller in a made-up world in which everything goes wrong: whatever happens, its promises hold.

The loop, the looking, the rule and the carrying out are the real ones; only HTCondor, OpenStack and Pulumi are played.
"""

import itertools
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from cluster.program import Change
from controller import pool
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
from controller.servers import Server
from controller.state import View
from controller.status import Status
from tests.controller.made_up import SETTINGS

START = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = Room(cpus=1, memory_mib=100, disk_kib=1000)
SLAVE = Room(cpus=2, memory_mib=2000, disk_kib=4_000_000)
BUILD, JOIN = timedelta(seconds=10), timedelta(seconds=25)
STEP = timedelta(seconds=3)


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
        self.done = self.submitted = 0
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
                vm.server = replace_status(vm.server, "ACTIVE")
        for vm in self.vms.values():
            while self.waiting and self.joined(vm) and vm.draining is None and len(vm.jobs) < 2:
                vm.jobs.append(self.now + self.waiting.pop())

    def joined(self, vm: Vm) -> bool:
        return vm.sound and vm.server.status == "ACTIVE" and self.now - vm.server.created_at >= JOIN

    def lose(self, name: str, *, by_controller: bool) -> None:
        """A server ends; its jobs go back to the queue."""
        assert not (by_controller and name in self.in_the_making), "never removes what another update makes"
        vm = self.vms.pop(name)
        if vm.jobs and by_controller:
            self.killed_jobs.append(name)
        if self.joined(vm):
            self.ghosts[vm.server.name] = self.machine(vm), self.now
        self.waiting += [timedelta(seconds=30) for _ in vm.jobs]

    def answer(self, what: str) -> None:
        """Fails while `what` is away."""
        if self.down.get(what, START) > self.now:
            raise OutsideError(f"{what} is away")

    # --- OpenStack

    def slaves(self, _cluster_id: str) -> tuple[Server, ...]:
        self.answer("nova")
        return tuple(vm.server for vm in self.vms.values())

    def quota_left(self, _flavor: object) -> int:
        self.answer("nova")
        return max(0, self.quota - len(self.vms))

    def exists(self, server_id: str) -> bool:
        self.answer("nova")
        return server_id in self.vms

    def delete(self, server_id: str) -> None:
        self.answer("nova")
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

    def recover(self) -> None:
        self.answer("backend")
        self.locked()
        self.pending = False

    def locked(self) -> None:
        if self.down.get("lock", START) > self.now:
            raise LockedError("the stack is locked by ada@laptop (pid 7)")

    def change(self, change: Change, _template: object, on_delete: Callable[[str], None]) -> None:
        self.answer("backend")
        self.locked()
        self.answer("nova")
        alive = len(self.vms.keys() - self.foreign) + len(change.create)
        assert not change.create or alive <= self.most_slaves(), "never over maxSlaves"
        (ending, after), self.next_update = self.next_update, ("", 0)
        for step, (verb, name) in enumerate(
            [*(("make", n) for n in change.create), *(("drop", n) for n in change.remove)]
        ):
            if ending and step == after:
                self.end_update(ending, verb, name)
            if verb == "make":
                if len(self.vms) >= self.quota:
                    raise UpdateFailedError("Quota exceeded for instances")
                self.in_state[name] = self.make(name)
            else:
                server_id = self.in_state.pop(name)
                if server_id in self.vms:
                    self.lose(server_id, by_controller=True)
                on_delete(name)

    def end_update(self, ending: str, verb: str, name: str) -> NoReturn:
        """The engine ends in the middle of a step; what it was making is there, and nobody knows."""
        if verb == "make" and len(self.vms) < self.quota:
            self.make(name)
            self.pending = True
        if ending == "killed":
            raise KilledError
        raise UpdateFailedError("the engine was killed")

    def make(self, name: str) -> str:
        server_id = f"id-{next(self.ids)}"
        server = Server(server_id, name, "BUILD", self.now, made_from=self.settings.fingerprint)
        self.vms[server_id] = Vm(server, self.next_slaves_sound, idle_since=self.now + JOIN)
        return server_id

    def most_slaves(self) -> int:
        """The user's maximum; a new one takes the controller a while to see."""
        seen = self.now - self.maximum_since > STATE_EVERY + STEP
        return self.settings.max_slaves if seen else max(self.settings.max_slaves, self.maximum_before)

    # --- HTCondor

    def jobs(self, _template: object, _waiting_time: int | None) -> tuple[JobGroup, ...]:
        self.answer("schedd")
        return (JobGroup(REQUEST, len(self.waiting), 0),) if self.waiting else ()

    def machines(self) -> dict[str, Machine]:
        self.answer("collector")
        alive = {vm.server.name: self.machine(vm) for vm in self.vms.values() if self.joined(vm)}
        dead = {
            name: replace(machine, ad_age=Seconds((self.now - end).total_seconds()))
            for name, (machine, end) in self.ghosts.items()
        }
        return dead | alive

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
        self.answer("collector")
        vm = self.of_name(name)
        if vm is None:
            return Drain.ABSENT
        if vm.jobs:
            return Drain.REFUSED
        vm.draining = reason
        return Drain.DRAINED

    def retire(self, name: str, reason: str) -> None:
        vm = self.of_name(name)
        if vm:
            vm.draining = reason

    def revive(self, name: str) -> None:
        vm = self.of_name(name)
        if vm is None:
            raise OutsideError(f"{name} isn't there")
        vm.draining, vm.idle_since = None, self.now

    def forget(self, names: Iterable[str]) -> None:
        self.answer("collector")
        for name in names:
            self.ghosts.pop(name, None)


def replace_status(server: Server, status: str) -> Server:
    return Server(server.id, server.name, status, server.created_at, made_from=server.made_from)


class AtOnce:
    """A worker that does what it is given right away."""

    def submit(self, work: Callable[..., Outcome], *arguments: Any) -> "Future[Outcome]":
        future: Future[Outcome] = Future()
        future.set_result(work(*arguments))
        return future


class Life(RuleBasedStateMachine):
    """Faults in any order, between looks of the controller."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.patches = pytest.MonkeyPatch()
        for name in ("jobs", "machines", "running_on", "whole_slot", "drain", "retire", "revive", "forget"):
            self.patches.setattr(pool, name, getattr(self.world, name))
        self.folder = tempfile.TemporaryDirectory()
        self.start_controller()

    @initialize(minimum=st.integers(0, 2))
    def begin(self, minimum: int) -> None:
        self.world.settings = self.world.settings.model_copy(update={"min_slaves": minimum})

    def start_controller(self) -> None:
        folder = Path(self.folder.name)
        (folder / "key").write_bytes(b"key")
        world: Any = self.world
        worker: Any = AtOnce()
        tools = Tools(world, world, folder / "key", "s-", lambda: self.world.now)
        memory_file = MemoryFile(folder / "memory.json")
        reporter = Reporter(
            folder / "status.json",
            Status(self.world.now, self.world.now),
            Journal(folder / "journal"),
            Metrics(CollectorRegistry()),
        )
        memory = memory_file.load(self.world.now)
        self.loop = Loop(
            tools,
            memory,
            memory_file,
            reporter,
            Releases(folder / "release.json"),
            threading.Event(),
            lambda: self.world.now,
            worker,
        )

    def look(self) -> None:
        try:
            self.loop.tick()
        except KilledError:
            self.start_controller()
        self.world.advance(STEP)

    @rule(looks=st.integers(1, 30))
    def time_passes(self, looks: int) -> None:
        for _ in range(looks):
            self.look()

    @rule(count=st.integers(1, 6), seconds=st.integers(1, 120))
    def users_submit(self, count: int, seconds: int) -> None:
        self.world.waiting += [timedelta(seconds=seconds)] * count
        self.world.submitted += count

    @rule(what=st.sampled_from(["nova", "schedd", "collector", "backend", "lock"]), seconds=st.integers(5, 100))
    def something_is_away(self, what: str, seconds: int) -> None:
        end = self.world.now + timedelta(seconds=seconds)
        self.world.down[what] = max(end, self.world.down.get(what, START))

    @rule(ending=st.sampled_from(["killed", "failed"]), after=st.integers(0, 3))
    def the_next_update_is_interrupted(self, ending: str, after: int) -> None:
        self.world.next_update = (ending, after)

    @rule(seconds=st.integers(1, 100))
    def somebody_elses_update_makes_a_slave(self, seconds: int) -> None:
        server_id = self.world.make(f"s-other-{next(self.world.ids)}")
        end = self.world.now + timedelta(seconds=seconds)
        self.world.foreign.add(server_id)
        self.world.in_the_making[server_id] = end
        self.world.down["lock"] = max(end, self.world.down.get("lock", START))

    @precondition(lambda self: self.world.vms)
    @rule(data=st.data())
    def a_server_is_deleted_by_hand(self, data: st.DataObject) -> None:
        self.world.lose(data.draw(st.sampled_from(sorted(self.world.vms))), by_controller=False)

    @precondition(lambda self: self.world.vms)
    @rule(data=st.data(), status=st.sampled_from(["ERROR", "SHUTOFF"]))
    def a_server_fails(self, data: st.DataObject, status: str) -> None:
        vm = self.world.vms[data.draw(st.sampled_from(sorted(self.world.vms)))]
        self.world.waiting += [timedelta(seconds=30) for _ in vm.jobs]
        vm.jobs, vm.server = [], replace_status(vm.server, status)

    @rule(sound=st.booleans())
    def new_slaves_boot_or_never_do(self, *, sound: bool) -> None:
        self.world.next_slaves_sound = sound

    @rule(quota=st.integers(0, 6))
    def the_quota_changes(self, quota: int) -> None:
        self.world.quota = quota

    @rule(most=st.integers(2, 5))
    def the_user_changes_the_maximum(self, most: int) -> None:
        self.world.maximum_before, self.world.maximum_since = self.world.most_slaves(), self.world.now
        self.world.settings = self.world.settings.model_copy(update={"max_slaves": most})

    @rule()
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
            self.world.down, self.world.next_update = {}, ("", 0)
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
        return quiet and servers == world.in_state and len(servers) == world.settings.min_slaves


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=20)

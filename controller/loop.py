"""Observe, decide, apply, and again: what runs on the master, and when it looks at what."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from cluster.errors import EcmError
from cluster.report import Shared
from controller import checks, command, heartbeat, pool, template
from controller.apply import Outcome, Tools, apply, forget, look_again, negotiate
from controller.decide import decide, removals_over
from controller.disk import BestEffort
from controller.errors import LockedError, OutsideError
from controller.masking import masked
from controller.memory_file import MemoryFile
from controller.model import Limits, Phase, Seconds, Snapshot, Trouble
from controller.observe import Memory, observe
from controller.release import Releases
from controller.reporter import Reporter
from controller.requests import Requests
from controller.state import View

log = structlog.get_logger()

STATE_EVERY = timedelta(seconds=50)
"""How often the state is read without a cause: this is how a new `maxSlaves` gets here, within a minute.

It takes a third of a second of a core: most of what the controller needs when there is nothing to do."""
GLANCE_EVERY = 1.0
"""Seconds between two short looks for a first job: a tenth of what a whole one takes."""
LOCK_PAUSE = timedelta(seconds=5)
STOP_PATIENCE = 30.0
"""Seconds that what runs of Pulumi has to end by itself when the controller is to. Servers that are being made then are
waited for; systemd kills everything 400 s after it has asked (TimeoutStopSec)."""
WITHOUT_STATE = 5.0
UNRECOVERED = 15.0
"""The same after a recovery that failed: each try holds the stack's lock for a while."""


@dataclass(frozen=True, slots=True)
class Rest:
    """The time until the next look."""

    seconds: float
    empty: bool = False
    """Whether no job waits, for sure, and nothing is under way: the first job then ends it early."""


@dataclass(slots=True)
class Loop:
    """One controller. `run` returns after `tools.stop` is set, with no update running."""

    tools: Tools
    memory: Memory
    memory_file: MemoryFile
    reporter: Reporter
    releases: Releases
    clock: Callable[[], datetime]
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    applying: "Future[Outcome] | None" = None
    asked: set[str] = field(default_factory=set)
    """Slaves that the plan being carried out is to drain or remove."""
    view: View | None = None
    view_at: datetime | None = None
    locked_at: datetime | None = None
    recovered: bool = False
    checked: Shared | None = None
    proved: bool = False
    hurried: bool = False
    """Whether the patience with what runs of Pulumi is over."""
    requests: Requests = field(default_factory=Requests)
    attempt: BestEffort = field(default_factory=BestEffort)

    def run(self) -> None:
        """Ticks until it is stopped, then has a running update end."""
        with heartbeat.beating() as ticked, self._hurrying(), self.worker:
            while not self.tools.stop.is_set():
                rest = self.tick()
                ticked()
                self._rest(rest)
            if not self.proved:
                self.attempt("end of the release", self.releases.forgive)
            if self.applying:
                self._end(self.applying)

    @contextmanager
    def _hurrying(self) -> Iterator[None]:
        over = threading.Event()
        threading.Thread(target=self._hurry, args=(over,), name="hurry", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _hurry(self, over: threading.Event) -> None:
        """Has what still runs of Pulumi end early, some time after the controller was told to; until all is over.

        That is an update, a recovery, or whatever has begun since.
        """
        self.tools.stop.wait()
        patience = STOP_PATIENCE
        while not over.wait(patience):
            self.hurried = True
            if command.interrupt():
                log.info("pulumi is to end early: an update notes what it has made and begins nothing more")
            patience = 1.0

    def _end(self, applying: "Future[Outcome]") -> None:
        """Lets the running update end."""
        log.info("controller waits for the running update")
        outcome = _outcome(applying)
        early = outcome.ended_early or (self.hurried and not outcome.updated)
        self._settle(replace(outcome, ended_early=early))

    def _rest(self, rest: Rest) -> None:
        until = time.monotonic() + rest.seconds
        while (left := until - time.monotonic()) > 0:
            if self.tools.stop.wait(min(left, GLANCE_EVERY) if rest.empty else left):
                return
            if rest.empty and left > GLANCE_EVERY and pool.waiting():
                return

    def tick(self) -> Rest:
        """One look, and a decision unless the last one is still being carried out."""
        if self.applying and self.applying.done():
            self._settle(_outcome(self.applying))
        if self.locked_at and _over(self.locked_at, LOCK_PAUSE, self.clock()):
            self.memory.locked, self.locked_at = "", None
        wait = WITHOUT_STATE
        try:
            wanted = self._read().release
            # First, for the other release may be the one that can recover.
            if not self.applying and self.releases.due(wanted, self.clock()):
                log.info("controller ends: the state has another release", release=wanted)
                self.tools.stop.set()
                return Rest(0)
            wait = UNRECOVERED
            view = self._recovered()
        except (OutsideError, EcmError) as error:
            self.reporter.waits(str(error), self.clock(), unknown=(str(error),))
            return Rest(wait)
        now, settings = self.clock(), view.settings
        if not settings:
            self.reporter.waits(view.lacking, now)
            return Rest(WITHOUT_STATE)
        if settings != self.checked:
            self.checked, self.reporter.console_logs = settings, settings.console_logs
            checks.settings(settings, self.tools.cloud)
        seen = self.requests.into(observe(self.tools.cloud, view, settings, self.memory, now))
        self._hurry_htcondor(seen, now)
        met = partial(self.requests.forget_met, seen, self.view_at or now, self.clock())
        self.attempt("requests that were met", met)
        self.memory_file.save(self.memory)
        allowed = limits(settings, self.memory.offer(settings))
        self.reporter.looked(seen, allowed, now)
        if not seen.unknown and not self.proved:
            self.proved = True
            self.attempt("proof of the release", self.releases.prove)
        self.recovered = self.recovered and not any(slave.phase is Phase.DOUBTFUL for slave in seen.slaves)
        if not self.applying and not self.tools.stop.is_set():
            self._decide(seen, allowed, settings, now)
        return Rest(settings.poll_interval, empty=not (seen.jobs or seen.unknown or self.applying))

    def _hurry_htcondor(self, seen: Snapshot, now: datetime) -> None:
        """Has it do at once what it would do later, or never."""
        if seen.unknown or seen.paused or self.tools.stop.is_set():
            return
        if self.memory.watch.overlooked(now):
            look_again()
        if self.memory.arrived and any(not group.impossible for group in seen.jobs):
            negotiate()
        self.memory.arrived = False

    def _decide(self, seen: Snapshot, allowed: Limits, settings: Shared, now: datetime) -> None:
        """Decides, and has it carried out."""
        plan = decide(seen, allowed, now)
        self.reporter.decided(plan, seen, allowed, now)
        if removals_over(plan, seen, now):
            self.memory.setbacks.pop(Trouble.REMOVALS, None)
        if plan.acts:
            self.asked = {*plan.retire, *(removal.slave for removal in plan.remove)}
            self.applying = self.worker.submit(apply, plan, seen, settings, self.tools)
            self.memory.updating = True

    def _settle(self, outcome: Outcome) -> None:
        """Takes in what came of the last plan. The state has to be read anew, and after a failure to be recovered."""
        now = self.clock()
        self.applying, self.view_at, self.memory.updating = None, None, False
        self.reporter.ended(outcome, now)
        self.memory.updated()
        if not outcome.ended_early:
            for trouble in outcome.tried - outcome.failures.keys():
                self.memory.setbacks.pop(trouble, None)
            for trouble, why in outcome.failures.items():
                self.memory.failed(trouble, why, now)
            self.memory.never_joined(outcome.never_joined, now)
        self.memory.asked(self.asked, outcome.stayed, now)
        if outcome.locked:
            self.memory.locked, self.locked_at = outcome.locked, now
        if (outcome.tried and outcome.failures) or outcome.locked:
            self.recovered = False
        self.memory_file.save(self.memory)

    def _read(self) -> View:
        """The state, no older than `STATE_EVERY`; while an update runs, as it was before."""
        now = self.clock()
        if self.view is None or (not self.applying and (self.view_at is None or _over(self.view_at, STATE_EVERY, now))):
            self.view, self.view_at = self.tools.state.read(), now
        return self.view

    def _recovered(self) -> View:
        """The same, put right after interrupted updates where that is due."""
        view = self._read()
        if self.applying or not view.settings or self.memory.locked or (self.recovered and not view.pending):
            return view
        if self.requests.paused():
            return view  # somebody else works on the state, maybe
        try:
            self._recover(view.settings)
        except LockedError as error:
            self.memory.locked, self.locked_at = str(error), self.clock()
        return self._read()

    def _recover(self, settings: Shared) -> None:
        """Puts the state right after an interrupted update, and finds out which servers that one left.

        A recovery holds the lock for a moment. What was there before it, and isn't in the state that is read after it,
        no update is making any more: that one would have held the lock, or have noted the server in the state.
        """
        there = {server.id for server in self.tools.cloud.slaves(settings.slave.cluster_id)}
        lost = self.tools.state.recover(there)
        self.view_at, self.view = self.clock(), self.tools.state.read()
        if gone := lost - self.view.slaves.keys():
            forget(*sorted(gone))
        self.memory.left_over = frozenset(there - set(self.view.slaves.values()))
        self.recovered = True


def _outcome(applied: "Future[Outcome]") -> Outcome:
    """What came of a plan. One that ended with an error that nobody expects may have been in an update."""
    try:
        return applied.result()
    except Exception as error:  # noqa: BLE001 - the next controller would likely do the same
        why = str(masked(f"{type(error).__name__}: {' '.join(str(error).split())}"))[:200]
        log.error("plan failed", why=why)
        tried = frozenset({Trouble.UPDATES, Trouble.REMOVALS})
        return Outcome(tried=tried, failures=dict.fromkeys(tried, why))


def _over(since: datetime, span: timedelta, now: datetime) -> bool:
    """Whether a span is over. One that begins in the future is: the clock was set back, maybe by hours."""
    return not timedelta(0) <= now - since < span


def limits(settings: Shared, offered: Mapping[str, Any]) -> Limits:
    """The user's limits, and what a new slave will advertise, as the decision takes them."""
    return Limits(
        min_slaves=settings.min_slaves,
        max_slaves=settings.max_slaves,
        jobs_per_slave=settings.offer.jobs,
        idle_time=Seconds(settings.idle_time),
        join_timeout=Seconds(settings.join_timeout),
        waiting_jobs_threshold=settings.waiting_jobs_threshold,
        offer=template.room(offered),
        spare_slots=settings.spare_slots,
        gpus_known="GPUs" in offered,
    )

"""Observe, decide, apply, and again: what runs on the master, and when it looks at what."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from cluster.errors import EcmError
from cluster.report import Shared
from controller import requests, template
from controller.apply import Outcome, Tools, apply
from controller.decide import decide
from controller.errors import LockedError, OutsideError
from controller.model import Limits, Plan, Room, Seconds, Snapshot, Trouble, Why
from controller.observe import Memory, observe
from controller.state import View

log = structlog.get_logger()

STATE_EVERY = timedelta(seconds=30)
"""How often the state is read without a cause: this is how a new `maxSlaves` gets here."""
LOCK_PAUSE = timedelta(seconds=5)
WITHOUT_STATE = 5.0


@dataclass(slots=True)
class Loop:
    """One controller. `run` returns after `stop` is set, with no update running."""

    tools: Tools
    memory: Memory
    status_file: Path
    stop: threading.Event
    clock: Callable[[], datetime]
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    applying: "Future[Outcome] | None" = None
    applying_since: datetime | None = None
    view: View | None = None
    view_at: datetime | None = None
    locked_at: datetime | None = None
    recovered: bool = False
    said: tuple[str, ...] = ()
    requests: Path = requests.FOLDER
    """Where people's requests are."""

    def run(self) -> None:
        """Ticks until it is stopped, then lets a running update end."""
        with self.worker:
            while not self.stop.is_set():
                self.stop.wait(self.tick())
            if self.applying:
                log.info("controller waits for the running update")

    def tick(self) -> float:
        """One look, and a decision unless the last one is still being carried out.

        Returns the seconds until the next.
        """
        if self.applying and self.applying.done():
            self._settle(self.applying.result())
        if self.locked_at and self.clock() - self.locked_at > LOCK_PAUSE:
            self.memory.locked, self.locked_at = "", None
        try:
            settings = self._settings()
        except (OutsideError, EcmError) as error:
            self._tell(Plan(), Snapshot(unknown=(str(error),)), (f"waiting: {error}",))
            return WITHOUT_STATE
        if not settings:
            self._tell(Plan(), Snapshot(), ("waiting: the first `pulumi up` hasn't ended yet",))
            return WITHOUT_STATE
        now = self.clock()
        looked = observe(self.tools.cloud, self.view or View(), settings, self.memory, now)
        seen = replace(looked, paused=requests.paused(self.requests))
        if self.applying:
            why = f"{Why.UPDATING}: since {self.applying_since:%H:%M:%S}, for: {'; '.join(self.said)}"
            write_status(self.status_file, seen, (why,), now)
            return settings.poll_interval
        plan = decide(seen, limits(settings, template.room(self.memory.offer(settings))), now)
        self._tell(plan, seen, tuple(str(r) for r in (*plan.reasons, *(x.reason for x in plan.remove))))
        if plan.acts:
            self.applying_since = now
            self.applying = self.worker.submit(apply, plan, seen, settings, self.tools)
        return settings.poll_interval

    def _settle(self, outcome: Outcome) -> None:
        """Takes in what came of the last plan. The state has to be read anew, and after a failure to be recovered."""
        now = self.clock()
        self.applying, self.view_at = None, None
        self.memory.updated()
        if outcome.updated:
            self.memory.setbacks.pop(Trouble.UPDATES, None)
        if outcome.failed:
            self.memory.failed(Trouble.UPDATES, outcome.failed, now)
        for why in outcome.never_joined:
            self.memory.failed(Trouble.JOINS, why, now)
        if outcome.locked:
            self.memory.locked, self.locked_at = outcome.locked, now
        if outcome.failed or outcome.locked:
            self.recovered = False

    def _settings(self) -> Shared | None:
        """What the user set, no older than `STATE_EVERY`; the state is recovered from interrupted updates first."""
        if self.applying and self.view:
            return self.view.settings
        now = self.clock()
        if self.view is None or self.view_at is None or now - self.view_at > STATE_EVERY:
            self.view, self.view_at = self.tools.state.read(), now
        if self.view.settings and (self.view.pending or not self.recovered) and not self.memory.locked:
            try:
                self.tools.state.recover()
            except LockedError as error:
                self.memory.locked, self.locked_at = str(error), now
            else:
                self.view, self.view_at = self.tools.state.read(), now
                self.recovered = True
        return self.view.settings

    def _tell(self, plan: Plan, seen: Snapshot, reasons: tuple[str, ...]) -> None:
        """Writes the status; logs the reasons when they are new."""
        if reasons != self.said:
            self.said = reasons
            log.info("decided", create=plan.create, remove=[r.slave for r in plan.remove], reasons=list(reasons))
        write_status(self.status_file, seen, reasons, self.clock())


def limits(settings: Shared, offer: Room) -> Limits:
    """The user's limits, and what a new slave offers, as the decision takes them."""
    return Limits(
        min_slaves=settings.min_slaves,
        max_slaves=settings.max_slaves,
        jobs_per_slave=settings.offer.jobs,
        idle_time=Seconds(settings.idle_time),
        join_timeout=Seconds(settings.join_timeout),
        waiting_jobs_threshold=settings.waiting_jobs_threshold,
        offer=offer,
    )


def write_status(path: Path, seen: Snapshot, reasons: tuple[str, ...], now: datetime) -> None:
    """Writes what the controller sees and why it does what it does, whole or not at all. It holds no secret."""
    status: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "reasons": reasons,
        "idleJobs": sum(group.idle for group in seen.jobs),
        "quotaLeft": seen.quota_left,
        "unknown": seen.unknown,
        "slaves": [asdict(slave) for slave in seen.slaves],
    }
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(status, indent=1, default=str))
    draft.replace(path)

"""Says what the controller sees and does, to everybody who looks: the log, the journal, the status, the metrics."""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

import structlog

from controller import status, story
from controller.apply import Outcome
from controller.disk import BestEffort
from controller.journal import Decision, Ended, Journal
from controller.metrics import Metrics
from controller.model import Limits, Plan, Seconds, Snapshot, Why
from controller.status import CONTROLLER, Status, Update

log = structlog.get_logger()


@dataclass(slots=True)
class Reporter:
    """Is told of everything by the loop, and passes on what is new."""

    status_file: Path
    status: Status
    journal: Journal
    metrics: Metrics
    seen: Snapshot | None = None
    """What was last seen whole."""
    plan: Plan = field(default_factory=Plan)
    """The last one: while `status.update` is there, the one that is being carried out."""
    wanted_at: datetime | None = None
    """When the last new slaves were decided."""
    console_logs: bool = False
    """Whether the controller reads the consoles of slaves that fail."""
    attempt: BestEffort = field(default_factory=BestEffort)

    def waits(self, why: str, now: datetime, *, unknown: tuple[str, ...] = ()) -> None:
        """Nothing can be decided yet; `unknown` is what can't be read, if it is that."""
        reasons = (f"{status.NOT_READY}: {why}",)
        if reasons != self.status.reasons:
            log.info("controller waits", why=why)
        self.metrics.unanswered(unknown)
        self._show(replace(status.blind(self.status, unknown, now), reasons=reasons))

    def looked(self, seen: Snapshot, limits: Limits, now: datetime) -> None:
        """One look, whether or not a decision follows."""
        if self.seen is None and not seen.unknown:
            slaves = [f"{slave.name} {slave.phase}" for slave in seen.slaves]
            log.info("first look", idle_jobs=sum(group.idle for group in seen.jobs), slaves=slaves)
        elif self.seen:
            for event in story.changes(self.seen, seen):
                self._tell(event)
                self.metrics.happened(event, self.wanted_at, now)
        self.seen = story.last_known(self.seen or Snapshot(), seen)
        self.metrics.looked(seen, now)
        if update := self.status.update:
            why = f"{Why.UPDATING}: since {update.since:%H:%M:%S}, for: {'; '.join(update.reasons)}"
            self._show(replace(status.looked(self.status, seen, self.plan, limits, now), reasons=(why,)))

    def decided(self, plan: Plan, seen: Snapshot, limits: Limits, now: datetime) -> None:
        """One decision. A plan that acts is taken to be carried out from now on."""
        self.metrics.decided(plan)
        for event in story.intents(self.plan, plan, console_logs=self.console_logs):
            self._tell(event)
        reasons = tuple(str(reason) for reason in (*plan.reasons, *(removal.reason for removal in plan.remove)))
        removed = tuple(removal.slave for removal in plan.remove)
        turn = _kinds(plan) != _kinds(self.plan)
        if turn or (plan.acts and _acts(plan) != _acts(self.plan)):
            log.info("decided", **{act: what for act, what in _acts(plan).items() if what}, reasons=reasons)
        if turn or plan.acts:
            decision = Decision(now, seen, limits, plan, CONTROLLER)
            self.attempt("journal", lambda: self.journal.add(decision))
        update = Update(now, plan.create, removed, reasons, plan.revive, plan.retire) if plan.acts else None
        self.plan = plan
        if plan.create:
            self.wanted_at = now
        after = status.looked(self.status, seen, plan, limits, now)
        self._show(replace(after, reasons=reasons, update=update))

    def ended(self, outcome: Outcome, now: datetime) -> None:
        """The plan that was being carried out is at its end."""
        if not (update := self.status.update):
            return
        seconds = Seconds((now - update.since).total_seconds())
        result, why = _result(outcome)
        self.metrics.ended(result, seconds, len(outcome.refused))
        ended = Ended(update.since, now, seconds, asdict(outcome))
        self.attempt("journal", lambda: self.journal.add(ended))
        if outcome.updated:
            self.plan = Plan(reasons=self.plan.reasons)  # what is planned next is news, be it the same
        last = replace(update, ended=now, result=f"{result}: {why}" if why else result)
        self._show(replace(self.status, at=now, update=None, last_update=last))

    def _tell(self, event: story.Event) -> None:
        say = log.warning if event.what in story.TROUBLE else log.info
        match event.slaves:
            case ():
                say(event.what, why=event.why)
            case (slave,) if event.what is not story.What.LAUNCHED:
                say(event.what, slave=slave, **{"why": event.why} if event.why else {})
            case slaves:
                say(event.what, count=len(slaves), slaves=slaves, ids=event.ids)

    def _show(self, after: Status) -> None:
        self.status = after
        self.attempt("status", lambda: status.write(self.status_file, after))


def _kinds(plan: Plan) -> tuple[Why, ...]:
    """What the reasons are about, without the numbers in them, which change all the time."""
    return tuple(reason.why for reason in plan.reasons)


def _acts(plan: Plan) -> dict[str, object]:
    return {
        "create": plan.create,
        "remove": [removal.slave for removal in plan.remove],
        "revive": plan.revive,
        "retire": plan.retire,
        "forget": plan.forget,
    }


def _result(outcome: Outcome) -> tuple[str, str]:
    if outcome.ended_early:
        return "ended early", "the controller was to end"
    if outcome.failures:
        return "failed", outcome.undone
    if outcome.locked:
        return "locked", outcome.locked
    if outcome.updated:
        return "done", outcome.undone
    return ("stays", outcome.undone) if outcome.stayed else ("none", "no update of the stack was needed")

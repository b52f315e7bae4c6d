"""The controller's Prometheus metrics, on loopback. `docs/operations.md` lists them."""

from collections import Counter as Tally
from datetime import datetime

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from controller.decide import GROWTH, backing_off
from controller.errors import system
from controller.model import Phase, Plan, Snapshot, Trouble
from controller.story import Event, What

log = structlog.get_logger()

PORT = 9620
"""Near HTCondor's 9618; 9619 is that of an HTCondor-CE."""
_SECONDS = (5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200)


class Metrics:
    """What was counted since the controller's start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._wanted: dict[str, datetime] = {}
        self._demand = Gauge(
            "ecm_jobs_idle", "Idle jobs by request", ["cpus", "memory_mib", "possible"], registry=registry
        )
        self._slaves = Gauge("ecm_slaves", "Slaves by phase", ["phase"], registry=registry)
        self._decisions = Counter("ecm_decisions", "Reasons of decisions", ["why"], registry=registry)
        self._updates = Histogram(
            "ecm_update_seconds", "Plans that were carried out", ["result"], buckets=_SECONDS, registry=registry
        )
        self._errors = Counter(
            "ecm_api_errors", "Looks that an outside system failed to answer", ["system"], registry=registry
        )
        self._joins = Histogram(
            "ecm_join_seconds",
            "From the decision for a slave until it joined the pool",
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "ecm_drains_refused", "Slaves that stayed: a job came first, or no answer in time", registry=registry
        )
        self._setbacks = Gauge("ecm_setbacks", "Failures in a row", ["trouble"], registry=registry)
        self._backing_off = Gauge("ecm_backing_off", "1 while no slave is made because of setbacks", registry=registry)

    def looked(self, seen: Snapshot, now: datetime) -> None:
        """One look. What wasn't seen keeps its last value."""
        self.unanswered(seen.unknown)
        for trouble in Trouble:
            self._setbacks.labels(trouble).set(sum(s.times for s in seen.setbacks if s.trouble is trouble))
        self._backing_off.set(bool(backing_off(seen, now, *GROWTH)))
        if seen.unknown:
            return
        demand: Tally[tuple[int, int, str]] = Tally()
        for group in seen.jobs:
            demand[group.request.cpus, group.request.memory_mib, "no" if group.impossible else "yes"] += group.idle
        self._demand.clear()
        for labels, count in demand.items():
            self._demand.labels(*labels).set(count)
        phases = Tally(slave.phase for slave in seen.slaves)
        for phase in Phase:
            self._slaves.labels(phase).set(phases[phase])

    def unanswered(self, unknown: tuple[str, ...]) -> None:
        """What could not be read, by the lines of the errors."""
        for part in unknown:
            self._errors.labels(system(part)).inc()

    def decided(self, plan: Plan) -> None:
        """One decision."""
        for reason in (*plan.reasons, *(removal.reason for removal in plan.remove)):
            self._decisions.labels(reason.why).inc()

    def ended(self, result: str, seconds: float, refused: int) -> None:
        """One plan that was carried out, with its result (see docs/operations.md) and how many drains were refused."""
        self._updates.labels(result).observe(seconds)
        self._refused.inc(refused)

    def happened(self, event: Event, wanted_at: datetime | None, now: datetime) -> None:
        """One event; new slaves were wanted at `wanted_at`, None when it isn't known."""
        match event.what:
            case What.LAUNCHED if wanted_at:
                self._wanted |= dict.fromkeys(event.slaves, wanted_at)
            case What.JOINED | What.DELETED | What.NEVER_JOINED:
                for name in event.slaves:
                    since = self._wanted.pop(name, None)
                    if since and event.what is What.JOINED:
                        self._joins.observe((now - since).total_seconds())
            case _:
                pass


def serve(registry: CollectorRegistry, port: int) -> None:
    """Answers on 127.0.0.1, in a thread of its own. A port that is taken is said, and no reason to stop."""
    try:
        start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        log.warning("no metrics: the port can't be used, set ECM_METRICS_PORT", port=port, why=error.strerror)
    else:
        log.info("metrics", url=f"http://127.0.0.1:{port}/metrics")

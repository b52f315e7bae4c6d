"""What the controller would do now: looks and decides, and changes nothing, not even a lock."""

from datetime import datetime

from cluster.errors import EcmError
from controller.decide import decide
from controller.errors import OutsideError
from controller.loop import limits
from controller.model import Plan, Snapshot
from controller.observe import Memory, observe
from controller.requests import Requests
from controller.servers import Cloud
from controller.state import State

PAUSE = 5.0
"""Seconds between two looks."""


def look(cloud: Cloud, state: State, memory: Memory, requests: Requests, now: datetime) -> str:
    """One look and one decision, told in a few lines."""
    try:
        view = state.read()
    except (OutsideError, EcmError) as error:
        return f"would wait: {error}"
    if not view.settings:
        return f"would wait: {view.lacking}"
    seen = requests.into(observe(cloud, view, view.settings, memory, now))
    plan = decide(seen, limits(view.settings, memory.offer(view.settings)), now)
    interrupted = [f"would first recover from an interrupted update: {', '.join(view.pending)}"] if view.pending else []
    return "\n".join([*interrupted, *told(seen, plan)])


def told(seen: Snapshot, plan: Plan) -> list[str]:
    """The plan for people: what would be made and removed, and every reason."""
    phases = ", ".join(f"{slave.name} {slave.phase}" for slave in seen.slaves) or "none"
    return [
        f"idle jobs: {sum(group.idle for group in seen.jobs)}; slaves: {phases}",
        *([f"would create {plan.create}"] if plan.create else []),
        *(f"would remove {removal.slave} - {removal.reason}" for removal in plan.remove),
        *(f"would undo the drain of {name}" for name in plan.revive),
        *(f"would drain {name} when its jobs have ended" for name in plan.retire),
        *([f"would take the ads of {', '.join(plan.forget)} out of the pool"] if plan.forget else []),
        *([] if plan.acts else ["would do nothing"]),
        *(f"  {reason}" for reason in plan.reasons),
    ]

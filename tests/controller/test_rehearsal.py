"""What a rehearsal says that the controller would do."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controller import rehearsal
from controller.errors import OutsideError
from controller.model import JobGroup, Phase, Plan, Reason, Removal, Room, Slave, Snapshot, Why
from controller.observe import Memory
from controller.requests import Requests
from controller.state import View
from tests.controller.made_up import SETTINGS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeState:
    """A state that can only be read: anything else that is asked of it fails."""

    def __init__(self, answer: View | Exception) -> None:
        self.answer = answer

    def read(self) -> View:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (OutsideError("the stack's state can't be read - refused"), "would wait: the stack's state can't be read"),
        (View(), "would wait: the first `pulumi up` hasn't ended yet"),
    ],
)
def test_without_a_state_it_would_wait(answer: View | Exception, says: str, tmp_path: Path) -> None:
    state: Any = FakeState(answer)
    cloud: Any = None
    assert rehearsal.look(cloud, state, Memory(), Requests(tmp_path), NOW).startswith(says)


def test_what_people_ask_for_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "observe", lambda *_: Snapshot((JobGroup(Room(1, 1, 1), 3, 0),)))
    state: Any = FakeState(View(settings=SETTINGS))
    cloud: Any = None
    requests = Requests(tmp_path)
    assert "would create" in rehearsal.look(cloud, state, Memory(), requests, NOW)
    requests.pause.write_text("by ada")
    told = rehearsal.look(cloud, state, Memory(), requests, NOW)
    assert "would do nothing" in told
    assert "paused: by ada" in told


def test_a_plan_is_told_with_all_its_reasons() -> None:
    seen = Snapshot((JobGroup(Room(1, 1, 1), 3, 0),), (Slave("a", Phase.FAILED, NOW, "id"),))
    plan = Plan(
        create=2,
        remove=(Removal("a", Reason(Why.FAILED, "its server is ERROR")),),
        revive=("b",),
        retire=("c",),
        forget=("d",),
        reasons=(Reason(Why.GROW, "3 jobs wait"),),
    )
    assert rehearsal.told(seen, plan) == [
        "idle jobs: 3; slaves: a failed",
        "would create 2",
        "would remove a - failed: its server is ERROR",
        "would undo the drain of b",
        "would drain c when its jobs have ended",
        "would take the ads of d out of the pool",
        "  grow: 3 jobs wait",
    ]


def test_nothing_to_do_is_said_too() -> None:
    told = rehearsal.told(Snapshot(), Plan(reasons=(Reason(Why.ENOUGH, "no job waits"),)))
    assert told == ["idle jobs: 0; slaves: none", "would do nothing", "  enough: no job waits"]

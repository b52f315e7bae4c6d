"""How the state's slaves, Nova's servers and HTCondor's machines become one list, and what memory adds."""

from datetime import UTC, datetime, timedelta

import pytest

from controller.model import Phase, Room, Seconds, Slave
from controller.observe import Memory, Parts, put_together
from controller.pool import Machine
from controller.servers import Server

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
    (slave,) = put_together(parts, memory or Memory(START), NOW)
    return slave


@pytest.mark.parametrize(
    ("slave", "phase"),
    [
        (one("BUILD"), Phase.BUILDING),
        (one("ACTIVE"), Phase.BOOTING),
        (one("ACTIVE", IDLE), Phase.IDLE),
        (one("ACTIVE", BUSY), Phase.BUSY),
        (one("ACTIVE", running=True), Phase.BUSY),  # the schedd knows of a job that the collector doesn't
        (one("ACTIVE", memory=Memory(START, joined={"a"})), Phase.MISSING),
        (one("ACTIVE", IDLE, memory=Memory(START, drained={"a"})), Phase.DRAINED),
        (one("ERROR"), Phase.FAILED),
        (one("SHUTOFF", BUSY), Phase.FAILED),
    ],
)
def test_phase(slave: Slave, phase: Phase) -> None:
    assert slave.phase is phase


def test_a_slave_without_a_server_is_gone() -> None:
    (slave,) = put_together(Parts(STATE, [server("a", "DELETED")]), Memory(START), NOW)
    assert slave.phase is Phase.GONE


def test_a_server_that_the_state_lacks_is_a_stray_even_under_a_known_name() -> None:
    twin = Server("id-twin", "a", "ACTIVE", NOW)
    slaves = put_together(Parts(STATE, [server("a"), twin]), Memory(START), NOW)
    assert [(s.server_id, s.in_state) for s in slaves] == [("id-a", True), ("id-twin", False)]


def test_absence_counts_from_the_controllers_start_after_a_restart() -> None:
    """A master that comes back finds an empty collector: old slaves with running jobs aren't late."""
    old = server("a", created=START - timedelta(days=1))
    memory = Memory(START)
    (slave,) = put_together(Parts(STATE, [old]), memory, START)
    assert slave.absent_since == START
    (slave,) = put_together(Parts(STATE, [old]), memory, NOW)
    assert slave.absent_since == START


def test_absence_ends_when_the_machine_is_seen_and_begins_anew() -> None:
    memory, last = Memory(START), None
    for machines, expected in (({}, NOW), ({"a": IDLE}, None), ({}, NOW)):
        (slave,) = put_together(Parts(STATE, [server("a")], machines), memory, NOW)
        assert slave.absent_since == expected
        last = slave.phase
    assert last is Phase.MISSING


def test_idleness_counts_from_the_last_claim_that_was_seen() -> None:
    """A startd doesn't update its partitionable slot's ad with each dynamic slot.

    The ad can say `idle for an hour` seconds after a job.
    """
    memory = Memory(START)
    put_together(Parts(STATE, [server("a")], {"a": BUSY}), memory, NOW)
    stale = Machine(jobs=0, claimed=False, idle_for=Seconds(3600), free=Room(1, 900, 10))
    (slave,) = put_together(Parts(STATE, [server("a")], {"a": stale}), memory, NOW + timedelta(seconds=7))
    assert (slave.phase, slave.idle_for) == (Phase.IDLE, Seconds(7))


def test_memory_forgets_slaves_that_are_no_more() -> None:
    memory = Memory(START, {"x": NOW}, {"x": NOW}, {"x"}, {"x"})
    put_together(Parts({}), memory, NOW)
    assert (memory.absent_since, memory.claimed_at, memory.joined, memory.drained) == ({}, {}, set(), set())

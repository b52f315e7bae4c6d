"""What a killed controller leaves to the next one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.memory_file import MemoryFile
from controller.model import Phase, Setback, Trouble
from controller.observe import Memory, Parts, put_together
from controller.servers import Server

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)


LEARNED: dict[str, dict[str, object]] = {
    "fingerprint": {"Cpus": 2, "Memory": 1888, "Disk": 4000, "GPUs": 0, "HasDocker": False}
}


def test_the_next_controller_knows_who_joined_what_failed_and_what_was_learned(tmp_path: Path) -> None:
    failed = {Trouble.JOINS: Setback(2, THEN, "a: late", Trouble.JOINS)}
    memory = Memory({"x": THEN}, {"y": THEN}, {"a", "b"}, setbacks=failed, locked="by ada", learned=LEARNED)
    MemoryFile(tmp_path / "memory.json").save(memory)
    again = MemoryFile(tmp_path / "memory.json").load()
    assert again == Memory(joined={"a", "b"}, setbacks=failed, learned=LEARNED)


def test_when_it_was_learned_is_known_to_the_day(tmp_path: Path) -> None:
    MemoryFile(tmp_path / "m").save(Memory(learned=LEARNED, taught_at=THEN))
    taught_at = MemoryFile(tmp_path / "m").load().taught_at
    assert taught_at is not None
    assert (taught_at.date(), taught_at >= THEN) == (THEN.date(), True)


def test_a_slave_that_had_joined_before_the_kill_and_left_is_missing_not_booting(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path / "memory.json")
    file.save(Memory(joined={"a"}))
    memory = MemoryFile(file.path).load()
    (slave,) = put_together(Parts({"a": "id"}, [Server("id", "a", "ACTIVE", THEN)]), memory, NOW)
    assert (slave.phase, slave.known, slave.absent_since) == (Phase.MISSING, True, NOW)


@pytest.mark.parametrize("content", [b"", b"{", b'{"joined": 7}', b"\xff\x00", b'{"joined": ["a"'])
def test_a_damaged_file_is_one_line_and_an_empty_memory(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "memory.json"
    path.write_bytes(content)
    with capture_logs() as said:
        assert MemoryFile(path).load() == Memory()
    assert [line["log_level"] for line in said] == ["warning"]


@pytest.mark.parametrize(
    "odd", [{"Cpus": 10**19}, {"Cpus": "2"}, {"Disk": None}, {"GPUs": 1e300}, {"TotalSlotDisk": [1]}]
)
def test_what_no_slave_can_have_offered_is_forgotten_and_nothing_else(tmp_path: Path, odd: dict[str, object]) -> None:
    """Every look would fail at it, also those of the next controllers."""
    path = tmp_path / "memory.json"
    MemoryFile(path).save(Memory(joined={"a"}, learned=LEARNED | {"odd": LEARNED["fingerprint"] | odd}))
    with capture_logs() as said:
        assert MemoryFile(path).load() == Memory(joined={"a"}, learned=LEARNED)
    assert [line["log_level"] for line in said] == ["warning"]


def test_a_missing_file_is_an_empty_memory(tmp_path: Path) -> None:
    assert MemoryFile(tmp_path / "memory.json").load() == Memory()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path / "memory.json")
    file.save(Memory(joined={"a"}))
    file.path.unlink()
    file.save(Memory({"a": NOW}, joined={"a"}))
    assert not file.path.exists()
    file.save(Memory(joined={"b"}))
    assert file.path.exists()


def test_what_a_full_disk_refused_is_written_later(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    file = MemoryFile(tmp_path / "gone" / "memory.json")
    (tmp_path / "gone").rmdir()
    memory = Memory(joined={"a"})
    file.save(memory)
    (tmp_path / "gone").mkdir()
    file.save(memory)
    assert file.load().joined == {"a"}

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from controller.status import Status, write
from tests.faults.cases import CASES, KILL_POINTS, RACE, SAMPLE, Kind, chosen
from tests.faults.deeds import DEEDS
from tests.faults.proxy import Action
from tests.faults.rig import Server, doubles, most, words

NAMES = [case.name for case in CASES]
KINDS = {case.name: case.kind for case in CASES} | {RACE: Kind.RACE}


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({*NAMES, RACE}) == len(NAMES) + 1
    assert all(re.fullmatch(r"[a-z0-9_-]+", name) for name in NAMES)


def test_controller_engine_and_provider_are_killed_at_fifty_points() -> None:
    assert len(KILL_POINTS) >= 50
    assert len({(case.rules, case.during) for case in KILL_POINTS}) == len(KILL_POINTS)


def test_the_status_of_a_cluster_without_a_fault_says_nothing_that_a_case_waits_for(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    status = Status(now, now, reasons=("grow: 2 jobs wait and need 2 more slaves", "enough: no job waits for a slave"))
    write(file := tmp_path / "status.json", status)
    said = words(json.loads(file.read_text()))
    assert "2 jobs wait" in said
    assert [case.name for case in CASES if case.says and re.search(case.says, said, re.IGNORECASE)] == []


def test_a_fault_that_would_not_end_by_itself_is_given_an_end() -> None:
    lasting = [case for case in CASES if case.end or any(not rule.nth for rule in case.rules)]
    assert [case.name for case in lasting if not (case.says or case.lasts)] == []
    assert [case.name for case in CASES if not (case.rules or case.begin or case.deed)] == []


def test_commands_are_run_and_numbers_are_not() -> None:
    rules = [rule for case in CASES for rule in case.rules]
    assert all((rule.action is Action.RUN) == isinstance(rule.argument, str) for rule in rules)


def test_every_deed_can_be_done() -> None:
    assert set(DEEDS) == {case.deed for case in CASES} - {None}


def test_a_sample_is_a_kill_and_cases_of_other_kinds_by_its_seed() -> None:
    sample = chosen("sample", 7)
    kinds = [KINDS[name] for name in sample]
    assert len(sample) == SAMPLE == len(set(kinds))
    assert Kind.KILL in kinds
    assert chosen("sample", 7) == sample
    assert frozenset.union(*(chosen("sample", seed) for seed in range(3000))) == {*NAMES, RACE}


def test_cases_are_chosen_by_a_regular_expression_or_all() -> None:
    assert chosen("all", 0) == {*NAMES, RACE}
    assert chosen("kill-engine-create-[12]-after", 0) == {"kill-engine-create-1-after", "kill-engine-create-2-after"}


def test_a_name_is_double_only_when_two_servers_have_it_at_once() -> None:
    assert doubles([(Server("a", "1"),), (Server("a", "2"), Server("b", "3"))]) == set()
    assert doubles([(), (Server("a", "1"), Server("b", "3"), Server("a", "2"))]) == {"a"}


def test_servers_that_are_being_deleted_do_not_count() -> None:
    assert most([(), (Server("a", "1"), Server("b", "2", leaving=True)), (Server("b", "2", leaving=True),)]) == 1
    assert most([]) == 0
